import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from repghost.deploy.certificate import spread_statistics
from repghost.deploy.fuse import fuse, not_folded
from repghost.models.branches import ConvBn
from repghost.models.registry import build
from repghost.models.repghost_spec import BRANCH_NAMES, RELU_POSITIONS, RepGhostNetSpec

IMAGE = (3, 32, 32)


def spread_network(seed=0, **knobs):
    torch.manual_seed(seed)
    spec = RepGhostNetSpec(**({"width": 0.2, "num_classes": 5} | knobs))
    return spread_statistics(build(spec, dropout=0.2), seed, IMAGE)


specs = st.fixed_dictionaries(
    {
        "reparam": st.lists(st.sampled_from(BRANCH_NAMES), unique=True).map(
            lambda names: "+".join(names) or "none"
        ),
        "relu": st.sampled_from(RELU_POSITIONS),
        "shortcut": st.booleans(),
        "se": st.booleans(),
        "ratio": st.sampled_from([1.0, 2.0, 3.7]),
        "width": st.sampled_from([0.1, 0.2, 0.33]),
        "seed": st.integers(0, 1000),
    }
)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(specs)
def test_fused_network_equals_training_form(knobs):
    model = spread_network(**knobs).double()
    fused = fuse(model, IMAGE)
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected = model(x)
        assert (fused(x) - expected).abs().max() < 1e-10 * max(1, expected.abs().max())
    kinds = {type(part) for part in fused.modules()}
    assert not kinds & {nn.BatchNorm2d, nn.Dropout}


def test_fusing_leaves_the_argument_and_the_random_state_as_they_are():
    model = spread_network(reparam="bn+id+dconv", relu="both")
    before, parts = copy.deepcopy(model.state_dict()), str(model)
    state = torch.get_rng_state()
    fused = fuse(model, IMAGE)
    for parameter in fused.parameters():
        nn.init.zeros_(parameter)
    assert str(model) == parts
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_training_mode_is_refused():
    with pytest.raises(ValueError, match=r"training mode .*model\.eval\(\)"):
        fuse(build(RepGhostNetSpec(width=0.2)), IMAGE)


def test_one_part_in_training_mode_is_refused_by_name():
    model = spread_network()
    model.blocks[3].ghost1.train()
    with pytest.raises(ValueError, match=r"blocks\.3\.ghost1"):
        fuse(model, IMAGE)


def test_a_batchnorm_without_statistics_is_refused():
    block = ConvBn(3, 4, 3)
    block.bn = nn.BatchNorm2d(4, track_running_stats=False)
    with pytest.raises(ValueError, match=r"running statistics \(1\.bn\)"):
        fuse(nn.Sequential(nn.ReLU(), block).eval(), IMAGE)


@pytest.mark.parametrize("affine", [True, False])
def test_a_batchnorm_without_scale_folds_too(affine):
    block = ConvBn(3, 4, 3)
    block.bn = nn.BatchNorm2d(4, affine=affine)
    nn.init.normal_(block.bn.running_mean)
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(fuse(block.eval(), (3, 8, 8))(x), block(x))


@pytest.mark.parametrize("relu", ["after_dconv", "both"])
def test_sums_behind_a_relu_are_kept_and_named(relu):
    names = not_folded(fuse(spread_network(relu=relu), IMAGE))
    assert len(names) == 16
    assert names[0] == "blocks.0.ghost1.depthwise"
    assert not_folded(fuse(spread_network(relu=relu, reparam="none"), IMAGE)) == []
    assert not_folded(fuse(spread_network(), IMAGE)) == []


def test_fused_network_is_float32_and_in_eval_mode():
    fused = fuse(spread_network(reparam="bn+id+dconv"), IMAGE)
    assert not any(part.training for part in fused.modules())
    assert {parameter.dtype for parameter in fused.parameters()} == {torch.float32}
