"""What the processes of a team do in tests; importable in them through PYTHONPATH."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from repghost.interrupt import Stop
from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.training.batches import Batch, Source
from repghost.training.data import open_source
from repghost.training.engine import Training
from repghost.training.loop import Trained, train
from repghost.training.ranks import Ranks
from repghost.training.spec import DataSpec, RecipeSpec


@dataclass(frozen=True)
class Harm:
    """A signal that process `rank` sends to itself at its `step`-th batch of the call."""

    rank: int
    step: int
    signal: int


class Harmed:
    """A source whose process comes to harm at one batch."""

    def __init__(self, source: Source, step: int, number: int) -> None:
        self._source, self._left, self._signal = source, step, number
        self.steps = source.steps

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        for batch in self._source.train(epoch, start):
            if self._left == 0:
                os.kill(os.getpid(), self._signal)
            self._left -= 1
            yield batch

    def val(self) -> Iterator[Batch]:
        return self._source.val()


class Short:
    """A source that cannot read the last images of every training batch."""

    def __init__(self, source: Source, unreadable: int) -> None:
        self._source, self._unreadable, self.steps = source, unreadable, source.steps

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        for batch in self._source.train(epoch, start):
            left = len(batch.targets) - self._unreadable
            yield Batch(batch.images[:left], batch.targets[:left], [f"{epoch}"])

    def val(self) -> Iterator[Batch]:
        return self._source.val()


def network(recipe: RecipeSpec) -> nn.Module:
    """Return a tiny network as it is before training."""
    torch.manual_seed(3)
    return build(RepGhostNetSpec(width=0.1, num_classes=10), dropout=recipe.dropout)


def train_digits(
    folder: str,
    recipe: RecipeSpec,
    harm: Harm | None = None,
    unreadable: int = 0,
    *,
    ranks: Ranks,
    device: torch.device,
    stop: Stop,
) -> Trained:
    """Train a tiny network on digits; every process leaves its weights in `rank<rank>.pt`."""
    torch.set_num_threads(1)
    source: Source = open_source(DataSpec(), recipe, 3, ranks.rows)
    if unreadable and ranks.rank == ranks.world - 1:
        source = Short(source, unreadable)
    if harm and harm.rank == ranks.rank:
        source = Harmed(source, harm.step, harm.signal)
    training = Training(network(recipe), source, recipe, 3, device, ranks)
    trained = train(training, Path(folder), "key", lambda record: None, stop)
    torch.save(trained.model.state_dict(), Path(folder, f"rank{ranks.rank}.pt"))
    return trained
