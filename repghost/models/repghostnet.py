"""RepGhostNet with every ablation of the paper as data (arXiv:2211.06088, Table 2, Figure 4)."""

from collections.abc import Sequence

from torch import Tensor, nn

from repghost.models.architecture import (
    HEAD_CHS,
    LAST_CHS,
    SE_RATIO,
    STEM_CHS,
    BottleneckShape,
    bottleneck_shapes,
    make_divisible,
    scaled,
)
from repghost.models.branches import ConvBn, RepDepthwise
from repghost.models.spec import ModelSpec, parse_branches


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


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate in [0, 1] computed from all channels' means."""

    def __init__(self, chs: int) -> None:
        super().__init__()
        reduced = make_divisible(chs * SE_RATIO)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(chs, reduced, 1)
        self.act = nn.ReLU(inplace=True)
        self.expand = nn.Conv2d(reduced, chs, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.gate(self.expand(self.act(self.reduce(self.pool(x)))))
        return x * gate


class Bottleneck(nn.Module):
    """Thin RepGhost module with ReLU, strided conv, SE, thick one without, plus the shortcut.

    A shortcut that keeps the shape is the identity, or removed if `identity` is False.
    """

    def __init__(
        self, shape: BottleneckShape, branches: Sequence[str], relu: str, identity: bool
    ) -> None:
        super().__init__()
        mid, size, stride = shape.mid_chs, shape.kernel_size, shape.stride
        self.ghost1 = RepGhostModule(shape.in_chs, mid, branches, relu)
        self.dw = ConvBn(mid, mid, size, stride, groups=mid) if stride > 1 else nn.Identity()
        self.se = SqueezeExcite(mid) if shape.se else nn.Identity()
        self.ghost2 = RepGhostModule(mid, shape.out_chs, branches)
        self.shortcut = _shortcut(shape, identity)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.ghost2(self.se(self.dw(self.ghost1(x))))
        return y if self.shortcut is None else y + self.shortcut(x)


def _shortcut(shape: BottleneckShape, identity: bool) -> nn.Module | None:
    if shape.keeps_shape:
        return nn.Identity() if identity else None
    chs = shape.in_chs
    return nn.Sequential(
        ConvBn(chs, chs, shape.kernel_size, shape.stride, groups=chs),
        ConvBn(chs, shape.out_chs, 1),
    )


class RepGhostNet(nn.Module):
    """Images `(N, in_chs, H, W)` -> logits `(N, num_classes)`; `dropout` is before the classifier.

    Raises:
        ValueError: `dropout` is not in [0, 1].
    """

    def __init__(self, spec: ModelSpec, dropout: float = 0.0) -> None:
        super().__init__()
        shapes = bottleneck_shapes(spec.width, spec.ratio, spec.se)
        branches, last_chs = parse_branches(spec.reparam), scaled(LAST_CHS, spec.width)
        self.stem = ConvBn(spec.in_chs, scaled(STEM_CHS, spec.width), 3, stride=2, relu=True)
        self.blocks = nn.Sequential(
            *(Bottleneck(shape, branches, spec.relu, spec.shortcut) for shape in shapes)
        )
        self.last = ConvBn(shapes[-1].out_chs, last_chs, 1, relu=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Conv2d(last_chs, HEAD_CHS, 1)
        self.act = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(HEAD_CHS, spec.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.pool(self.last(self.blocks(self.stem(x))))
        logits: Tensor = self.classifier(self.dropout(self.act(self.head(features)).flatten(1)))
        return logits
