"""Conv + BatchNorm as one biased conv: the arithmetic of every fusion, in float64 on the CPU.

Nothing here draws a random number: folding a network in the middle of a training changes nothing.
"""

import copy

import torch
from torch import Tensor, nn


def batchnorm_scale_shift(bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return `(scale, shift)`, each `(C,)` float64, with bn(x) = scale * x + shift in eval mode.

    Raises:
        ValueError: the BatchNorm keeps no running statistics: in eval mode it is not linear.
    """
    if bn.running_mean is None or bn.running_var is None:
        raise ValueError(f"{bn} keeps no running statistics: it cannot be folded into a conv")
    scale = (bn.running_var.detach().cpu().double() + bn.eps).rsqrt()
    shift = -bn.running_mean.detach().cpu().double() * scale
    if bn.affine:
        weight, bias = bn.weight.detach().cpu().double(), bn.bias.detach().cpu().double()
        return scale * weight, shift * weight + bias
    return scale, shift


def kernel_bias(conv: nn.Conv2d, bn: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """Return kernel `(O, I, k, k)` and bias `(O,)`, float64, of the conv followed by `bn`."""
    kernel = conv.weight.detach().cpu().double()
    bias = kernel.new_zeros(len(kernel)) if conv.bias is None else conv.bias.detach().cpu().double()
    if bn is None:
        return kernel, bias
    scale, shift = batchnorm_scale_shift(bn)
    return kernel * scale.reshape(-1, 1, 1, 1), bias * scale + shift


def folded(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> nn.Conv2d:
    """Return the biased conv equal to `bn(conv(x))` in eval mode; the arguments are left alone."""
    kernel, bias = kernel_bias(conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight = nn.Parameter(kernel.to(conv.weight))
    fused.bias = nn.Parameter(bias.to(conv.weight))
    return fused.train(conv.training)


def depthwise_conv(kernel: Tensor, bias: Tensor, like: Tensor) -> nn.Conv2d:
    """Return the same-size depthwise conv of kernel `(C, 1, k, k)` and bias `(C,)`.

    Its dtype and device are those of `like`.
    """
    chs, size = len(kernel), kernel.shape[-1]
    with torch.random.fork_rng(devices=[]):  # the constructor draws weights that nobody uses
        conv = nn.Conv2d(chs, chs, size, padding=size // 2, groups=chs)
    conv.weight = nn.Parameter(kernel.to(like))
    conv.bias = nn.Parameter(bias.to(like))
    return conv


def centred(kernel: Tensor, size: int) -> Tensor:
    """Return the odd `(C, 1, k, k)` kernel with zeros around it, `(C, 1, size, size)`."""
    return nn.functional.pad(kernel, [(size - kernel.shape[-1]) // 2] * 4)


def identity_kernel(chs: int) -> Tensor:
    """Return the depthwise kernel `(chs, 1, 1, 1)`, float64, that copies its input."""
    return torch.ones(chs, 1, 1, 1, dtype=torch.float64)
