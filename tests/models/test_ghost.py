import pytest
import torch

from repghost.models.ghost import GhostModule

timm_ghostnet = pytest.importorskip("timm.models.ghostnet")

# in_chs, out_chs, ratio, relu, kernel_size, dw_size, stride: odd widths are cut, as timm cuts them
SETTINGS = [
    (6, 8, 2, True, 1, 3, 1),
    (6, 7, 2, True, 1, 3, 1),
    (5, 9, 2, False, 3, 5, 2),
    (4, 12, 4, True, 3, 3, 2),
    (4, 13, 3, False, 1, 1, 1),
]


def image(chs, size=9):
    return torch.randn(2, chs, size, size, generator=torch.Generator().manual_seed(1))


def spread(module):
    """Move every BatchNorm away from fresh, where a swapped one would not be seen."""
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for tensor in (part.weight.data, part.bias.data, part.running_mean, part.running_var):
                tensor.uniform_(0.5, 1.5)


def twin(setting):
    """Ours and timm's module with the same random weights and spread statistics."""
    in_chs, out_chs, ratio, relu, kernel_size, dw_size, stride = setting
    torch.manual_seed(0)
    ours = GhostModule(in_chs, out_chs, ratio, relu, kernel_size, dw_size, stride)
    spread(ours)
    act = torch.nn.ReLU if relu else torch.nn.Identity
    theirs = timm_ghostnet.GhostModule(
        in_chs, out_chs, kernel_size, ratio, dw_size, stride, act_layer=lambda inplace: act()
    )
    names = {"primary.": "primary_conv.", "cheap.": "cheap_operation."}
    state = {}
    for key, value in ours.state_dict().items():
        part = key.split(".")[0] + "."
        state[key.replace(part, names[part], 1)] = value
    theirs.load_state_dict(state)
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_module_computes_what_timms_ghost_module_computes(setting):
    ours, theirs = twin(setting)
    x = image(setting[0])
    with torch.no_grad():
        y, expected = ours(x), theirs(x)
    assert y.shape == expected.shape == (2, setting[1], *expected.shape[2:])
    assert ours.out_chs == setting[1]
    assert expected.std() > 1e-3
    assert torch.equal(y, expected)


@pytest.mark.parametrize("out_chs", [8, 7])
def test_add_gives_the_sum_of_the_two_tensors_that_concat_joins(out_chs):
    torch.manual_seed(0)
    concat = GhostModule(6, out_chs, relu=False).eval()
    add = GhostModule(6, out_chs, relu=False, reuse="add").eval()
    add.load_state_dict(concat.state_dict())  # the same two convs: the same shapes are added
    x, half = image(6), -(-out_chs // 2)
    with torch.no_grad():
        expected = concat.primary(x) + concat.cheap(concat.primary(x))
        assert add.out_chs == half
        assert torch.equal(add(x), expected)
        assert add(x).shape == (2, half, 9, 9)


@pytest.mark.parametrize("reuse", ["concat", "add"])
def test_module_trains(reuse):
    torch.manual_seed(0)
    module = GhostModule(3, 8, reuse=reuse)
    module(image(3)).square().mean().backward()
    gradients = [parameter.grad for parameter in module.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"reuse": "mul"}, r"reuse=mul: allowed are concat, add"),
        ({"ratio": 1}, r"ratio=1: must be a whole number of at least 2"),
        ({"ratio": 2.5}, r"ratio=2\.5: must be a whole number"),
        ({"ratio": 4, "reuse": "add"}, r"ratio=4: reuse=add .* needs 2"),
        ({"kernel_size": 2}, r"kernel_size=2: must be odd"),
        ({"dw_size": 4}, r"dw_size=4: must be odd"),
        ({"stride": 0}, r"stride=0: must be a whole number of at least 1"),
        ({"out_chs": 0}, r"out_chs=0: must be a whole number of at least 1"),
    ],
    ids=str,
)
def test_an_argument_that_it_cannot_have_is_refused_by_name(setting, said):
    with pytest.raises(ValueError, match=said):
        GhostModule(**({"in_chs": 4, "out_chs": 8} | setting))
