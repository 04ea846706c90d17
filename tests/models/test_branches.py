import copy
from itertools import combinations

import pytest
import torch
from torch import nn

from repghost.deploy.certificate import spread_statistics
from repghost.models.branches import BRANCHES, ConvBn, KeptSum, RepDepthwise
from repghost.models.repghost_spec import RELU_POSITIONS

SUBSETS = [names for n in range(len(BRANCHES) + 1) for names in combinations(BRANCHES, n)]
KERNELS = (1, 3, 5, 7)


def spread_block(*args, seed=0, **kwargs):
    torch.manual_seed(seed)
    return spread_statistics(RepDepthwise(*args, **kwargs), seed, (args[0], 9, 8)).double()


def noise(chs, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, chs, 9, 8, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("relu", [None, *RELU_POSITIONS])
@pytest.mark.parametrize("kernel_size", KERNELS)
@pytest.mark.parametrize("branches", SUBSETS, ids="+".join)
def test_fused_block_equals_training_form(branches, kernel_size, relu):
    block = spread_block(4, branches, kernel_size, relu)
    fused = block.fused()
    x = noise(4)
    assert (fused(x) - block(x)).abs().max() < 1e-10
    assert not any(isinstance(part, nn.BatchNorm2d) for part in fused.modules())


@pytest.mark.parametrize("kernel_size", KERNELS)
@pytest.mark.parametrize("branches", SUBSETS, ids="+".join)
def test_a_fusion_that_drops_the_bias_is_noticed(branches, kernel_size):
    block = spread_block(4, branches, kernel_size)
    fused = block.fused()
    nn.init.zeros_(fused.bias)
    assert (fused(noise(4)) - block(noise(4))).abs().max() > 1e-3


def convs(module):
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


@pytest.mark.parametrize("branches", SUBSETS, ids="+".join)
def test_linear_sum_becomes_one_conv_and_a_relu_inside_keeps_the_sum(branches):
    assert len(convs(spread_block(4, branches, relu="after_add").fused())) == 1
    kept = spread_block(4, branches, relu="both").fused()
    assert isinstance(kept, KeptSum) == bool(branches)
    rest = len(set(branches) - {"id"}) > 0
    assert len(convs(kept)) == 1 + rest  # a plain identity needs no conv


@pytest.mark.parametrize("relu", RELU_POSITIONS)
def test_relu_positions_are_the_three_formulas(relu):
    block = spread_block(4, ("bn", "id"), relu=relu)
    x = noise(4)
    main, rest = block.branches["main"](x), block.branches["bn"](x) + x
    expected = {
        "after_add": (main + rest).relu(),
        "after_dconv": main.relu() + rest,
        "both": (main.relu() + rest).relu(),
    }
    torch.testing.assert_close(block(x), expected[relu])


def test_without_branches_the_relu_positions_are_one_network():
    x = noise(4)
    outputs = [spread_block(4, (), relu=relu)(x) for relu in RELU_POSITIONS]
    assert torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize("relu", [None, *RELU_POSITIONS])
@pytest.mark.parametrize("branches", SUBSETS, ids="+".join)
def test_gradients_equal_numerical_ones(branches, relu):
    block = spread_block(2, branches, relu=relu)
    x = noise(2)[:1, :, :4, :4].clone().requires_grad_()
    # cloned: the input of the network is never written to by a ReLU that works in place
    assert torch.autograd.gradcheck(lambda x: block(x * 1.0), (x,))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("kernel_size", "stride", "groups"), [(1, 1, 1), (3, 2, 4), (5, 2, 1)])
def test_fused_conv_bn_equals_training_form(kernel_size, stride, groups, relu):
    torch.manual_seed(0)
    block = ConvBn(4, 8, kernel_size, stride, groups, relu=relu)
    block = spread_statistics(block, 0, (4, 9, 8)).double()
    assert (block.fused()(noise(4)) - block(noise(4))).abs().max() < 1e-10


def test_fusing_a_block_leaves_it_and_the_random_state_as_they_are():
    block = spread_block(4, tuple(BRANCHES), relu="both")
    before, state = copy.deepcopy(block.state_dict()), torch.get_rng_state()
    fused = block.fused()
    for parameter in fused.parameters():
        nn.init.zeros_(parameter)
    assert all(torch.equal(value, before[key]) for key, value in block.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"branches": ("bn", "conv")}, "conv"),
        ({"branches": ("bn", "bn")}, "bn"),
        ({"branches": (), "kernel_size": 4}, "kernel_size=4"),
        ({"branches": (), "kernel_size": 0}, "kernel_size=0"),
        ({"branches": (), "relu": "before"}, "relu=before"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, found):
    with pytest.raises(ValueError, match=found):
        RepDepthwise(4, **arguments)
