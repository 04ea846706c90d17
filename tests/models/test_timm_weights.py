import pytest
import torch

from repghost.deploy.certificate import spread_statistics
from repghost.models.registry import build
from repghost.models.spec import ModelSpec
from repghost.models.timm_weights import load_timm

timm = pytest.importorskip("timm")


def timm_network(name, **kwargs):
    torch.manual_seed(0)
    return spread_statistics(timm.create_model(name, pretrained=False, **kwargs), seed=0)


@pytest.mark.parametrize(
    ("name", "width"),
    [("repghostnet_050", 0.5), ("repghostnet_100", 1.0), ("repghostnet_130", 1.3)],
)
def test_timms_weights_give_timms_outputs(name, width):
    theirs = timm_network(name)
    ours = build(ModelSpec(width=width)).eval()
    load_timm(ours, theirs.state_dict())
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(x)
        assert (ours(x) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert expected.std(0).max() > 1e-3  # the outputs do depend on the image


def test_weights_of_another_width_are_refused_by_name_and_change_nothing():
    ours = build(ModelSpec(width=1.0))
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    with pytest.raises(ValueError, match=r"stem\.conv\.weight is \(8, 3, 3, 3\), expected \(16,"):
        load_timm(ours, timm_network("repghostnet_050").state_dict())
    assert all(torch.equal(value, before[key]) for key, value in ours.state_dict().items())


@pytest.mark.parametrize(
    ("reparam", "found"),
    [("none", r"unexpected .*branches\.bn\.bn"), ("bn+dconv", r"missing .*branches\.dconv\.conv")],
)
def test_weights_for_other_branches_are_refused_by_name(reparam, found):
    with pytest.raises(ValueError, match=found):
        load_timm(build(ModelSpec(reparam=reparam)), timm_network("repghostnet_050").state_dict())


def test_weights_of_another_network_are_refused_by_name():
    with pytest.raises(ValueError, match=r"missing stem\.conv\.weight"):
        load_timm(
            build(ModelSpec()), {"layer1.weight": torch.zeros(1), "blocks.0.0.x": torch.ones(1)}
        )
