import pytest
import torch

from repghost.models.cost import count
from repghost.models.proxylessnas import BLOCKS, InvertedResidual, ProxylessNAS


def test_parameters_and_macs_are_those_of_the_released_architecture():
    cost = count(ProxylessNAS(), (3, 224, 224))
    assert (cost.params, cost.macs) == (4_080_512, 320_427_584)
    assert (round(cost.params / 1e6, 1), round(cost.macs / 1e6)) == (4.1, 320)  # Table 3


@pytest.mark.parametrize("size", [32, 224])
def test_images_of_any_size_give_logits(size):
    torch.manual_seed(0)
    network = ProxylessNAS(num_classes=7, in_chs=1).eval()
    with torch.no_grad():
        logits = network(torch.randn(1, 1, size, size))
    assert logits.shape == (1, 7)
    assert logits.isfinite().all()


def test_a_block_that_keeps_the_shape_adds_its_input_and_no_other_does():
    torch.manual_seed(0)
    x = torch.randn(1, 8, 6, 6)
    for out_chs, stride in ((8, 1), (8, 2), (12, 1)):
        block = InvertedResidual(8, out_chs, 5, 3, stride).eval()
        with torch.no_grad():
            y, layers = block(x), block.layers(x)
        assert y.shape == (1, out_chs, 6 // stride, 6 // stride)
        assert torch.equal(y, layers + x if (out_chs, stride) == (8, 1) else layers)


def test_the_network_has_one_block_a_row_and_only_the_first_does_not_expand():
    blocks = [part for part in ProxylessNAS().modules() if isinstance(part, InvertedResidual)]
    assert len(blocks) == len(BLOCKS) == 20
    assert [len(block.layers) for block in blocks] == [2] + [3] * 19


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"num_classes": 0}, r"num_classes=0, in_chs=3: each must be at least 1"),
        ({"in_chs": -1}, r"num_classes=1000, in_chs=-1: each must be at least 1"),
        ({"dropout": -0.1}, r"dropout"),
    ],
    ids=str,
)
def test_an_argument_that_it_cannot_have_is_refused_by_name(setting, said):
    with pytest.raises(ValueError, match=said):
        ProxylessNAS(**setting)
