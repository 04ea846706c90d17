"""One variant's training as each of its processes carries it out."""

from pathlib import Path
from typing import TYPE_CHECKING

from repghost.interrupt import Stop
from repghost.preparation import build_network
from repghost.settings import Settings

if TYPE_CHECKING:
    from torch import device as Device

    from repghost.training.engine import Training
    from repghost.training.ranks import Ranks


def open_training(settings: Settings, threads: int, ranks: "Ranks", device: "Device") -> "Training":
    """Return the variant's training at its beginning, with this process's part of the images.

    Raises:
        ValueError: the data are not there, or the recipe asks for what there is not.
    """
    import torch

    from repghost.training.data import open_source
    from repghost.training.engine import Training

    torch.set_num_threads(threads)
    recipe = settings.recipe
    if ranks.world > recipe.batch_size:
        raise ValueError(
            f"recipe.batch_size={recipe.batch_size}: fewer images than the {ranks.world} processes"
        )
    source = open_source(settings.data, recipe, settings.seed, ranks.rows)
    return Training(build_network(settings), source, recipe, settings.seed, device, ranks)


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
    from repghost.training.engine import train

    train(open_training(settings, threads, ranks, device), folder, key, lambda record: None, stop)
