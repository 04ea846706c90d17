"""MobileNeXt, of sandglass blocks (arXiv:2007.02269, Table 1), as its authors' code builds it.

That code is the only full description: a block that changes the number of channels leaves out
depthwise convs, bottlenecks have a least width, the last stage does not shrink. The table's two
blocks of 960 channels are a misprint that the authors corrected to three.
"""

import math

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from repghost.models.architecture import make_divisible

# One row a stage, at width 1.0. `reduction` is that of the bottleneck; the first block of a stage
# has the `stride`, and both its depthwise convs only if `full`.
# fmt: off
STAGES = (
    # reduction out  blocks stride full
    ( 2,         96, 1,     2,     True),
    ( 6,        144, 1,     1,     True),
    ( 6,        192, 3,     2,     False),
    ( 6,        288, 3,     2,     False),
    ( 6,        384, 4,     1,     False),
    ( 6,        576, 4,     2,     False),
    ( 6,        960, 3,     1,     False),
    ( 6,       1280, 1,     1,     True),
)
# fmt: on
STEM_CHS, DIVISOR = 32, 8
HIDDEN_SHARE, HIDDEN_DIVISOR = 6, 16  # the bottleneck has at least 1/6 of the output's channels


class Sandglass(nn.Module):
    """Depthwise, reducing, expanding, strided depthwise: (N, C, H, W) -> (N, C', H / s, W / s).

    A block that keeps the shape is added to its input: `identity` is the share of the channels that
    are (the identity tensor multiplier). One that changes the shape has no shortcut, no first
    depthwise conv and, at stride 1, no last one, unless it is `full`.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        stride: int,
        reduction: int,
        full: bool = False,
        identity: float = 1.0,
    ) -> None:
        super().__init__()
        keeps_shape = stride == 1 and in_chs == out_chs
        hidden = _hidden_chs(in_chs, out_chs, reduction)
        layers = [
            Conv2dNormActivation(in_chs, hidden, 1, activation_layer=None),
            Conv2dNormActivation(hidden, out_chs, 1, activation_layer=nn.ReLU6),
        ]
        if full or keeps_shape:
            layers.insert(0, _depthwise(in_chs, 1, nn.ReLU6))
        if full or keeps_shape or stride > 1:
            layers.append(_depthwise(out_chs, stride, None))
        self.layers = nn.Sequential(*layers)
        self.added = round(identity * out_chs) if keeps_shape and not full else 0

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        if self.added == 0:
            return y
        if self.added == y.shape[1]:
            return y + x
        summed = y[:, : self.added] + x[:, : self.added]
        return torch.cat([summed, y[:, self.added :]], dim=1)


class MobileNeXt(nn.Module):
    """Images `(N, in_chs, H, W)` -> logits `(N, num_classes)`; `dropout` is before the classifier.

    Channels are multiples of 8; below width 1 the last stage keeps its 1280. `identity` is the
    share of the channels that a shortcut adds (1 in the published network).

    Raises:
        ValueError: `width` is not above 0, `identity` not in (0, 1] or so small that a stage (it is
            named) adds no channel, no class or input channel is left, `dropout` is not in [0, 1].
    """

    def __init__(
        self,
        width: float = 1.0,
        num_classes: int = 1000,
        in_chs: int = 3,
        dropout: float = 0.0,
        identity: float = 1.0,
    ) -> None:
        super().__init__()
        _check(width, num_classes, in_chs, identity)
        chs = make_divisible(STEM_CHS * width, DIVISOR)
        stages = [Conv2dNormActivation(in_chs, chs, 3, 2, activation_layer=nn.ReLU6)]
        for reduction, out, blocks, stride, full in STAGES:
            out_chs = _out_chs(out, width)
            if blocks > 1 and round(identity * out_chs) < 1:
                raise ValueError(f"identity={identity:g}: the stage of {out_chs} would add nothing")
            first = Sandglass(chs, out_chs, stride, reduction, full, identity)
            rest = (
                Sandglass(out_chs, out_chs, 1, reduction, identity=identity)
                for _ in range(blocks - 1)
            )
            stages.append(nn.Sequential(first, *rest))
            chs = out_chs
        self.features = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(chs, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.pool(self.features(x)).flatten(1)
        logits: Tensor = self.classifier(self.dropout(features))
        return logits


def _depthwise(chs: int, stride: int, act: type[nn.Module] | None) -> nn.Module:
    layer: nn.Module = Conv2dNormActivation(chs, chs, 3, stride, groups=chs, activation_layer=act)
    return layer


def _hidden_chs(in_chs: int, out_chs: int, reduction: int) -> int:
    hidden = in_chs // reduction
    if hidden >= out_chs / HIDDEN_SHARE:
        return hidden
    return make_divisible(math.ceil(out_chs / HIDDEN_SHARE), HIDDEN_DIVISOR)


def _out_chs(out: int, width: float) -> int:
    last = STAGES[-1][1]
    return last if out == last and width < 1 else make_divisible(out * width, DIVISOR)


def _check(width: float, num_classes: int, in_chs: int, identity: float) -> None:
    if not 0 < width < math.inf:
        raise ValueError(f"width={width}: must be a number greater than 0")
    if not 0 < identity <= 1:
        raise ValueError(f"identity={identity}: must be greater than 0 and at most 1")
    if num_classes < 1 or in_chs < 1:
        raise ValueError(f"num_classes={num_classes}, in_chs={in_chs}: each must be at least 1")
