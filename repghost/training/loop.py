"""The training loop: epochs, checkpoints within them, and an end that loses nothing."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from repghost.interrupt import Between, Interrupted, Stop
from repghost.training.engine import Training, Wish
from repghost.training.journal import Journal, Record


@dataclass
class Trained:
    """A finished training: the network that is scored and deployed, and its last record."""

    model: nn.Module
    history: list[Record]
    skipped: list[str]
    warnings: list[str]


def train(
    training: Training, folder: Path, key: str, on_epoch: Callable[[Record], None], stop: Stop
) -> Trained:
    """Train to the recipe's last epoch, from the checkpoint in `folder` where there is one.

    `metrics.jsonl` in `folder` gets a line an epoch, each epoch once. `on_epoch` sees each record.
    With several processes all call this; the first alone reads and writes `folder`.

    Raises:
        Interrupted: a process was told to end; the checkpoint is that of the last step.
        TrainingDiverged: the loss is NaN or infinite.
        RankLost, RankFailed: another process is gone.
        OSError: a checkpoint or a record cannot be written.
    """
    together = training.ranks.world > 1
    with Journal(folder, key, on_epoch, training.ranks.leads) as journal:
        state = training.ranks.from_first(journal.load())
        if state:
            training.restore(state)
        journal.begin(training.history)
        while training.epoch < training.recipe.epochs:
            with stop.deferred() if together else nullcontext():
                _run_epoch(training, journal, stop)
    return Trained(training.deployable, training.history, training.skipped, journal.warnings)


def _run_epoch(training: Training, journal: Journal, stop: Stop) -> None:
    """Run the rest of the epoch; save now and then within it, when told to end, and at its end."""
    start, before = training.clock(), training.seconds
    batches = _awaited(training)
    with stop.deferred():
        try:
            for batch in batches:
                training.train_step(batch)
                training.seconds = before + training.clock() - start
                _save_where_due(training, journal, stop)
                journal.look()
        except Between:
            journal.save(training.state(), wait=True)
            raise
    record = training.end_epoch()
    training.seconds = before + training.clock() - start
    record["seconds"] = training.seconds - sum(row["seconds"] for row in training.history[:-1])
    with stop.deferred():
        journal.save(training.state(), record)


def _awaited(training: Training) -> Iterator[Any]:
    """Yield the rest of the epoch's batches; the training notes what it waits for them."""
    batches = training.source.train(training.epoch, training.step)
    while True:
        began = training.clock()
        batch = next(batches, None)
        training.waited_s += training.clock() - began
        if batch is None:
            return
        yield batch


def _save_where_due(training: Training, journal: Journal, stop: Stop) -> None:
    """Save after a step, where it is time to or the run is to end; all processes agree on that.

    Raises:
        Interrupted: a process was told to end.
    """
    is_due = journal.is_due(training.recipe.checkpoint_every_s)
    agreed = training.agree(Wish(stop=bool(stop.asked), save=is_due))
    if agreed.stop:
        journal.save(training.state(), wait=True)
        stop.obey()
        raise Interrupted("told to end: a signal came to another process")
    if agreed.save:
        journal.save(training.state())
