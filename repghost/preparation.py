"""One network as the device runs it: built, fused, exported and certified before any training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from repghost.models.paper import ENTRIES
from repghost.models.registry import build
from repghost.settings import MNN_FILE, Settings

if TYPE_CHECKING:
    from torch import nn

    from repghost.deploy.certificate import Certificate
    from repghost.models.cost import Cost

CERTIFIED_INPUTS = 16  # random ones
TRACED = ".pt"  # of a network as TorchScript, which a GPU runs


@dataclass(frozen=True)
class Prepared:
    """A deployed network at one input shape, and what is known of it before it is timed."""

    fingerprint: str
    certificate: Certificate
    training_cost: Cost
    deployed_cost: Cost
    not_folded: list[str]


def prepare(settings: Settings, mnn: Path, *, traced_too: bool = False) -> Prepared:
    """Build, fuse, export to `mnn` (and ONNX beside it) and certify at the timed shape.

    `traced_too` writes it for a GPU as well, beside them.

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
    model = spread_statistics(build_network(settings).eval(), settings.seed, image)
    fused = fuse(model, image)
    export(fused, shape, onnx, mnn)
    if traced_too:
        write_traced(fused, shape, mnn.with_suffix(TRACED))
    generator = torch.Generator().manual_seed(settings.seed)
    inputs = torch.randn(CERTIFIED_INPUTS, *image, generator=generator)
    return Prepared(
        fingerprint(onnx),
        certify(model, fused, mnn, inputs),
        count(model, image),
        count(fused, image),
        not_folded(fused),
    )


def build_network(settings: Settings) -> nn.Module:
    """Build the network with the weights that its seed gives, or those of its checkpoint.

    Raises:
        ValueError: the checkpoint cannot be read, or does not fit; the keys are named.
    """
    import torch

    torch.manual_seed(settings.seed)
    network = build(settings.model, dropout=settings.recipe.dropout)
    if settings.model.weights is not None:
        from repghost.models.weights import load_weights, read_checkpoint

        load_weights(network, read_checkpoint(Path(settings.model.weights)))
    return network


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
