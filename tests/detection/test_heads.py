"""RetinaNet's towers: what one conv and its BatchNorm do on all levels of a pyramid."""

import pytest
import torch
from torch import nn
from torchvision.models.detection.retinanet import RetinaNetHead

from repghost.detection.heads import Heads, Tower, normalised

SIZES = [(8, 12), (4, 6), (1, 1)]


def levels(seed: int = 0) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return [torch.randn(2, 8, *size) * (i + 1) for i, size in enumerate(SIZES)]


def test_statistics_in_training_are_those_of_all_levels_together():
    norm, maps = nn.BatchNorm2d(8), levels()
    out = torch.cat([one.flatten(2) for one in normalised(norm, maps)], 2)
    assert out.mean((0, 2)).abs().max() < 1e-5
    assert (out.var((0, 2), unbiased=False) - 1).abs().max() < 1e-3
    flat = torch.cat([one.flatten(2) for one in maps], 2)
    assert torch.allclose(norm.running_mean, 0.1 * flat.mean((0, 2)), atol=1e-6)
    assert [one.shape for one in normalised(norm, maps)] == [one.shape for one in maps]


def test_a_tower_scores_as_it_was_trained_once_its_statistics_have_come_up():
    torch.manual_seed(0)
    tower = Tower(8, lambda chs: nn.BatchNorm2d(chs, momentum=None), 0.1)
    learnt = tower(levels())
    for one, other in zip(tower.eval()(levels()), learnt, strict=True):
        assert torch.allclose(one, other, atol=0.05)  # the variance is unbiased in one of the two


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_the_heads_give_what_torchvisions_give_with_the_same_weights(norm):
    torch.manual_seed(0)
    ours, theirs = Heads(8, 3, 5, norm, 0.1).eval(), RetinaNetHead(8, 3, 5, norm_layer=norm).eval()
    pairs = [
        (ours.score_tower, theirs.classification_head),
        (ours.box_tower, theirs.regression_head),
    ]
    for tower, head in pairs:
        for conv, own, block in zip(tower.convs, tower.norms, head.conv, strict=True):
            block[0].load_state_dict(conv.state_dict())
            if norm:
                own.running_mean.normal_()
                block[1].load_state_dict(own.state_dict())
    theirs.classification_head.cls_logits = ours.classification_head.cls_logits
    theirs.regression_head.bbox_reg = ours.regression_head.bbox_reg
    found, wanted = ours(levels()), theirs(levels())
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
