import math
from functools import partial

import pytest
import torch

from repghost.models.branches import RepDepthwise
from repghost.models.cost import count
from repghost.models.ghost import GhostModule
from repghost.models.res50 import GhostRes50, RepGhostRes50

# network: parameters, MACs at 224 pixels, and both as Table 5 prints them (None: it differs)
GOLDEN = {
    "ghost s=2": (partial(GhostRes50, 2), 13_953_512, 2_151_023_360, 14.0, 2.2),
    "ghost s=4": (partial(GhostRes50, 4), 8_151_752, 1_181_942_912, 8.2, 1.2),
    "repghost s=2": (partial(RepGhostRes50, 2.0), 7_099_752, 1_173_775_104, 7.1, 1.2),
    "repghost s=1.414": (
        partial(RepGhostRes50, math.sqrt(2)),
        13_467_839,
        2_183_680_346,
        None,
        2.2,
    ),
    "repghost s=1.4": (partial(RepGhostRes50, 1.4), 13_731_742, 2_225_231_617, None, 2.2),
    "repghost s=10/7": (partial(RepGhostRes50, 10 / 7), 13_204_266, 2_145_761_220, 13.2, None),
}
SMALL = {
    "ghost": lambda **known: GhostRes50(4, **known),
    "repghost": lambda **known: RepGhostRes50(8.0, **known),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_parameters_and_macs_are_those_of_table_5(name):
    make, params, macs, printed_params, printed_macs = GOLDEN[name]
    cost = count(make(), (3, 224, 224))
    assert (cost.params, cost.macs) == (params, macs)
    if printed_params:
        assert round(cost.params / 1e6, 1) == printed_params
    if printed_macs:
        assert round(cost.macs / 1e9, 1) == printed_macs


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("make", SMALL.values(), ids=SMALL)
def test_images_of_any_size_give_logits(make, size):
    torch.manual_seed(0)
    network = make(num_classes=7, in_chs=1).eval()
    with torch.no_grad():
        logits = network(torch.randn(1, 1, size, size))
    assert logits.shape == (1, 7)
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("make", "module"), [(SMALL["ghost"], GhostModule), (SMALL["repghost"], RepDepthwise)]
)
def test_every_conv_of_the_bottlenecks_and_shortcuts_is_a_module(make, module):
    network = make()
    modules = [part for part in network.stages.modules() if isinstance(part, module)]
    assert len(modules) == 3 * (3 + 4 + 6 + 3) + 4
    assert not any(isinstance(part, module) for part in network.stem.modules())


def test_branches_of_the_modules_are_those_asked_for():
    none, both = (RepGhostRes50(8.0, names) for names in ((), ("bn", "dconv")))
    chs = [part.branches["main"].chs for part in both.modules() if isinstance(part, RepDepthwise)]
    added = sum(parameter.numel() for parameter in both.parameters()) - sum(
        parameter.numel() for parameter in none.parameters()
    )
    assert added == 5 * sum(chs)  # a BatchNorm; a 1 x 1 depthwise conv and its BatchNorm


@pytest.mark.parametrize("ratio", [1, 1.4, 3.3, 64, 100])
def test_every_ratio_down_to_one_channel_a_stage_gives_a_network(ratio):
    network = RepGhostRes50(ratio, num_classes=3).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (partial(GhostRes50, 1), r"ratio=1: must be a whole number of at least 2"),
        (partial(GhostRes50, 2.5), r"ratio=2\.5: must be a whole number of at least 2"),
        (partial(RepGhostRes50, 0.5), r"ratio=0\.5: must be a number of at least 1"),
        (partial(RepGhostRes50, math.nan), r"ratio=nan: must be a number of at least 1"),
        (partial(RepGhostRes50, 200), r"ratio=200: leaves 0\.32 of 64 channels in stage 1"),
        (partial(RepGhostRes50, 8, ("bm",)), r"bm unknown or repeated; allowed are bn, id, dconv"),
        (
            partial(GhostRes50, 2, num_classes=0),
            r"num_classes=0, in_chs=3: each must be at least 1",
        ),
        (partial(GhostRes50, 2, in_chs=0), r"num_classes=1000, in_chs=0: each must be at least 1"),
        (partial(RepGhostRes50, 8, dropout=2.0), r"dropout"),
    ],
    ids=str,
)
def test_an_argument_that_it_cannot_have_is_refused_by_name(make, said):
    with pytest.raises(ValueError, match=said):
        make()
