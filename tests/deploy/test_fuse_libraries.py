"""fuse on networks of timm and torchvision, random weights, from the training form to MNN."""

import onnx
import pytest
import timm
import torch
import torchvision
from torch import nn

from repghost.deploy.certificate import certify, spread_statistics
from repghost.deploy.export import export
from repghost.deploy.fuse import fuse, not_folded

IMAGE = (3, 64, 64)
TIMM = [
    "ghostnet_050",
    "ghostnetv2_100",
    "mobilenetv3_small_050",
    "efficientnet_b0",
    "mobileone_s0",
    "repghostnet_050",
    "repvit_m0_9",
    "fastvit_t8",
    "regnetx_002",
]
TORCHVISION = ["mnasnet0_5", "shufflenet_v2_x0_5"]


def made(name, **knobs):
    """Return the spread training form; stochastic depth and dropout are on where it has them."""
    torch.manual_seed(0)
    if name in TORCHVISION:
        model = torchvision.models.get_model(name, num_classes=10)
    else:
        model = timm.create_model(name, num_classes=10, **knobs)
    return spread_statistics(model, 0, IMAGE)


def relative_error(model, fused, shape=IMAGE):
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1)).to(
        next(model.parameters())
    )
    with torch.no_grad():
        expected = model(x)
        return ((fused(x) - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("name", [*TIMM, *TORCHVISION])
def test_every_batchnorm_is_folded_exactly(name):
    model = made(name).double()
    fused = fuse(model, IMAGE)
    assert relative_error(model, fused) < 1e-11
    assert not_folded(fused) == []
    assert {parameter.dtype for parameter in fused.parameters()} == {torch.float64}


def test_batchnorms_before_their_conv_are_kept_and_named():
    model = timm.create_model("densenet121", num_classes=10, growth_rate=4, block_config=(2, 2))
    model = spread_statistics(model, 0, IMAGE).double()
    fused = fuse(model, IMAGE)
    assert relative_error(model, fused) < 1e-11
    names = not_folded(fused)
    assert "features.norm5" in names and "features.denseblock1.denselayer1.norm1" in names
    assert not [name for name in names if name.endswith(("norm2", "norm0"))]


def test_timms_reparameterisation_disturbs_nothing_outside():
    model = made("mobileone_s0")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    fused = fuse(model, IMAGE)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert {parameter.dtype for parameter in fused.parameters()} == {torch.float32}


class Broken(nn.Module):
    def reparameterize(self):
        raise KeyError("kernel")


def test_a_network_that_timm_cannot_reparameterise_is_refused_in_one_line():
    model = timm.create_model("test_resnet", num_classes=10).eval()
    model.extra = Broken().eval()
    with pytest.raises(ValueError, match="timm cannot re-parameterise its network: 'kernel'"):
        fuse(model, IMAGE)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "mobileone_s0", "shufflenet_v2_x0_5"])
def test_what_is_deployed_has_no_batchnorm_and_is_certified(name, tmp_path):
    model = made(name)
    fused = fuse(model, IMAGE)
    export(fused, (1, *IMAGE), tmp_path / "a.onnx", tmp_path / "a.mnn")
    operators = {node.op_type for node in onnx.load(str(tmp_path / "a.onnx")).graph.node}
    assert not operators & {"BatchNormalization", "Identity", "Dropout"}
    inputs = torch.randn(4, *IMAGE, generator=torch.Generator().manual_seed(1))
    assert certify(model, fused, tmp_path / "a.mnn", inputs).require().passed


def test_a_network_of_one_size_only_is_spread_and_fused_at_that_size():
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=10, depth=1)
    spread = spread_statistics(model, 0, (3, 224, 224))
    assert relative_error(spread, fuse(spread, (3, 224, 224)), (3, 224, 224)) == 0
    assert spread.head.bias.std() > 0.1 and spread.norm.weight.std() > 0.1
    with pytest.raises(ValueError, match=r"cannot take an input of \(3, 64, 64\) at layer patch_e"):
        fuse(spread, IMAGE)
