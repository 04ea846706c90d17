"""A small RetinaNet's training, as each of several processes carries it out; see PYTHONPATH."""

from pathlib import Path

import torch

from repghost.detection.goal import DetectorGoal
from repghost.detection.networks import build_detector
from repghost.detection.source import CocoSource, opened
from repghost.detection.spec import TaskSpec
from repghost.interrupt import Stop
from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.training.batches import Source
from repghost.training.engine import Training
from repghost.training.loop import Trained, train
from repghost.training.ranks import ALONE, Ranks
from repghost.training.spec import DataSpec, RecipeSpec

TASK = TaskSpec(
    "retinanet", fpn_chs=16, anchor_scale=2.5, norm="batch", score_threshold=0.0, detections=5
)
RECIPE = RecipeSpec(
    epochs=2, batch_size=4, lr=0.01, lr_batch=4, warmup_epochs=0.0, ema_decay=0.0, hflip=0.5
)
CPU = torch.device("cpu")


def data_in(root: str) -> DataSpec:
    """Return the data set of a folder, at a small size."""
    return DataSpec(kind="coco", root=root, num_classes=10, input_size=64, max_size=64)


def training(
    root: str, recipe: RecipeSpec, ranks: Ranks = ALONE, source: Source | None = None, **options
) -> Training:
    """Return a training at its beginning."""
    torch.set_num_threads(1)
    data = data_in(root)
    source = source or CocoSource(data, recipe, 3, TASK.masks, ranks.rows)
    torch.manual_seed(3)
    network = build(RepGhostNetSpec(width=0.1, num_classes=10), dropout=0.0)
    detector = build_detector(TASK, network, data, 10)
    goal = DetectorGoal(TASK, opened(data, "val"))
    return Training(detector, source, recipe, 3, CPU, ranks, goal=goal, **options)


def train_toy(
    folder: str, root: str, recipe: RecipeSpec, *, ranks: Ranks, device: torch.device, stop: Stop
) -> Trained:
    """Train it; every process leaves its weights in `rank<rank>.pt`."""
    whole = training(root, recipe, ranks)
    trained = train(whole, Path(folder), "key", lambda record: None, stop)
    torch.save(trained.model.state_dict(), Path(folder, f"rank{ranks.rank}.pt"))
    return trained
