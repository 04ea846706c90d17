"""ProxylessNAS, the architecture searched for a mobile phone (arXiv:1812.00332, Figure 4)."""

from functools import partial

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

# One row an inverted residual block; the two blocks that the search left out have none. Source: the
# released configuration of "Proxyless (mobile)".
# fmt: off
BLOCKS = (
    # out  kernel expansion stride
    (  16, 3,     1,        1),
    (  32, 5,     3,        2),
    (  32, 3,     3,        1),
    (  40, 7,     3,        2),
    (  40, 3,     3,        1),
    (  40, 5,     3,        1),
    (  40, 5,     3,        1),
    (  80, 7,     6,        2),
    (  80, 5,     3,        1),
    (  80, 5,     3,        1),
    (  80, 5,     3,        1),
    (  96, 5,     6,        1),
    (  96, 5,     3,        1),
    (  96, 5,     3,        1),
    (  96, 5,     3,        1),
    ( 192, 7,     6,        2),
    ( 192, 7,     6,        1),
    ( 192, 7,     3,        1),
    ( 192, 7,     3,        1),
    ( 320, 7,     6,        1),
)
# fmt: on
STEM_CHS, HEAD_CHS = 32, 1280
ConvBn = partial(Conv2dNormActivation, norm_layer=partial(nn.BatchNorm2d, eps=1e-3))


class InvertedResidual(nn.Module):
    """Expand, depthwise k x k, project; plus the input where the shape is kept.

    (N, in_chs, H, W) -> (N, out_chs, H / stride, W / stride).
    """

    def __init__(
        self, in_chs: int, out_chs: int, kernel_size: int, expansion: int, stride: int
    ) -> None:
        super().__init__()
        mid = in_chs * expansion
        expand = [ConvBn(in_chs, mid, 1, activation_layer=nn.ReLU6)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            ConvBn(mid, mid, kernel_size, stride, groups=mid, activation_layer=nn.ReLU6),
            ConvBn(mid, out_chs, 1, activation_layer=None),
        )
        self.keeps_shape = stride == 1 and in_chs == out_chs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y + x if self.keeps_shape else y


class ProxylessNAS(nn.Module):
    """Images `(N, in_chs, H, W)` -> logits `(N, num_classes)`; `dropout` is before the classifier.

    Raises:
        ValueError: no class or input channel is left, or `dropout` is not in [0, 1].
    """

    def __init__(self, num_classes: int = 1000, in_chs: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        if num_classes < 1 or in_chs < 1:
            raise ValueError(f"num_classes={num_classes}, in_chs={in_chs}: each must be at least 1")
        layers = [ConvBn(in_chs, STEM_CHS, 3, 2, activation_layer=nn.ReLU6)]
        chs = STEM_CHS
        for out_chs, kernel_size, expansion, stride in BLOCKS:
            layers.append(InvertedResidual(chs, out_chs, kernel_size, expansion, stride))
            chs = out_chs
        self.features = nn.Sequential(*layers, ConvBn(chs, HEAD_CHS, 1, activation_layer=nn.ReLU6))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(HEAD_CHS, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.pool(self.features(x)).flatten(1)
        logits: Tensor = self.classifier(self.dropout(features))
        return logits
