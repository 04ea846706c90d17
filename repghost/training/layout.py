"""Channels-last networks, but for the convolutions whose gradients oneDNN spoils in that layout.

On a CPU their convolutions also know a single pixel (`repghost.training.pixel`).

oneDNN 3.13's gradient of the weights of a strided 1x1 convolution writes past its scratch memory
where images are channels-last and fewer than a vector of channels come in: on AVX2 the process
dies, on AVX-512 the gradient can be wrong (uxlfoundation/oneDNN issue 6035). MobileOne's stem is
such a one.
"""

from typing import Any

import torch
from torch import Tensor, nn

from repghost.training.pixel import with_pixel_convs

VECTOR = 16  # channels: an AVX-512 register of float32; AVX2 has 8


def channels_last(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the network on `device`, channels-last where that is safe; it is changed in place."""
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu":
        with_pixel_convs(model)
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d) and _is_spoilt(layer):
                layer.weight.data = layer.weight.data.clone(memory_format=torch.contiguous_format)
                layer.register_forward_pre_hook(_plain)
    return model


def _is_spoilt(conv: nn.Conv2d) -> bool:
    pointwise = conv.kernel_size == (1, 1) and conv.stride != (1, 1)
    return pointwise and conv.groups == 1 and conv.in_channels < VECTOR


def _plain(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor]:
    (images,) = inputs
    return (images.contiguous(),)
