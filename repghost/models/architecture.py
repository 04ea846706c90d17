"""RepGhostNet's stage table and the channels that follow from it; no torch is imported here."""

from collections.abc import Iterable
from dataclasses import dataclass

Row = tuple[int, int, bool, int, int]

# One row a bottleneck, at width 1.0 and ratio s = 2. `mid` are the middle channels (half of the
# expansion), `kernel` is that of the bottleneck's strided and shortcut depthwise convs.
# Source: arXiv:2211.06088, Table 2; kernels as in the released networks.
# fmt: off
BOTTLENECKS = (
    # mid  out  se     stride kernel
    (   8,  16, False, 1,     3),
    (  24,  24, False, 2,     3),
    (  36,  24, False, 1,     3),
    (  36,  40, True,  2,     5),
    (  60,  40, True,  1,     5),
    ( 120,  80, False, 2,     3),
    ( 100,  80, False, 1,     3),
    ( 120,  80, False, 1,     3),
    ( 120,  80, False, 1,     3),
    ( 240, 112, True,  1,     3),
    ( 336, 112, True,  1,     3),
    ( 336, 160, True,  2,     5),
    ( 480, 160, False, 1,     5),
    ( 480, 160, True,  1,     5),
    ( 480, 160, False, 1,     5),
    ( 480, 160, True,  1,     5),
)
# fmt: on
GHOSTNET_MID = {7: 92, 8: 92}  # where GhostNet's table has other middle channels (Sec. 3.3)
STEM_CHS, LAST_CHS, HEAD_CHS = 16, 960, 1280
SE_RATIO, DIVISOR = 0.25, 4


def make_divisible(value: float, divisor: int = DIVISOR) -> int:
    """Return the multiple of `divisor` nearest to `value`, never below 0.9 of it or `divisor`."""
    nearest = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * value else nearest + divisor


@dataclass(frozen=True)
class BottleneckShape:
    """Channels, stride and depthwise kernel of one bottleneck; `se` is whether it has an SE."""

    in_chs: int
    mid_chs: int
    out_chs: int
    se: bool
    stride: int
    kernel_size: int

    @property
    def keeps_shape(self) -> bool:
        """Whether input and output have one shape, so that the shortcut is the identity."""
        return self.stride == 1 and self.in_chs == self.out_chs


def scaled(chs: float, width: float) -> int:
    """Return `chs` channels of Table 2 at this width multiplier."""
    return make_divisible(chs * width)


def bottleneck_shapes(width: float, ratio: float, se: bool) -> list[BottleneckShape]:
    """Return the 16 bottlenecks; the middle channels are twice Table 2's `mid` over `ratio`."""
    return _shapes(BOTTLENECKS, width, ratio, se)


def ghostnet_shapes(width: float) -> list[BottleneckShape]:
    """Return GhostNet's 16 bottlenecks; its middle channels are the whole expansion."""
    rows = [(GHOSTNET_MID.get(i, row[0]), *row[1:]) for i, row in enumerate(BOTTLENECKS)]
    return _shapes(rows, width, ratio=1.0, se=True)


def _shapes(rows: Iterable[Row], width: float, ratio: float, se: bool) -> list[BottleneckShape]:
    shapes, in_chs = [], scaled(STEM_CHS, width)
    for mid, out, has_se, stride, kernel in rows:
        mid_chs, out_chs = scaled(2 * mid / ratio, width), scaled(out, width)
        shapes.append(BottleneckShape(in_chs, mid_chs, out_chs, se and has_se, stride, kernel))
        in_chs = out_chs
    return shapes
