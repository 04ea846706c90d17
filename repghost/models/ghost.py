"""The Ghost module (arXiv:1911.11907; Figure 3a of arXiv:2211.06088) and its reuse by adding."""

import math

import torch
from torch import Tensor, nn

REUSES = ("concat", "add")


class GhostModule(nn.Module):
    """A k x k conv makes the first channels, a cheap depthwise conv of these makes the others.

    (N, in_chs, H, W) -> (N, self.out_chs, H / stride, W / stride). `ratio` is s: the primary conv
    makes ceil(out_chs / s) channels, the cheap one s - 1 as many; each conv has a BatchNorm and, if
    `relu`, a ReLU. `reuse="concat"` concatenates both and cuts the result to `out_chs`;
    `reuse="add"` (s = 2) adds the two tensors, of the very shapes that would be concatenated, so
    that `self.out_chs` is ceil(out_chs / 2) (arXiv:2211.06088, Table 1).

    Raises:
        ValueError: a size below 1, an even kernel, an unknown `reuse`, a ratio that it cannot have.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        ratio: int = 2,
        relu: bool = True,
        kernel_size: int = 1,
        dw_size: int = 3,
        stride: int = 1,
        reuse: str = "concat",
    ) -> None:
        super().__init__()
        _check_positive(in_chs=in_chs, out_chs=out_chs, stride=stride)
        _check_odd(kernel_size=kernel_size, dw_size=dw_size)
        _check_reuse(ratio, reuse)
        primary_chs = math.ceil(out_chs / ratio)
        cheap_chs = primary_chs * (ratio - 1)
        self.reuse = reuse
        self.out_chs = out_chs if reuse == "concat" else primary_chs
        self.surplus = primary_chs + cheap_chs - out_chs if reuse == "concat" else 0
        self.primary = _conv_bn(in_chs, primary_chs, kernel_size, stride, 1, relu)
        self.cheap = _conv_bn(primary_chs, cheap_chs, dw_size, 1, primary_chs, relu)

    def forward(self, x: Tensor) -> Tensor:
        primary: Tensor = self.primary(x)
        cheap: Tensor = self.cheap(primary)
        if self.reuse == "add":
            return primary + cheap
        y = torch.cat([primary, cheap], dim=1)
        return y[:, : self.out_chs] if self.surplus else y


def _conv_bn(
    in_chs: int, out_chs: int, kernel_size: int, stride: int, groups: int, relu: bool
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            in_chs, out_chs, kernel_size, stride, kernel_size // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_chs),
        nn.ReLU(inplace=True) if relu else nn.Identity(),
    )


def _check_positive(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name}={value}: must be a whole number of at least 1")


def _check_odd(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1 or value % 2 == 0:
            raise ValueError(f"{name}={value}: must be odd and at least 1")


def _check_reuse(ratio: int, reuse: str) -> None:
    if reuse not in REUSES:
        raise ValueError(f"reuse={reuse}: allowed are {', '.join(REUSES)}")
    if ratio < 2 or ratio != int(ratio):
        raise ValueError(f"ratio={ratio}: must be a whole number of at least 2")
    if reuse == "add" and ratio != 2:
        raise ValueError(f"ratio={ratio}: reuse=add adds two tensors of one shape, so it needs 2")
