"""The training loop: SGD, cosine with warm-up, EMA, label smoothing, on timm's parts.

A run killed at any moment and started again ends with the same weights, bit for bit (same number
of threads): a step depends on the state that the checkpoint holds and on a random state made from
(seed, epoch, step), never on what happened in the process before.
"""

import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import nn

from repghost.atomic import write_text
from repghost.interrupt import Stop
from repghost.training.batches import Batch, Source, seed_everything
from repghost.training.checkpoint import Checkpoints, State
from repghost.training.evaluate import evaluate
from repghost.training.spec import RecipeSpec

Record = dict[str, Any]  # one line of metrics.jsonl
DROPOUT_STREAM = 1  # keeps the step's random state apart from the batch's


class TrainingDiverged(ValueError):
    """The loss is not a number any more; the message says where."""


@dataclass
class Trained:
    """A finished training: the network that is scored and deployed, and its last record."""

    model: nn.Module
    history: list[Record]
    skipped: list[str]
    warnings: list[str]


class Training:
    """One run between two checkpoints: the weights, what moves them, and the place in the data."""

    def __init__(
        self, model: nn.Module, source: Source, recipe: RecipeSpec, seed: int, device: torch.device
    ) -> None:
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.source, self.recipe, self.seed, self.device = source, recipe, seed, device
        self.ema = ModelEmaV3(self.model, decay=recipe.ema_decay) if recipe.ema_decay else None
        self.optimizer = create_optimizer_v2(
            self.model,
            opt="sgd",
            lr=recipe.lr * recipe.batch_size / recipe.lr_batch,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        self.schedule = _schedule(self.optimizer, recipe, source.steps)
        self.loss = LabelSmoothingCrossEntropy(recipe.label_smoothing)
        amp = recipe.amp and device.type == "cuda"
        self.autocast = torch.autocast("cuda") if amp else nullcontext()
        self.scaler = torch.amp.GradScaler("cuda", enabled=amp)
        self.epoch = self.step = self.images = 0
        self.loss_sum = self.seconds = 0.0
        self.history: list[Record] = []
        self.skipped: list[str] = []

    @property
    def scored(self) -> nn.Module:
        """The network that is evaluated and deployed: the average where there is one."""
        scored: nn.Module = self.ema.module if self.ema else self.model
        return scored

    def state(self) -> State:
        """Return everything that the rest of the run depends on."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            **{name: getattr(self, name) for name in PLACE},
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.model.load_state_dict(state["model"])
        if self.ema:
            self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        for name in PLACE:
            setattr(self, name, state[name])

    def train_step(self, batch: Batch) -> None:
        """Move the weights by one batch.

        Raises:
            TrainingDiverged: the loss is NaN or infinite.
        """
        self.skipped += [name for name in batch.skipped if name not in self.skipped]
        if len(batch.targets) > 1:  # BatchNorm needs two images; fewer are left after skips only
            seed_everything(self.seed, self.epoch, self.step, DROPOUT_STREAM)
            self._descend(batch)
        self.step += 1

    def _descend(self, batch: Batch) -> None:
        self._set_lr()
        self.model.train()
        images = batch.on(self.device).to(memory_format=torch.channels_last)
        with self.autocast:
            loss = self.loss(self.model(images), batch.targets.to(self.device))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingDiverged(f"loss is {value} at epoch {self.epoch}, step {self.step}")
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema:
            self.ema.update(self.model)
        self.loss_sum += value * len(batch.targets)
        self.images += len(batch.targets)

    def _set_lr(self) -> None:
        """Set the learning rate from the place in the run alone, so that it needs no state."""
        if self.recipe.schedule_per_step:
            self.schedule.step_update(self.epoch * self.source.steps + self.step)
        else:
            self.schedule.step(self.epoch)

    def end_epoch(self) -> Record:
        """Score the epoch, add its record to the history, and stand before the next one."""
        if self.images == 0:
            raise ValueError(f"no training image could be read ({len(self.skipped)} skipped)")
        scores = evaluate(self.scored, self.source.val(), self.device)
        self.skipped += [name for name in scores.skipped if name not in self.skipped]
        record = {
            "epoch": self.epoch,
            "train_loss": self.loss_sum / self.images,
            "val_loss": scores.loss,
            "top1": scores.top1,
            "top5": scores.top5,
            "lr": self.optimizer.param_groups[0]["lr"],
            "skipped": len(self.skipped),
        }
        self.epoch, self.step, self.images, self.loss_sum = self.epoch + 1, 0, 0, 0.0
        self.history = [*self.history, record]
        return record


PLACE = ("epoch", "step", "images", "loss_sum", "seconds", "history", "skipped")


def train(
    training: Training, folder: Path, key: str, on_epoch: Callable[[Record], None], stop: Stop
) -> Trained:
    """Train to the recipe's last epoch, from the checkpoint in `folder` where there is one.

    `metrics.jsonl` in `folder` gets a line an epoch, each epoch once. `on_epoch` sees each record.

    Raises:
        Interrupted: `stop` was asked for; the checkpoint is that of the step before.
        TrainingDiverged: the loss is NaN or infinite.
        OSError: a checkpoint or a record cannot be written.
    """
    checkpoints = Checkpoints(folder)
    state, warnings = checkpoints.load()
    if state and state["key"] == key:
        training.restore(state)
    metrics = folder / "metrics.jsonl"
    write_text(metrics, "".join(json.dumps(record) + "\n" for record in training.history))
    while training.epoch < training.recipe.epochs:
        _run_epoch(training, lambda: checkpoints.save({"key": key, **training.state()}), stop)
        with metrics.open("a") as file:
            file.write(json.dumps(training.history[-1]) + "\n")
        on_epoch(training.history[-1])
    return Trained(training.scored, training.history, training.skipped, warnings)


def _run_epoch(training: Training, save: Callable[[], None], stop: Stop) -> None:
    """Run the rest of the epoch; save now and then within it, when told to end, and at its end."""
    start = saved = time.monotonic()
    before = training.seconds
    batches = training.source.train(training.epoch, training.step)
    with stop.deferred():
        for batch in batches:
            training.train_step(batch)
            training.seconds = before + time.monotonic() - start
            if stop.asked or time.monotonic() - saved > training.recipe.checkpoint_every_s:
                save()
                saved = time.monotonic()
                stop.obey()
    record = training.end_epoch()
    training.seconds = before + time.monotonic() - start
    record["seconds"] = training.seconds - sum(row["seconds"] for row in training.history[:-1])
    with stop.deferred():
        save()


def _schedule(
    optimizer: torch.optim.Optimizer, recipe: RecipeSpec, steps: int
) -> CosineLRScheduler:
    """Cosine to `min_lr` over the whole run, counted in steps or, as in the paper, in epochs."""
    per = steps if recipe.schedule_per_step else 1
    return CosineLRScheduler(
        optimizer,
        t_initial=recipe.epochs * per,
        lr_min=recipe.min_lr,
        warmup_t=min(round(recipe.warmup_epochs * per), recipe.epochs * per - 1),
        warmup_lr_init=recipe.warmup_lr,
        t_in_epochs=not recipe.schedule_per_step,
    )
