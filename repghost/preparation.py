"""One network as the device runs it: built, fused, exported and certified before any training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.settings import Settings

if TYPE_CHECKING:
    from torch import nn

    from repghost.deploy.certificate import Certificate
    from repghost.models.cost import Cost

CERTIFIED_INPUTS = 16  # random ones


@dataclass(frozen=True)
class Prepared:
    """A deployed network at one input shape, and what is known of it before it is timed."""

    fingerprint: str
    certificate: Certificate
    training_cost: Cost
    deployed_cost: Cost
    not_folded: list[str]


def prepare(settings: Settings, mnn: Path) -> Prepared:
    """Build, fuse, export to `mnn` (and ONNX beside it) and certify at the timed shape.

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
    from repghost.models.cost import count

    shape = settings.timed_shape
    image, onnx = shape[1:], mnn.with_suffix(".onnx")
    model = spread_statistics(build_network(settings).eval(), settings.seed, image)
    fused = fuse(model, image)
    export(fused, shape, onnx, mnn)
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


def reference_network(settings: Settings) -> Path:
    """Return the network that latencies are paired with, exported once at the timed shape.

    RepGhostNet 0.5x, the anchor of the paper's ratios: at 32 pixels, where weights are most of the
    traffic, its ratio to 0.58x moved by 1 % between repeats, that of 1.0x to 0.5x by 30 %.
    """
    from repghost.deploy.export import export
    from repghost.deploy.fuse import fuse

    shape, classes = settings.timed_shape, settings.model.num_classes
    name = f"repghostnet-0.5x-{'x'.join(map(str, shape))}-{classes}.mnn"
    mnn = Path(settings.outputs) / "reference" / name
    if not mnn.exists():
        spec = RepGhostNetSpec(width=0.5, in_chs=shape[1], num_classes=classes)
        fused = fuse(build(spec).eval(), shape[1:])
        export(fused, shape, mnn.with_suffix(".onnx"), mnn)
    return mnn
