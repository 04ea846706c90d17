"""ResNet-50 of Ghost or of RepGhost modules (arXiv:2211.06088, Table 5): one skeleton for both."""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from repghost.models.branches import ConvBn, RepDepthwise
from repghost.models.ghost import GhostModule

# (in_chs, out_chs, kernel_size, stride, relu) -> what stands for each conv of a bottleneck.
ConvFactory = Callable[[int, int, int, int, bool], nn.Module]

# Source: arXiv:1512.03385, Table 1, the column of 50 layers.
STAGES = (
    # mid  out   stride blocks
    (64, 256, 1, 3),
    (128, 512, 2, 4),
    (256, 1024, 2, 6),
    (512, 2048, 2, 3),
)
STEM_CHS = 64


class Bottleneck(nn.Module):
    """relu(conv1x1, conv3x3, conv1x1 + shortcut): (N, C, H, W) -> (N, out_chs, H / s, W / s)."""

    def __init__(
        self, in_chs: int, mid_chs: int, out_chs: int, stride: int, conv: ConvFactory
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(in_chs, mid_chs, 1, 1, True),
            conv(mid_chs, mid_chs, 3, stride, True),
            conv(mid_chs, out_chs, 1, 1, False),
        )
        keeps_shape = stride == 1 and in_chs == out_chs
        self.shortcut = nn.Identity() if keeps_shape else conv(in_chs, out_chs, 1, stride, False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.body(x) + self.shortcut(x))
        return y


class Res50(nn.Module):
    """Images `(N, in_chs, H, W)` -> logits `(N, num_classes)`; `dropout` is before the classifier.

    Stem and classifier are ResNet-50's; the channels of the stages are its channels over `ratio`,
    rounded to the nearest whole number.

    Raises:
        ValueError: a stage would have no channels (it is named), no class or input channel is left,
            or `dropout` is not in [0, 1].
    """

    def __init__(
        self, conv: ConvFactory, ratio: float, num_classes: int, in_chs: int, dropout: float
    ) -> None:
        super().__init__()
        if num_classes < 1 or in_chs < 1:
            raise ValueError(f"num_classes={num_classes}, in_chs={in_chs}: each must be at least 1")
        self.stem = ConvBn(in_chs, STEM_CHS, 7, stride=2, relu=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        stages, chs = [], STEM_CHS
        for number, (mid, out, stride, blocks) in enumerate(STAGES, 1):
            mid_chs, out_chs = (_over(value, ratio, f"stage {number}") for value in (mid, out))
            stages.append(_stage(chs, mid_chs, out_chs, stride, blocks, conv))
            chs = out_chs
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(chs, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.pool(self.stages(self.maxpool(self.stem(x)))).flatten(1)
        logits: Tensor = self.classifier(self.dropout(features))
        return logits


class GhostRes50(Res50):
    """Ghost-Res50: every conv of the bottlenecks and of their shortcuts is a Ghost module.

    `ratio` is s of the modules; all tensors between them have ResNet-50's channels.

    Raises:
        ValueError: `ratio` is not a whole number of at least 2; and as `Res50`.
    """

    def __init__(
        self, ratio: int = 2, num_classes: int = 1000, in_chs: int = 3, dropout: float = 0.0
    ) -> None:
        def conv(
            in_chs: int, out_chs: int, kernel_size: int, stride: int, relu: bool
        ) -> GhostModule:
            return GhostModule(in_chs, out_chs, ratio, relu, kernel_size, stride=stride)

        super().__init__(conv, 1.0, num_classes, in_chs, dropout)


class RepGhostRes50(Res50):
    """RepGhost-Res50: RepGhost modules in their place, and 1/`ratio` of the stages' channels.

    A module is the conv with its BatchNorm (and ReLU), then a `RepDepthwise` with `branches`. Table
    5's parameters and MACs follow only if what a stage puts out is divided by s as well.

    Raises:
        ValueError: `ratio` is below 1 or leaves a stage no channels, or a branch is unknown.
    """

    def __init__(
        self,
        ratio: float = 2.0,
        branches: Sequence[str] = ("bn",),
        num_classes: int = 1000,
        in_chs: int = 3,
        dropout: float = 0.0,
    ) -> None:
        def conv(
            in_chs: int, out_chs: int, kernel_size: int, stride: int, relu: bool
        ) -> nn.Sequential:
            primary = ConvBn(in_chs, out_chs, kernel_size, stride, relu=relu)
            depthwise = RepDepthwise(out_chs, branches, relu="after_add" if relu else None)
            return nn.Sequential(OrderedDict(primary=primary, depthwise=depthwise))

        if not 1 <= ratio < math.inf:
            raise ValueError(f"ratio={ratio}: must be a number of at least 1")
        super().__init__(conv, ratio, num_classes, in_chs, dropout)


def _stage(
    in_chs: int, mid_chs: int, out_chs: int, stride: int, blocks: int, conv: ConvFactory
) -> nn.Sequential:
    first = Bottleneck(in_chs, mid_chs, out_chs, stride, conv)
    rest = (Bottleneck(out_chs, mid_chs, out_chs, 1, conv) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)


def _over(chs: int, ratio: float, where: str) -> int:
    """Return `chs` over `ratio`, rounded half up."""
    divided = int(chs / ratio + 0.5)
    if divided < 1:
        raise ValueError(f"ratio={ratio:g}: leaves {chs / ratio:.2g} of {chs} channels in {where}")
    return divided
