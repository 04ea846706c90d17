"""What a training descends and is scored by; what it is of a classifier."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import torch
from timm.loss import LabelSmoothingCrossEntropy
from torch import Tensor, nn

from repghost.training.batches import Batch
from repghost.training.evaluate import evaluate
from repghost.training.ranks import Ranks


class Scored(NamedTuple):
    """The scores of an epoch by name, in percent, and files that could not be read."""

    scores: dict[str, float | None]
    skipped: list[str]


class Goal(Protocol):
    """A task as the engine sees it; a batch has `targets`, one an image, and `first(count)`.

    A step needs `least_images`, for BatchNorm's sake.
    """

    least_images: int

    def loss(
        self,
        forward: Callable[..., Any],
        batch: Any,
        device: torch.device,
        precision: AbstractContextManager[Any],
    ) -> Tensor:
        """Return the mean loss of the images of a batch, the network run in `precision`."""
        ...

    def scored(
        self, model: nn.Module, batches: Iterable[Any], device: torch.device, ranks: Ranks
    ) -> Scored:
        """Score a network; every process gives its own batches, all get the same scores."""
        ...


class Classification:
    """Cross-entropy with smoothed labels; top-1, top-5 and the loss without smoothing."""

    least_images = 2

    def __init__(self, label_smoothing: float) -> None:
        self._criterion = LabelSmoothingCrossEntropy(label_smoothing)

    def loss(
        self,
        forward: Callable[..., Any],
        batch: Batch,
        device: torch.device,
        precision: AbstractContextManager[Any],
    ) -> Tensor:
        """As `Goal.loss`."""
        images = batch.on(device).to(memory_format=torch.channels_last)
        targets = batch.targets.to(device, non_blocking=True)
        with precision:
            loss: Tensor = self._criterion(forward(images), targets)
        return loss

    def scored(
        self, model: nn.Module, batches: Iterable[Batch], device: torch.device, ranks: Ranks
    ) -> Scored:
        """As `Goal.scored`."""
        found = evaluate(model, batches, device, ranks)
        scores = {"val_loss": found.loss, "top1": found.top1, "top5": found.top5}
        return Scored({**scores}, found.skipped)
