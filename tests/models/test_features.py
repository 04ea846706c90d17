"""Every entry of the registry gives spatial features by one interface, with its own weights."""

import pytest
import torch
from torch import nn

from repghost.deploy.certificate import spread_statistics
from repghost.deploy.fuse import fuse, not_folded
from repghost.models.baselines import TimmSpec
from repghost.models.features import features_of
from repghost.models.paper import ENTRIES
from repghost.models.registry import build

STRIDES = (4, 8, 16, 32)
TIMM = ("resnet18", "mobilenetv4_conv_small", "convnext_atto", "repvit_m0_9", "regnety_002")
SPECS = {name: entry.spec for name, entry in ENTRIES.items()}
SPECS |= {f"timm-{name}": TimmSpec(name=name) for name in TIMM}


@pytest.mark.parametrize("name", SPECS)
class TestFeatures:
    def test_maps_have_the_strides_and_channels_that_are_said(self, name):
        features = features_of(build(SPECS[name]), STRIDES).eval()
        with torch.no_grad():
            maps = features(torch.randn(2, 3, 96, 64))
        expected = [(2, c, 96 // s, 64 // s) for s, c in zip(STRIDES, features.chs, strict=True)]
        assert [tuple(one.shape) for one in maps] == expected
        assert features.strides == STRIDES
        coarse = features_of(build(SPECS[name]), STRIDES[1:])
        assert coarse.chs == features.chs[1:]

    def test_the_classifier_would_go_on_from_the_last_map(self, name):
        network = spread_statistics(build(SPECS[name]).eval(), 0, (3, 64, 64))
        seen: list[torch.Tensor] = []
        hooks = [
            part.register_forward_hook(lambda part, inputs, out: seen.append(out))
            for part in network.modules()
        ]
        image = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            network(image)
            for hook in hooks:
                hook.remove()
            last = features_of(network, STRIDES)(image)[-1]
        tensors = [one for one in seen if isinstance(one, torch.Tensor)]
        assert any(one.shape == last.shape and torch.equal(one, last) for one in tensors)

    def test_fused_features_equal_those_of_the_training_form(self, name):
        features = features_of(build(SPECS[name]), STRIDES).eval()
        spread = spread_statistics(features, 0, (3, 64, 64)).double()
        fused = fuse(spread, (3, 64, 64))
        image = torch.randn(2, 3, 64, 64, dtype=torch.float64)
        with torch.no_grad():
            for ours, theirs in zip(fused(image), spread(image), strict=True):
                assert (ours - theirs).abs().max() < 1e-9 * theirs.abs().max()
        norms = [part for part in fused.modules() if isinstance(part, nn.BatchNorm2d)]
        assert not norms
        assert len(not_folded(fused)) == (16 if name == "module-b" else 0)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "mixer_s16_224"])
def test_a_network_of_one_resolution_is_refused_with_what_it_has(name):
    with pytest.raises(ValueError, match=r"no features at stride 8, 32 \(it has 16\)"):
        features_of(build(TimmSpec(name=name)), (8, 16, 32))


def test_grey_images_and_the_mode_of_the_network_are_kept():
    spec = type(SPECS["repghostnet-0.5x"])(width=0.5, in_chs=1)
    features = features_of(build(spec), (8, 16, 32), in_chs=1)
    assert all(part.training for part in features.modules())
    assert [one.shape[1] for one in features(torch.randn(2, 1, 64, 64))] == list(features.chs)
