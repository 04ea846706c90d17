"""One variant's training as each of its processes carries it out."""

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repghost.interrupt import Stop
from repghost.preparation import OF_DETECTORS, build_network
from repghost.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch import device as Device

    from repghost.training.batches import Source
    from repghost.training.cohort import Member
    from repghost.training.engine import Training
    from repghost.training.goal import Goal
    from repghost.training.ranks import Ranks
    from repghost.training.rows import Rows


def open_training(
    settings: Settings,
    threads: int,
    ranks: "Ranks",
    device: "Device",
    member: "Member | None" = None,
) -> "Training":
    """Return the variant's training at its beginning, with this process's part of the images.

    A `member` of a cohort gets what the cohort loads.

    Raises:
        ValueError: the data are not there, or the recipe asks for what there is not.
    """
    import torch

    from repghost.training.engine import Training

    torch.set_num_threads(threads)
    recipe = settings.recipe
    if ranks.world > recipe.batch_size:
        raise ValueError(
            f"recipe.batch_size={recipe.batch_size}: fewer images than the {ranks.world} processes"
        )
    open = partial(_open_source, settings, ranks.rows)
    source = member.source(open, device) if member else open()
    clock, goal = member.clock if member else time.monotonic, _goal(settings)
    network, seed = build_network(settings), settings.seed
    return Training(network, source, recipe, seed, device, ranks, clock, goal)


def _open_source(settings: Settings, rows: "Rows") -> "Source[Any]":
    if settings.task.detects:
        from repghost.detection.source import CocoSource

        masks = settings.task.masks
        return CocoSource(settings.data, settings.recipe, settings.seed, masks, rows)
    from repghost.training.data import open_source

    return open_source(settings.data, settings.recipe, settings.seed, rows)


def _goal(settings: Settings) -> "Goal":
    if settings.task.detects:
        from repghost.detection.goal import DetectorGoal
        from repghost.detection.source import opened

        return DetectorGoal(settings.task, opened(settings.data, "val"))
    from repghost.training.goal import Classification

    return Classification(settings.recipe.label_smoothing)


def certified_images(settings: Settings, training: "Training", most: int) -> "Tensor":
    """Return up to `most` validation images `(N, C, H, W)` as the deployed network takes them."""
    import torch

    val, cpu = training.source.val(), torch.device("cpu")
    images = next(batch.on(cpu) for batch in val if len(batch.images))
    if not settings.task.detects:
        found: Tensor = images[:most]
        return found
    from repghost.detection.networks import padded

    return padded(training.scored.cpu(), images[:OF_DETECTORS], settings.data.image_shape)


def leave_examples(
    settings: Settings, path: Path, training: "Training", model: "nn.Module"
) -> None:
    """Write what the report shows of a trained detector; of a classifier nothing.

    Raises:
        OSError: it cannot be written.
    """
    if not settings.task.detects:
        return
    from repghost.detection.examples import write_examples
    from repghost.detection.goal import DetectorGoal

    goal, data, batch_size = training.goal, settings.data, settings.recipe.batch_size
    assert isinstance(goal, DetectorGoal)
    write_examples(path, goal, model, training.device, data, batch_size)


def train_beside(
    settings: Settings,
    folder: Path,
    key: str,
    threads: int,
    *,
    ranks: "Ranks",
    device: "Device",
    stop: Stop,
) -> None:
    """Take part in a training whose first process does the rest, see `trial.run_stage`."""
    from repghost.training.loop import train

    train(open_training(settings, threads, ranks, device), folder, key, lambda record: None, stop)
