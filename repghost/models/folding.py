"""Conv or linear + BatchNorm as one biased layer: every fusion's arithmetic, in float64 on the CPU.

Nothing here draws a random number: folding a network in the middle of a training changes nothing.
"""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

Layer = TypeVar("Layer", bound=_ConvNd | nn.Linear)


def batchnorm_scale_shift(bn: _BatchNorm) -> tuple[Tensor, Tensor]:
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


def kernel_bias(layer: _ConvNd | nn.Linear, bn: _BatchNorm | None) -> tuple[Tensor, Tensor]:
    """Return weight (of the layer's shape) and bias `(O,)`, float64, of the layer followed by `bn`.

    The layer is a conv of 1 to 3 dimensions, transposed or not, with any groups, or linear.
    """
    weight = layer.weight.detach().cpu().double()
    bias = weight.new_zeros(_out_chs(layer))
    if layer.bias is not None:
        bias = layer.bias.detach().cpu().double()
    if bn is None:
        return weight, bias
    scale, shift = batchnorm_scale_shift(bn)
    return weight * _per_output(layer, scale), bias * scale + shift


def folded(layer: Layer, bn: _BatchNorm) -> Layer:
    """Return the biased layer equal to `bn(layer(x))` in eval mode; both are left alone."""
    weight, bias = kernel_bias(layer, bn)
    fused = copy.deepcopy(layer)
    fused.weight = nn.Parameter(weight.to(layer.weight))
    fused.bias = nn.Parameter(bias.to(layer.weight))
    fused.train(layer.training)
    return fused


def _out_chs(layer: _ConvNd | nn.Linear) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def _per_output(layer: _ConvNd | nn.Linear, scale: Tensor) -> Tensor:
    """Return `scale` `(O,)` in the shape that multiplies each output's part of the weight."""
    ones = [1] * (layer.weight.ndim - 2)
    if not isinstance(layer, _ConvTransposeNd):
        return scale.reshape(-1, 1, *ones)
    grouped = scale.reshape(layer.groups, -1)  # a transposed weight is (I, O / groups, ...)
    return grouped.repeat_interleave(layer.in_channels // layer.groups, 0).reshape(
        layer.in_channels, -1, *ones
    )


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
