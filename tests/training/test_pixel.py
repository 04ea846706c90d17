"""Convolutions of a single pixel are trained as the product that they are."""

import copy

import pytest
import torch
from torch import nn

from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.training.layout import channels_last
from repghost.training.pixel import PixelConv2d, with_pixel_convs

CPU = torch.device("cpu")
CONVS = {
    "pointwise": lambda: nn.Conv2d(12, 20, 1),
    "pointwise, strided, no bias": lambda: nn.Conv2d(12, 20, 1, stride=2, bias=False),
    "dense 3x3": lambda: nn.Conv2d(12, 20, 3, padding=1),
    "dense 3x5": lambda: nn.Conv2d(12, 20, (3, 5), padding=(1, 2), stride=2),
    "dilated": lambda: nn.Conv2d(12, 20, 3, padding=2, dilation=2),
    "depthwise 5x5": lambda: nn.Conv2d(12, 12, 5, padding=2, stride=2, groups=12, bias=False),
    "depthwise 1x1 with bias": lambda: nn.Conv2d(12, 12, 1, groups=12),
}
OTHERS = {
    "padding by its name": lambda: nn.Conv2d(12, 20, 3, padding="same"),
    "groups": lambda: nn.Conv2d(12, 24, 1, groups=3),
    "a channel multiplied": lambda: nn.Conv2d(12, 24, 1, groups=12),
    "circular": lambda: nn.Conv2d(12, 20, 3, padding=1, padding_mode="circular"),
    "off centre": lambda: nn.Conv2d(12, 20, 3, padding=2),
    "even": lambda: nn.Conv2d(12, 20, 2, padding=1),
}


def outcome(conv: nn.Conv2d, images: torch.Tensor) -> list[torch.Tensor]:
    """Return outputs and gradients of all that has one."""
    images = images.clone().requires_grad_()
    outputs = conv(images)
    outputs.square().sum().backward()
    return [outputs.detach(), images.grad, *(one.grad for one in conv.parameters())]


@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("kind", [*CONVS, *OTHERS])
def test_outputs_and_gradients_are_those_of_a_convolution(kind, side):
    torch.manual_seed(0)
    plain = {**CONVS, **OTHERS}[kind]().double()
    images = torch.randn(4, 12, side, side, dtype=torch.double)
    (new,) = with_pixel_convs(nn.ModuleList([copy.deepcopy(plain)]))
    assert (type(new) is PixelConv2d) == (kind in CONVS)
    for found, right in zip(outcome(new, images), outcome(plain, images), strict=True):
        torch.testing.assert_close(found, right)


def test_in_eval_mode_and_under_autocast_it_is_a_convolution():
    torch.manual_seed(0)
    plain = nn.Conv2d(12, 20, 3, padding=1)
    (new,) = with_pixel_convs(nn.ModuleList([copy.deepcopy(plain)]))
    images = torch.randn(4, 12, 1, 1)
    assert torch.equal(new.eval()(images), plain(images))
    with torch.autocast("cpu", torch.bfloat16):
        found = new.train()(images)
        assert found.dtype == torch.bfloat16 and torch.equal(found, plain(images))


def test_a_step_of_a_network_is_that_of_plain_convolutions():
    torch.manual_seed(0)
    plain = build(RepGhostNetSpec(width=0.5, num_classes=10)).double()
    new = channels_last(copy.deepcopy(plain), CPU)
    kinds = {type(layer) for layer in new.modules()}
    assert PixelConv2d in kinds
    images = torch.randn(4, 3, 32, 32, dtype=torch.double)
    for network in (plain, new):
        network.train()(images).square().sum().backward()
    for (name, one), other in zip(new.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=name)
