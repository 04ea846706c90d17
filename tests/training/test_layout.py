"""Networks are channels-last but for what oneDNN gets wrong there."""

import pytest
import torch
from torch import nn

from repghost.training.layout import channels_last

CPU = torch.device("cpu")


def gradient(conv: nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
    conv.zero_grad()
    conv(images).square().sum().backward()
    return conv.weight.grad.clone()


@pytest.mark.parametrize("in_chs", [1, 3, 4, 7, 8, 15, 16, 24])
def test_gradients_of_a_strided_pointwise_convolution_are_right(in_chs):
    torch.manual_seed(0)
    plain = nn.Conv2d(in_chs, 16, 1, stride=2)
    images = torch.randn(4, in_chs, 32, 32)
    right = gradient(plain.double(), images.double())
    conv = channels_last(plain.float(), CPU)
    for _ in range(5):  # what is written past the end is met by a later one
        found = gradient(conv, images.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(found.double(), right, rtol=1e-4, atol=1e-3)


def test_only_what_is_spoilt_is_not_channels_last():
    few, many, wide = nn.Conv2d(3, 8, 1, 2), nn.Conv2d(16, 8, 1, 2), nn.Conv2d(3, 8, 3, 2)
    net = channels_last(nn.ModuleList([few, many, wide]), CPU)
    assert [len(layer._forward_pre_hooks) for layer in net] == [1, 0, 0]
    assert wide.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_state_and_its_copy_are_as_without():
    net = channels_last(nn.Sequential(nn.Conv2d(3, 8, 1, 2)), CPU)
    assert list(net.state_dict()) == ["0.weight", "0.bias"]
    again = nn.Sequential(nn.Conv2d(3, 8, 1, 2))
    again.load_state_dict(net.state_dict())
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(again(images), net(images))
