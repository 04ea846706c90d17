"""RepGhostNet with every ablation of the paper as data (arXiv:2211.06088, Table 2, Figure 3)."""

from collections.abc import Sequence

from torch import Tensor, nn

from repghost.models.architecture import bottleneck_shapes
from repghost.models.bottlenecks import BottleneckNet, ModuleFactory
from repghost.models.branches import ConvBn, RepDepthwise
from repghost.models.ghost import GhostModule
from repghost.models.repghost_spec import RepGhostNetSpec, parse_branches


class RepGhostModule(nn.Module):
    """Conv1x1 + BatchNorm (+ ReLU), then a `RepDepthwise`: (N, C, H, W) -> (N, C', H, W)."""

    def __init__(
        self, in_chs: int, out_chs: int, branches: Sequence[str], relu: str | None = None
    ) -> None:
        super().__init__()
        self.primary = ConvBn(in_chs, out_chs, 1, relu=relu is not None)
        self.depthwise = RepDepthwise(out_chs, branches, relu=relu)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.depthwise(self.primary(x))
        return y


class RepGhostNet(BottleneckNet):
    """Images `(N, in_chs, H, W)` -> logits `(N, num_classes)`; `dropout` is before the classifier.

    With module a (the Ghost module of Figure 3) the bottlenecks keep the whole expansion: its
    concatenation gives twice the channels of an add.
    """

    def __init__(self, spec: RepGhostNetSpec, dropout: float = 0.0) -> None:
        ratio = 1.0 if spec.module == "a" else spec.ratio
        super().__init__(
            spec,
            bottleneck_shapes(spec.width, ratio, spec.se),
            _module(spec),
            relu=spec.relu,
            identity=spec.shortcut,
            dropout=dropout,
        )


def build_repghostnet(spec: RepGhostNetSpec, dropout: float) -> nn.Module:
    """Return the network of `spec`; `dropout` is before the classifier."""
    return RepGhostNet(spec, dropout)


def _module(spec: RepGhostNetSpec) -> ModuleFactory:
    if spec.module == "a":
        return lambda in_chs, out_chs, relu: GhostModule(
            in_chs, out_chs, int(spec.ratio), relu=relu is not None
        )
    branches = parse_branches(spec.reparam)
    return lambda in_chs, out_chs, relu: RepGhostModule(in_chs, out_chs, branches, relu)
