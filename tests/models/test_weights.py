import argparse
import fractions

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models as torchvision_models

from repghost.models.baselines import (
    EfficientNetSpec,
    MobileNetV2Spec,
    MobileNetV3Spec,
    MobileOneSpec,
    ShuffleNetV2Spec,
)
from repghost.models.registry import build
from repghost.models.repghost_spec import GhostNetSpec, RepGhostNetSpec
from repghost.models.weights import load_weights, read_checkpoint


def spread(network):
    """Return it in eval mode, its BatchNorms as far from fresh as after a training."""
    generator = torch.Generator().manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 1.5, generator=generator)
            part.bias.data.uniform_(-0.5, 0.5, generator=generator)
            part.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 64, 64, generator=generator))
    return network.eval()


def branch(kind, chs):
    """One branch as the paper's code holds it: what is before the BatchNorm, and that."""
    conv = nn.Conv2d(chs, chs, 1, groups=chs, bias=False) if kind == "dconv" else nn.Identity()
    return conv, nn.Identity() if kind == "id" else nn.BatchNorm2d(chs)


def released(branches, name="repghostnet_050"):
    """A network with the names of the paper's code, whose forward sums its list of branches."""
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False)
    for module in network.modules():
        if hasattr(module, "fusion_bn"):
            pairs = [branch(kind, module.out_chs) for kind in branches]
            module.fusion_conv = nn.Sequential(*(conv for conv, _ in pairs))
            module.fusion_bn = nn.Sequential(*(norm for _, norm in pairs))
    return spread(network)


def assert_same_function(ours, theirs):
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(x)
        assert (ours.eval()(x) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert expected.std(0).max() > 1e-2  # the outputs do depend on the image


@pytest.mark.parametrize(
    ("name", "width"),
    [("repghostnet_050", 0.5), ("repghostnet_100", 1.0), ("repghostnet_130", 1.3)],
)
def test_timms_weights_give_timms_outputs(name, width):
    torch.manual_seed(0)
    theirs = spread(timm.create_model(name, pretrained=False))
    ours = build(RepGhostNetSpec(width=width))
    load_weights(ours, theirs.state_dict())
    assert_same_function(ours, theirs)


@pytest.mark.parametrize(
    "branches",
    [[], ["id"], ["bn"], ["bn", "id"], ["dconv"], ["dconv", "bn"], ["bn", "dconv", "id"]],
    ids="+".join,
)
def test_the_papers_names_load_into_the_variant_with_the_same_branches(branches):
    theirs = released(branches)
    ours = build(RepGhostNetSpec(reparam="+".join(branches) or "none"))
    load_weights(ours, theirs.state_dict())
    assert_same_function(ours, theirs)


def test_an_ablation_that_keeps_the_branches_takes_the_weights():
    for spec in (RepGhostNetSpec(shortcut=False), RepGhostNetSpec(relu="both")):
        ours, state = build(spec), released(["bn"]).state_dict()
        load_weights(ours, state)
        assert torch.equal(ours.stem.conv.weight, state["conv_stem.weight"])


def test_our_own_names_load_as_they_are():
    torch.manual_seed(0)
    source, target = spread(build(RepGhostNetSpec())), build(RepGhostNetSpec())
    load_weights(target, source.state_dict())
    assert_same_function(target, source)


def refusal(ours, state):
    """What is said of weights that do not fit, after a look that nothing was changed."""
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    with pytest.raises(ValueError) as refused:
        load_weights(ours, state)
    assert all(torch.equal(value, before[key]) for key, value in ours.state_dict().items())
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (RepGhostNetSpec(width=1.0), "conv_stem.weight is (8, 3, 3, 3), expected (16, 3, 3, 3)"),
        (
            RepGhostNetSpec(num_classes=10),
            "2 of another shape: classifier.weight is (1000, 1280), ",
        ),
        (RepGhostNetSpec(in_chs=1), "1 of another shape: conv_stem.weight is (8, 3, 3, 3), "),
        (RepGhostNetSpec(reparam="none"), "128 unexpected: blocks.0.0.ghost1.fusion_bn.0.weight, "),
        (
            RepGhostNetSpec(reparam="bn+dconv"),
            "160 missing: blocks.0.ghost1.depthwise.branches.",
        ),
        (RepGhostNetSpec(se=False), "unexpected: blocks.3.0.se.conv_reduce.weight, "),
    ],
    ids=["width", "classes", "in_chs", "fewer branches", "more branches", "no SE"],
)
def test_weights_that_do_not_fit_are_named_and_change_nothing(spec, found):
    assert found in refusal(build(spec), released(["bn"]).state_dict())


def test_only_the_first_keys_are_named():
    said = refusal(build(RepGhostNetSpec(width=1.0)), released(["bn"]).state_dict())
    assert said.count(", expected ") == 5
    assert " more" in said


def test_weights_of_another_network_are_refused_by_name():
    state = {"layer1.weight": torch.zeros(1), "blocks.0.0.x": torch.ones(1)}
    said = refusal(build(RepGhostNetSpec()), state)
    assert "missing: stem.conv.weight" in said
    assert "2 unexpected: layer1.weight, blocks.0.0.x" in said


@pytest.mark.parametrize(
    "key",
    [
        "blocks.9.0.ghost1.primary_conv.0.weight",
        "blocks.6.5.conv_dw.weight",
        "blocks.0.0.ghost1.fusion_bn.1.weight",
        "blocks.0.0.ghost1.other.0.weight",
    ],
)
def test_a_released_name_that_stands_nowhere_is_unexpected(key):
    state = released(["bn"]).state_dict() | {key: torch.zeros(1)}
    said = refusal(build(RepGhostNetSpec()), state)
    assert "unexpected" in said and key.rpartition(".")[0][:15] in said


def test_a_deployed_checkpoint_is_refused_for_what_it_is():
    theirs = released(["bn"])
    theirs.convert_to_deploy()
    said = refusal(build(RepGhostNetSpec()), theirs.state_dict())
    assert "this is a deployed RepGhostNet (blocks.0.0.ghost1.cheap_operation.weight)" in said


@pytest.mark.parametrize("counters", [True, False], ids=["counters", "no counters"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: torchvision_models.shufflenet_v2_x0_5(weights=None),
        lambda: timm.create_model("mobilenetv3_small_050", pretrained=False),
    ],
    ids=["torchvision", "timm"],
)
def test_a_librarys_own_weights_load_into_its_network(make, counters):
    torch.manual_seed(0)
    source, target = spread(make()), make()
    state = {
        key: value
        for key, value in source.state_dict().items()
        if counters or not key.endswith("num_batches_tracked")  # old releases have none
    }
    load_weights(target, state)
    assert_same_function(target, source)
    del state[next(key for key in state if key.endswith("running_mean"))]
    assert "1 missing: " in refusal(target, state)


def trainer_checkpoint(prefix=""):
    """What the paper's trainer (timm's) leaves: weights 1, averaged weights 2, and the rest."""
    return {
        "epoch": 299,
        "arch": "repghost.repghostnet_0_5x",
        "state_dict": {f"{prefix}conv.weight": torch.full((1,), 1.0)},
        "optimizer": {"state": {0: torch.zeros(1)}, "param_groups": [{"lr": 0.6}]},
        "args": argparse.Namespace(lr=0.6, model="repghost.repghostnet_0_5x"),
        "state_dict_ema": {f"{prefix}conv.weight": torch.full((1,), 2.0)},
        "metric": 66.95,
    }


@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
@pytest.mark.parametrize(("ema", "value"), [(True, 2.0), (False, 1.0)])
def test_a_trainers_checkpoint_gives_plain_or_averaged_weights(tmp_path, prefix, ema, value):
    path = tmp_path / "model_best.pth.tar"
    torch.save(trainer_checkpoint(prefix), path)
    assert read_checkpoint(path, ema) == {"conv.weight": torch.full((1,), value)}


def test_a_run_of_ours_without_averaging_gives_its_weights(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": {"conv.weight": torch.ones(1)}, "ema": None, "epoch": 3}, path)
    assert read_checkpoint(path) == {"conv.weight": torch.ones(1)}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_bare_weights_survives_the_round_trip(tmp_path, suffix):
    theirs, path = released(["bn"]), tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(theirs.state_dict(), path)
    ours = build(RepGhostNetSpec())
    load_weights(ours, read_checkpoint(path))
    assert_same_function(ours, theirs)


@pytest.mark.parametrize(
    ("content", "ema", "said"),
    [
        ({"epoch": 3}, True, r"no weights: found epoch; expected tensors or state_dict, model"),
        ({}, True, r"no weights"),
        ([1, 2], True, r"no weights: found a list"),
        ({"a": torch.ones(1), "b": "text"}, True, r"no weights: found b;"),
        ({"state_dict_ema": {"a": torch.ones(1)}}, False, r"only averaged \(EMA\) weights"),
        ({"state_dict": fractions.Fraction(1, 2)}, True, r"holds a fractions\.Fraction"),
    ],
    ids=["no weights", "empty", "list", "text", "EMA alone", "object"],
)
def test_a_file_without_usable_weights_is_refused_in_one_line(tmp_path, content, ema, said):
    path = tmp_path / "model.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=said) as refused:
        read_checkpoint(path, ema)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not a checkpoint that can be read") as refused:
        read_checkpoint(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path, name):
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / name)


LIBRARIES = {
    "ghostnet": (GhostNetSpec(width=0.5), lambda: timm.create_model("ghostnet_050")),
    "mobilenetv2": (MobileNetV2Spec(), torchvision_models.mobilenet_v2),
    "mobilenetv3": (
        MobileNetV3Spec(width=0.75),
        lambda: timm.create_model("mobilenetv3_small_075"),
    ),
    "mobileone": (MobileOneSpec(), lambda: timm.create_model("mobileone_s0")),
    "efficientnet": (EfficientNetSpec(), lambda: timm.create_model("efficientnet_b0")),
    "shufflenetv2": (ShuffleNetV2Spec(width=0.5), torchvision_models.shufflenet_v2_x0_5),
}


@pytest.mark.parametrize("family", LIBRARIES)
def test_the_librarys_own_weights_load_into_what_comes_from_it(family):
    spec, theirs = LIBRARIES[family][0], spread(LIBRARIES[family][1]())
    ours = spread(build(spec, dropout=0.2))
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(ours(x), theirs(x))
        load_weights(ours, theirs.state_dict())
        assert torch.equal(ours(x), theirs(x))
