import pytest
import torch
from torch import nn

from repghost.models.architecture import bottleneck_shapes
from repghost.models.bottlenecks import SqueezeExcite
from repghost.models.registry import build
from repghost.models.repghost_spec import RELU_POSITIONS, RepGhostNetSpec

SMALL = {"width": 0.25, "num_classes": 7}


def network(**knobs):
    torch.manual_seed(0)
    return build(RepGhostNetSpec(**(SMALL | knobs)))


@pytest.mark.parametrize("in_chs", [1, 3])
@pytest.mark.parametrize("size", [28, 32, 65])
def test_images_become_logits(in_chs, size):
    logits = network(in_chs=in_chs).eval()(torch.randn(2, in_chs, size, size))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


def test_table_2_at_full_width():
    shapes = bottleneck_shapes(1.0, 2.0, se=True)
    assert [shape.mid_chs for shape in shapes[:6]] == [8, 24, 36, 36, 60, 120]
    assert [shape.out_chs for shape in shapes][-1] == 160
    assert sum(shape.stride == 2 for shape in shapes) == 4
    assert sum(shape.se for shape in shapes) == 7
    assert sum(shape.keeps_shape for shape in shapes) == 11


def test_shortcut_false_removes_11_identities_and_keeps_the_parameters():
    whole, cut = network(), network(shortcut=False)
    kinds = [type(block.shortcut) for block in cut.blocks]
    assert kinds.count(type(None)) == 11
    assert kinds.count(nn.Sequential) == 5
    shapes = {key: value.shape for key, value in whole.state_dict().items()}
    assert {key: value.shape for key, value in cut.state_dict().items()} == shapes
    cut.load_state_dict(whole.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(whole.eval()(x), cut.eval()(x), atol=1e-6)


def test_se_false_leaves_no_squeeze_and_excitation():
    def count(model):
        return sum(isinstance(part, SqueezeExcite) for part in model.modules())

    assert count(network()) == 7
    assert count(network(se=False)) == 0


def test_ratio_divides_the_expansion_and_leaves_the_last_conv():
    two, four = network(width=1.0), network(width=1.0, ratio=4.0)
    assert two.blocks[5].ghost1.primary.conv.out_channels == 120
    assert four.blocks[5].ghost1.primary.conv.out_channels == 60
    assert two.last.conv.out_channels == four.last.conv.out_channels == 960


@pytest.mark.parametrize("relu", RELU_POSITIONS)
def test_only_the_first_module_of_a_bottleneck_has_a_relu(relu):
    for block in network(relu=relu, reparam="bn+id").blocks:
        first, second = block.ghost1.depthwise, block.ghost2.depthwise
        assert (first.inner_relu, first.outer_relu) == (relu != "after_add", relu != "after_dconv")
        assert not second.inner_relu and not second.outer_relu


@pytest.mark.parametrize("relu", RELU_POSITIONS)
def test_every_parameter_is_reached_by_the_gradient(relu):
    model = network(reparam="bn+id+dconv", relu=relu).train()
    model(torch.randn(8, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_dropout_stands_before_the_classifier_and_is_off_by_default():
    assert network().dropout.p == 0.0
    assert build(RepGhostNetSpec(**SMALL), dropout=0.2).dropout.p == 0.2
    with pytest.raises(ValueError, match=r"1\.5"):
        build(RepGhostNetSpec(**SMALL), dropout=1.5)


def test_one_seed_gives_one_network():
    one, two = network().state_dict(), network().state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("width", [0.01, 0.1])
def test_a_very_narrow_network_works(width):
    assert network(width=width).eval()(torch.randn(1, 3, 32, 32)).isfinite().all()
