"""The average of the weights is timm's, to the bit."""

from copy import deepcopy

import pytest
import torch
from timm.utils import ModelEmaV3
from torch import nn

from repghost.training.average import Average

NETWORKS = {
    "with BatchNorm": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
    "without a counter": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8)),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_updates_are_timm_s_also_after_weights_were_loaded(kind):
    torch.manual_seed(0)
    model = NETWORKS[kind]()
    ours, theirs = Average(model, 0.9), ModelEmaV3(model, decay=0.9)
    for step in range(1, 7):
        model(torch.randn(4, 3, 8, 8))  # moves the statistics and the counter
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight))
        if step == 3:
            model.load_state_dict(deepcopy(model.state_dict()))
            ours.module.load_state_dict(deepcopy(theirs.module.state_dict()))
        for average in (ours, theirs):
            average.update(model, step)
        for name, tensor in theirs.module.state_dict().items():
            assert torch.equal(ours.module.state_dict()[name], tensor), name
