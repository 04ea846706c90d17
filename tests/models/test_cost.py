import torch

from repghost.deploy.fuse import fuse
from repghost.models.cost import count
from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec

IMAGE = (3, 224, 224)


def test_fusion_takes_the_branches_cost_away():
    bn, dconv = (build(RepGhostNetSpec(reparam=name)).eval() for name in ("bn", "dconv"))
    assert count(dconv, IMAGE).macs > count(bn, IMAGE).macs
    deployed = count(fuse(bn, IMAGE), IMAGE)
    assert count(fuse(dconv, IMAGE), IMAGE) == deployed
    assert deployed.params < count(bn, IMAGE).params
    assert deployed.macs == count(bn, IMAGE).macs


def test_counting_leaves_the_network_as_it_is():
    model = build(RepGhostNetSpec(width=0.25)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count(model, (3, 32, 32))
    assert all(part.training for part in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
