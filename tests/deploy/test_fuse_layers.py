"""The general pass of fuse on small networks: what it folds, and what it must leave alone."""

import pytest
import torch
from timm.layers import BatchNormAct2d, DropPath, StdConv2d
from torch import nn
from torchvision.ops import StochasticDepth

from repghost.deploy.certificate import spread_statistics
from repghost.deploy.fuse import fuse, not_folded

IMAGE = (4, 9, 9)


def fused_and_equal(model, shape=IMAGE):
    """Return the fused network after a check that it computes what `model` does, in float64."""
    torch.manual_seed(0)
    model = spread_statistics(model.eval(), 0, shape).double()
    fused = fuse(model, shape)
    x = torch.randn(3, *shape, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(fused(x), model(x), rtol=1e-11, atol=1e-11)
    return fused


def norms(network):
    return [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]


LAYERS = {
    "1x1": lambda: nn.Conv2d(4, 6, 1, bias=False),
    "biased": lambda: nn.Conv2d(4, 6, 3),
    "strided": lambda: nn.Conv2d(4, 6, 5, stride=2, padding=2, bias=False),
    "dilated": lambda: nn.Conv2d(4, 6, 3, dilation=2),
    "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2, bias=False),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4, bias=False),
    "rectangular": lambda: nn.Conv2d(4, 6, (1, 3), padding="same"),
    "reflecting": lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    "transposed": lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, bias=False),
    "transposed and grouped": lambda: nn.ConvTranspose2d(4, 6, 3, groups=2),
    "one-dimensional": lambda: nn.Conv1d(4, 6, 3),
    "three-dimensional": lambda: nn.Conv3d(4, 6, (1, 3, 3)),
    "linear": lambda: nn.Linear(4 * 81, 5),
    "linear without bias": lambda: nn.Linear(4 * 81, 5, bias=False),
}
SHAPED = {
    nn.Conv1d: (nn.Flatten(2), nn.BatchNorm1d),
    nn.Conv3d: (nn.Unflatten(2, (1, 9)), nn.BatchNorm3d),
    nn.Linear: (nn.Flatten(), nn.BatchNorm1d),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_every_kind_of_layer_takes_up_the_batchnorm_behind_it(make):
    layer = make()
    shaped, norm = SHAPED.get(type(layer), (nn.Identity(), nn.BatchNorm2d))
    chs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    fused = fused_and_equal(nn.Sequential(shaped, layer, norm(chs), nn.ReLU()))
    assert norms(fused) == [] and not_folded(fused) == []
    assert isinstance(fused[1], type(layer)) and fused[1].bias is not None


@pytest.mark.parametrize("affine", [True, False])
def test_a_batchnorm_with_an_activation_inside_leaves_the_activation(affine):
    norm = BatchNormAct2d(6, affine=affine, act_layer=nn.Hardswish)
    fused = fused_and_equal(nn.Sequential(nn.Conv2d(4, 6, 3), norm))
    assert norms(fused) == [] and isinstance(fused[1], nn.Hardswish)


class Branching(nn.Module):
    """A forward that no symbolic tracing follows."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms, strict=True):
            if x.isnan().any():
                raise ValueError("the input is broken")
            x = norm(conv(x)).relu() + x
        return x


def test_a_forward_with_control_flow_is_folded():
    assert norms(fused_and_equal(Branching())) == []


class Small(nn.Module):
    """Conv and BatchNorm of 4 channels; each subclass uses them in its own way."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)


class ReadTwice(Small):
    def forward(self, x):
        y = self.conv(x)
        return self.bn(y) + y


class ReadInPlace(Small):
    def forward(self, x):
        return self.bn(self.conv(x).relu_())


class Returned(Small):
    def forward(self, x):
        y = self.conv(x)
        return torch.cat([self.bn(y), y])


class ReturnedAsItIs(Small):
    def forward(self, x):
        y = self.conv(x)
        self.bn(y)
        return y


class ConvTwice(Small):
    def forward(self, x):
        return self.bn(self.conv(x)) + self.conv(2 * x)


class NormTwice(Small):
    def forward(self, x):
        return self.bn(self.conv(x)) + self.bn(x)


class ReadTwiceInOneOfTwoCalls(Small):
    def forward(self, x):
        y = self.conv(2 * x)
        return self.bn(self.conv(x)) + self.bn(y) + y


class WeightElsewhere(Small):
    def forward(self, x):
        return self.bn(self.conv(x)) * self.conv.weight.sum()


class ScaleElsewhere(Small):
    def forward(self, x):
        return self.bn(self.conv(x)) * self.bn.weight.sum()


class Concatenated(Small):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(8)

    def forward(self, x):
        return self.bn(torch.cat([self.conv(x), x], 1))


class NormFirst(Small):
    def forward(self, x):
        return self.conv(self.bn(x))


class WeightShared(Small):
    def __init__(self):
        super().__init__()
        self.other = nn.Conv2d(4, 4, 3, padding=1)
        self.other.weight = self.conv.weight

    def forward(self, x):
        return self.bn(self.conv(x)) + self.other(x)


class Standardised(Small):
    """The conv normalises its weight in each call: a scale put into it is lost."""

    def __init__(self):
        super().__init__()
        self.conv = StdConv2d(4, 4, 3)

    def forward(self, x):
        return self.bn(self.conv(x))


class Parametrised(Small):
    def __init__(self):
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(self.conv)

    def forward(self, x):
        return self.bn(self.conv(x))


class OtherAxis(Small):
    """A linear layer's channels are last, BatchNorm's second."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Linear(81, 4), nn.BatchNorm1d(4)

    def forward(self, x):
        return self.bn(self.conv(x.flatten(2)))


class ScaledNorm(nn.BatchNorm2d):
    def forward(self, x):
        return 3 * super().forward(x)


class ReluFirst(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x.relu())


class OwnPreparation(Small):
    def __init__(self):
        super().__init__()
        self.bn = ReluFirst(4)

    def forward(self, x):
        return self.bn(self.conv(x))


class OwnNorm(Small):
    def __init__(self):
        super().__init__()
        self.bn = ScaledNorm(4)

    def forward(self, x):
        return self.bn(self.conv(x))


UNFOLDABLE = [
    ReadTwice,
    ReadInPlace,
    Returned,
    ReturnedAsItIs,
    ConvTwice,
    NormTwice,
    ReadTwiceInOneOfTwoCalls,
    WeightElsewhere,
    ScaleElsewhere,
    Concatenated,
    NormFirst,
    WeightShared,
    Standardised,
    Parametrised,
    OtherAxis,
    OwnNorm,
    OwnPreparation,
]


@pytest.mark.parametrize("network", UNFOLDABLE, ids=lambda kind: kind.__name__)
def test_a_batchnorm_that_is_not_one_layers_own_is_kept_and_named(network):
    fused = fused_and_equal(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), network()))
    assert not_folded(fused) == ["2.bn"]


class TwoLevels(Small):
    def forward(self, x):
        return self.bn(self.conv(x)) + self.bn(self.conv(2 * x))


def test_a_pair_that_is_called_once_a_level_is_folded():
    assert norms(fused_and_equal(TwoLevels())) == []


class TwoNames(Small):
    def __init__(self):
        super().__init__()
        self.steps = nn.ModuleList([self.conv, self.bn])

    def forward(self, x):
        return self.steps[1](self.conv(x))


def test_a_module_with_two_names_is_replaced_under_both():
    fused = fused_and_equal(TwoNames())
    assert norms(fused) == [] and fused.steps[0] is fused.conv


DROPOUTS = [
    nn.Dropout(0.5),
    nn.Dropout2d(0.5),
    nn.AlphaDropout(0.5),
    DropPath(0.5),
    StochasticDepth(0.5, "row"),
]


@pytest.mark.parametrize("dropout", DROPOUTS, ids=lambda part: type(part).__name__)
def test_dropout_of_every_kind_is_removed(dropout):
    fused = fused_and_equal(nn.Sequential(nn.Conv2d(4, 4, 1), dropout, nn.BatchNorm2d(4), dropout))
    assert [type(part) for part in fused] == [nn.Conv2d, *[nn.Identity] * 3]


class Caching(Small):
    def __init__(self):
        super().__init__()
        self.cache = []

    def forward(self, x):
        self.cache.append(x)
        return self.bn(self.conv(x)) + 0 * torch.rand(1)


def test_looking_at_a_forward_leaves_nothing_behind():
    model, state = Caching().eval(), torch.get_rng_state()
    spread_statistics(model, 0, IMAGE)
    fused = fuse(model, IMAGE)
    assert model.cache == fused.cache == []
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in fused.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_an_attribute_of_that_name_is_not_our_protocol():
    model = Caching().eval()
    model.fused = True
    assert norms(fuse(model, IMAGE)) == []


def test_an_input_that_the_network_cannot_take_is_refused_with_shape_and_layer():
    head = nn.Sequential(nn.MaxPool2d(5), nn.MaxPool2d(5))
    with pytest.raises(ValueError) as refused:
        fuse(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), head).eval(), IMAGE)
    message = str(refused.value)
    assert message.startswith("the network cannot take an input of (4, 9, 9) at layer 2.1: ")
    assert "\n" not in message


def test_a_wrong_number_of_channels_is_refused_before_statistics_are_spread():
    with pytest.raises(ValueError, match=r"an input of \(3, 9, 9\) at layer 0: .*channels"):
        spread_statistics(nn.Sequential(nn.Conv2d(4, 4, 1)), 0, (3, 9, 9))
