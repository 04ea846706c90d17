"""A detector learns: what it is shown it finds again."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from repghost.detection.annotations import Instances
from repghost.detection.goal import DetectorGoal
from repghost.detection.networks import build_detector
from repghost.detection.source import CocoSource
from repghost.detection.spec import NORMS, TaskSpec
from repghost.models.paper import ENTRIES
from repghost.models.registry import build
from repghost.training.engine import Training
from repghost.training.spec import DataSpec, RecipeSpec

STEPS = 60
SMALL = {"fpn_chs": 32, "anchor_scale": 2.5}


def trained(tiny: Path, task: TaskSpec, steps: int) -> tuple[Training, float]:
    """Return a training on the same four images again and again, and its last loss."""
    data = DataSpec(kind="coco", root=str(tiny), num_classes=10, input_size=96, max_size=96)
    recipe = RecipeSpec(epochs=steps, batch_size=4, lr=0.01, lr_batch=4, warmup_epochs=0, hflip=0.0)
    source = CocoSource(data, recipe, 0, task.masks)
    torch.manual_seed(0)
    detector = build_detector(task, build(ENTRIES["repghostnet-0.5x"].spec), data, 10)
    goal = DetectorGoal(task, Instances(str(tiny), "train"))
    training = Training(detector, source, recipe, 0, torch.device("cpu"), goal=goal)
    batch = next(source.train(0, 0))
    for _ in range(steps):
        before = training.loss_sum
        training.train_step(batch)
    return training, (training.loss_sum - before) / len(batch.targets)


@pytest.mark.parametrize("norm", NORMS)
def test_a_retinanet_learns_four_images_by_heart(norm, tiny):
    task = TaskSpec("retinanet", norm=norm, head_std=0.06, **SMALL)
    first, last = (trained(tiny, task, steps)[1] for steps in (1, STEPS))
    assert last < first / 3


@pytest.mark.parametrize("std", [0.01, 0.06])
def test_the_heads_begin_as_wide_as_they_are_told(std):
    data = DataSpec(kind="coco", num_classes=10, input_size=96, max_size=96)
    network = build(ENTRIES["repghostnet-0.5x"].spec)
    head = build_detector(TaskSpec("retinanet", head_std=std, **SMALL), network, data, 10).head
    for part in (head.score_tower, head.box_tower):
        drawn: list[Tensor] = [conv.weight for conv in part.convs]
        assert len(drawn) == 4
        assert all(w.std().item() == pytest.approx(std, rel=0.05) for w in drawn)
