"""Convolutions of a single pixel, trained on a CPU as the product that they are.

Behind a global pooling (squeeze-and-excite, the last layer before a classifier), and in the last
stages of a network that is given small images, a convolution sees one pixel: its centre tap alone
counts. oneDNN takes two to three times as long for it as a matrix product does.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class PixelConv2d(nn.Conv2d):
    """A convolution that in training mode takes an image of one pixel for a vector.

    In eval mode, and so where it is fused, certified and exported, it is a `Conv2d`.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')"""
        if not self.training or images.shape[2:] != (1, 1) or torch.is_autocast_enabled("cpu"):
            return super().forward(images)
        centre = self._centre()
        if self.groups == 1:
            found = functional.linear(images.flatten(1), centre, self.bias)
        else:
            found = images.flatten(1) * centre[:, 0]
            found = found if self.bias is None else found + self.bias
        return found[:, :, None, None]

    def _centre(self) -> Tensor:
        """Return the centre tap: (C', C)."""
        if self.kernel_size == (1, 1):
            return self.weight.flatten(1)  # a view, whose gradient needs no zeros around it
        row, column = (side // 2 for side in self.kernel_size)
        return self.weight[:, :, row, column]


def with_pixel_convs(model: nn.Module) -> nn.Module:
    """Let the network's convolutions know a single pixel; it is changed in place."""
    for layer in model.modules():
        if type(layer) is nn.Conv2d and _sees_its_centre(layer):
            layer.__class__ = PixelConv2d
    return model


def _sees_its_centre(conv: nn.Conv2d) -> bool:
    """Whether it makes one pixel of one by its centre tap, of all channels or each its own."""
    depthwise = conv.groups == conv.in_channels == conv.out_channels
    centred = all(
        side % 2 and padding == dilation * (side // 2)
        for side, padding, dilation in zip(
            conv.kernel_size, conv.padding, conv.dilation, strict=False
        )
    )
    return centred and conv.padding_mode == "zeros" and (conv.groups == 1 or depthwise)
