"""One network as the device runs it: built, fused, exported and certified before any training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from repghost.models.paper import ENTRIES
from repghost.models.registry import build
from repghost.settings import MNN_FILE, Settings

if TYPE_CHECKING:
    from torch import nn

    from repghost.deploy.certificate import Certificate
    from repghost.models.cost import Cost

CERTIFIED_INPUTS, OF_DETECTORS = 16, 2  # random ones
Part = Literal["whole", "backbone"]
TRACED = ".pt"  # of a network as TorchScript, which a GPU runs


@dataclass(frozen=True)
class Prepared:
    """A deployed network at one input shape, and what is known of it before it is timed."""

    fingerprint: str
    certificate: Certificate
    training_cost: Cost
    deployed_cost: Cost
    not_folded: list[str]


def prepare(
    settings: Settings, mnn: Path, *, traced_too: bool = False, part: Part = "whole"
) -> Prepared:
    """Build, fuse, export to `mnn` (and ONNX beside it) and certify at the timed shape.

    `traced_too` writes it for a GPU as well, beside them. Of a detector it is what has no
    post-processing, or the backbone's features alone, as `part` says.

    The weights are those of the seed, the BatchNorm statistics spread as after a training. The
    certificate may be negative: `certificate.require()` raises then.

    Raises:
        ValueError: the network cannot be built, fused, exported or converted.
    """
    import torch

    from repghost.deploy.certificate import certify, spread_statistics
    from repghost.deploy.export import export
    from repghost.deploy.fingerprint import fingerprint
    from repghost.deploy.fuse import fuse, not_folded
    from repghost.deploy.traced import write_traced
    from repghost.models.cost import count

    shape = settings.timed_shape
    image, onnx = shape[1:], mnn.with_suffix(".onnx")
    network = deployed_part(settings, build_network(settings), part)
    model = spread_statistics(network.eval(), settings.seed, image)
    fused = fuse(model, image)
    export(fused, shape, onnx, mnn)
    if traced_too:
        write_traced(fused, shape, mnn.with_suffix(TRACED))
    generator = torch.Generator().manual_seed(settings.seed)
    count_of = OF_DETECTORS if settings.task.detects else CERTIFIED_INPUTS
    inputs = torch.randn(count_of, *image, generator=generator)
    return Prepared(
        fingerprint(onnx),
        certify(model, fused, mnn, inputs),
        count(model, image),
        count(fused, image),
        not_folded(fused),
    )


def build_network(settings: Settings) -> nn.Module:
    """Build what is trained, with the weights that its seed gives, or those of its checkpoint.

    That is the classifier, or the detector on it.

    Raises:
        ValueError: the checkpoint cannot be read, or does not fit; the keys are named.
    """
    import torch

    torch.manual_seed(settings.seed)
    weights, model = None, settings.model
    if model.weights is not None:
        from repghost.models.weights import classes_in, load_weights, read_checkpoint

        weights = read_checkpoint(Path(model.weights))
        if settings.task.detects:  # a detector has no use for the classifier, whatever its classes
            model = replace(model, num_classes=classes_in(weights, model.num_classes))
    network = build(model, dropout=settings.recipe.dropout)
    if weights is not None:
        load_weights(network, weights)
    if not settings.task.detects:
        return network
    from repghost.detection.networks import build_detector

    classes = settings.model.num_classes
    detector: nn.Module = build_detector(settings.task, network, settings.data, classes)
    return detector


def deployed_part(settings: Settings, network: nn.Module, part: Part = "whole") -> nn.Module:
    """Return what of a trained network a device runs; its layers are used, not copied."""
    if not settings.task.detects:
        return network
    from repghost.detection.networks import DensePart

    whole = DensePart(network)
    if part == "whole":
        return whole
    features: nn.Module = whole.backbone.features
    return features


def reference_network(settings: Settings, suffix: str = MNN_FILE) -> Path:
    """Return the network that latencies are paired with, exported once at the timed shape.

    Raises:
        ValueError: it is a `.mnn` file of the user's, and a GPU needs it in another form.
    """
    if settings.latency.reference.endswith(MNN_FILE):
        if suffix != MNN_FILE:
            raise ValueError(
                f"latency.reference={settings.latency.reference}: cuda runs no {MNN_FILE} file;"
                " name a network of the paper's tables"
            )
        return Path(settings.latency.reference)
    from repghost.deploy.export import export
    from repghost.deploy.fuse import fuse
    from repghost.deploy.traced import write_traced

    shape, classes = settings.timed_shape, settings.model.num_classes
    path = Path(settings.outputs) / "reference" / f"{settings.reference}{suffix}"
    if not path.exists():
        spec = replace(ENTRIES[settings.latency.reference].spec, in_chs=shape[1])
        fused = fuse(build(replace(spec, num_classes=classes)).eval(), shape[1:])
        if suffix == TRACED:
            write_traced(fused, shape, path)
        else:
            export(fused, shape, path.with_suffix(".onnx"), path)
    return path
