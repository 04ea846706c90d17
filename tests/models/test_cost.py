import golden_cost
import pytest
import torch

from repghost.deploy.fuse import fuse
from repghost.models.cost import count
from repghost.models.registry import build
from repghost.models.spec import ModelSpec

IMAGE = (3, 224, 224)


@pytest.mark.parametrize("row", golden_cost.read(), ids=lambda row: row["width"])
def test_parameters_and_macs_round_to_the_papers(row):
    cost = count(build(ModelSpec(width=float(row["width"]))), IMAGE)
    assert f"{cost.params / 1e6:.1f}" == row["paper_params_m"]
    assert f"{cost.macs / 1e6:.0f}" == row["paper_macs_m"]
    assert (str(cost.params), str(cost.macs)) == (row["params"], row["macs"])


def test_fusion_takes_the_branches_cost_away():
    bn, dconv = (build(ModelSpec(reparam=name)).eval() for name in ("bn", "dconv"))
    assert count(dconv, IMAGE).macs > count(bn, IMAGE).macs
    assert count(fuse(dconv), IMAGE) == count(fuse(bn), IMAGE)
    assert count(fuse(bn), IMAGE).params < count(bn, IMAGE).params
    assert count(fuse(bn), IMAGE).macs == count(bn, IMAGE).macs


def test_counting_leaves_the_network_as_it_is():
    model = build(ModelSpec(width=0.25)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count(model, (3, 32, 32))
    assert all(part.training for part in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
