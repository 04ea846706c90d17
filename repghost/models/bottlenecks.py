"""A network of Ghost or RepGhost bottlenecks around any module (arXiv:2211.06088, Figure 4)."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from repghost.models.architecture import (
    HEAD_CHS,
    LAST_CHS,
    SE_RATIO,
    BottleneckShape,
    make_divisible,
    scaled,
)
from repghost.models.branches import ConvBn
from repghost.models.spec import WidthSpec

# (in_chs, out_chs, position of the ReLU or None) -> the module between two layers of a bottleneck.
ModuleFactory = Callable[[int, int, str | None], nn.Module]


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
    """Thin module with ReLU, strided conv, SE, thick module without, plus the shortcut.

    A shortcut that keeps the shape is the identity, or removed if `identity` is False.
    """

    def __init__(
        self, shape: BottleneckShape, module: ModuleFactory, relu: str, identity: bool
    ) -> None:
        super().__init__()
        mid, size, stride = shape.mid_chs, shape.kernel_size, shape.stride
        self.ghost1 = module(shape.in_chs, mid, relu)
        self.dw = ConvBn(mid, mid, size, stride, groups=mid) if stride > 1 else nn.Identity()
        self.se = SqueezeExcite(mid) if shape.se else nn.Identity()
        self.ghost2 = module(mid, shape.out_chs, None)
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


class BottleneckNet(nn.Module):
    """Table 2 around any module: images `(N, in_chs, H, W)` -> logits `(N, num_classes)`.

    Raises:
        ValueError: `dropout`, which is before the classifier, is not in [0, 1].
    """

    def __init__(
        self,
        spec: WidthSpec,
        shapes: Sequence[BottleneckShape],
        module: ModuleFactory,
        *,
        relu: str = "after_add",
        identity: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        last_chs = scaled(LAST_CHS, spec.width)
        self.stem = ConvBn(spec.in_chs, shapes[0].in_chs, 3, stride=2, relu=True)
        self.blocks = nn.Sequential(
            *(Bottleneck(shape, module, relu, identity) for shape in shapes)
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
