"""The state of a training and its step: SGD, EMA, label smoothing, on timm's parts.

A run killed at any moment and started again ends with the same weights, bit for bit (same number
of threads and processes): a step depends on the state that the checkpoint holds and on a random
state made from (seed, epoch, step, rank), never on what happened in the process before.
"""

import math
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import torch
from timm.layers import convert_sync_batchnorm
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

from repghost.training.average import Average
from repghost.training.batches import Source, seed_everything
from repghost.training.checkpoint import State
from repghost.training.exchange import Exchange, norms, told_alone
from repghost.training.goal import Classification, Goal
from repghost.training.journal import Record
from repghost.training.layout import channels_last
from repghost.training.memory import fitting_images, is_out_of_memory, out_of_memory
from repghost.training.precision import autocast, compiled, usable
from repghost.training.ranks import ALONE, Ranks
from repghost.training.schedule import schedule_of
from repghost.training.spec import RecipeSpec
from repghost.training.tidings import Tidings

DROPOUT_STREAM = 1  # keeps the step's random state apart from the batch's


class TrainingDiverged(ValueError):
    """The loss is not a number any more; the message says where."""


class Wish(NamedTuple):
    """What a process wants after the step that is running."""

    stop: bool = False
    save: bool = False

    def __or__(self, other: "Wish") -> "Wish":
        return Wish(self.stop or other.stop, self.save or other.save)


class Training:
    """One run between two checkpoints: the weights, what moves them, and the place in the data.

    Where there are several `ranks`, `source` gives this one's rows of every batch. `clock` tells
    the seconds that count as the run's. `goal` is what is learnt, a classification by default; its
    batches are those of `source`.

    Raises:
        ValueError: the recipe asks for what this device does not have.
    """

    def __init__(
        self,
        model: nn.Module,
        source: Source[Any],
        recipe: RecipeSpec,
        seed: int,
        device: torch.device,
        ranks: Ranks = ALONE,
        clock: Callable[[], float] = time.monotonic,
        goal: Goal | None = None,
    ) -> None:
        self.clock = clock
        self.source, self.recipe, self.seed, self.device = source, recipe, seed, device
        self.ranks = ranks
        torch.backends.cudnn.deterministic = True  # or a run that goes on differs in its bits
        self._plain = model
        model = _with_synced_norms(model, recipe, device, ranks)
        self.model = channels_last(model, device)
        self._forward = compiled(self.model) if recipe.compile else self.model
        self._enter_training()
        self.ema = Average(self.model, recipe.step_decay) if recipe.ema_decay else None
        self.optimizer = create_optimizer_v2(
            self.model,
            opt="sgd" if recipe.nesterov else "momentum",
            lr=recipe.scaled_lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.schedule = schedule_of(self.optimizer, recipe, source.steps)
        self.goal = goal or Classification(recipe.label_smoothing)
        self.amp = usable(recipe.amp, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.amp == "fp16")
        self._tidings = Tidings(device)
        together = ranks.world > 1
        self._exchange = Exchange(self.model, ranks, recipe.batch_size) if together else None
        self._wish = self._agreed = Wish()
        self.epoch = self.step = self.images = 0
        self.loss_sum = self.seconds = self.waited_s = 0.0  # waited for images in this epoch
        self.history: list[Record] = []
        self.skipped: list[str] = []

    @property
    def scored(self) -> nn.Module:
        """The network that is evaluated and deployed: the average where there is one."""
        scored: nn.Module = self.ema.module if self.ema else self.model
        return scored

    @property
    def deployable(self) -> nn.Module:
        """The scored network, made of the layers that it was given with."""
        if self._plain is self.model:
            return self.scored
        self._plain.load_state_dict(self.scored.state_dict())
        return self._plain.to(self.device)

    def state(self) -> State:
        """Return everything that the rest of the run depends on; asked on every process at once.

        Raises:
            TrainingDiverged: a loss that was not looked at yet is NaN or infinite.
        """
        self._hear(all=True)
        self._gather_skipped()
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
            setattr(self, name, state.get(name, getattr(self, name)))  # an older one has fewer

    def train_step(self, batch: Any) -> None:
        """Move the weights by one batch.

        Raises:
            TrainingDiverged: the loss of this step, or on a GPU of one shortly before, is NaN or
                infinite.
            OutOfMemory: the batch does not fit; the message says how many images would.
            RankLost, RankFailed: another process is gone.
        """
        self.skipped += [name for name in batch.skipped if name not in self.skipped]
        if len(batch.targets) >= self.goal.least_images or self._exchange:
            rank = (self.ranks.rank,) if self.ranks.rank else ()
            seed_everything(self.seed, self.epoch, self.step, DROPOUT_STREAM, *rank)
            self._descend_or_say_what_fits(batch)
        self.step += 1
        self._hear()

    def agree(self, wish: Wish) -> Wish:
        """Return what is to be done after this step on every process; the answer may come later.

        With several processes a wish travels with the next step, and all see it at the same one.
        """
        if self._exchange is None:
            return wish
        self._wish |= wish
        agreed, self._agreed = self._agreed, Wish()
        return agreed

    def _descend_or_say_what_fits(self, batch: Any) -> None:
        try:
            return self._descend(batch)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # From here on the error, and with it what the step held, is gone.
        self.optimizer.zero_grad(set_to_none=True)
        fits = fitting_images(len(batch.targets), partial(self._probe, batch), self.device)
        raise out_of_memory(self.recipe.batch_size, self.ranks.world, fits, self.device)

    def _probe(self, batch: Any, images: int) -> None:
        """Do what takes memory in a step, on the first images of a batch."""
        if self.recipe.sync_bn and self.ranks.world > 1:
            raise torch.OutOfMemoryError  # the others are not there to take part
        self._loss_of(batch.first(images)).backward()  # type: ignore[no-untyped-call]

    def _descend(self, batch: Any) -> None:
        self._set_lr()
        if not self.model.training:
            self._enter_training()
        told = self._together(batch) if self._exchange else self._alone(batch)
        self._tidings.add(self.epoch, self.step, told)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema:  # like timm, from the first step's weights on: counted from 1
            self.ema.update(self.model, self.epoch * self.source.steps + self.step + 1)

    def _alone(self, batch: Any) -> Tensor:
        """Make the gradients of the mean loss of a batch."""
        loss = self._loss_of(batch)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return told_alone(loss.detach(), len(batch.targets))

    def _together(self, batch: Any) -> Tensor:
        """Make the gradients of the mean loss of all processes' images, the same on each of them.

        One that has too few images, for a BatchNorm two, takes part with none.
        """
        assert self._exchange is not None
        images = len(batch.targets) if len(batch.targets) >= self.goal.least_images else 0
        self._exchange.begin()
        loss = torch.zeros((), device=self.device)
        if images:
            loss = self._loss_of(batch)
            self.scaler.scale(self._exchange.weigh(loss, images)).backward()  # type: ignore[no-untyped-call]
        wish, self._wish = self._wish, Wish()
        return self._exchange.finish(loss.detach(), images, wish)

    def _loss_of(self, batch: Any) -> Tensor:
        """Return the mean loss of the images of a batch."""
        precision = autocast(self.amp, self.device)
        return self.goal.loss(self._forward, batch, self.device, precision)

    def _hear(self, *, all: bool = False) -> None:
        """Take in what steps came to, as far as it has arrived, or `all` of it."""
        for tiding in self._tidings.read(all=all):
            if not math.isfinite(tiding.loss):
                where = f"epoch {tiding.epoch}, step {tiding.step}"
                raise TrainingDiverged(f"loss is {tiding.loss} at {where}")
            self.loss_sum += tiding.loss_sum
            self.images += int(tiding.images)
            self._agreed |= Wish(tiding.stop, tiding.save)

    def _gather_skipped(self) -> None:
        """Know of the files that any process skipped."""
        found = [name for names in self.ranks.of_all(self.skipped) for name in names]
        self.skipped = list(dict.fromkeys(found))

    def _enter_training(self) -> None:
        """Let the network learn; frozen BatchNorm layers keep to their statistics."""
        self.model.train()
        if self.recipe.freeze_bn:
            for norm in norms(self.model):
                norm.eval()

    def _set_lr(self) -> None:
        """Set the learning rate from the place in the run alone, so that it needs no state."""
        if self.recipe.schedule_per_step:
            self.schedule.step_update(self.epoch * self.source.steps + self.step)
        else:
            self.schedule.step(self.epoch)

    def end_epoch(self) -> Record:
        """Score the epoch, add its record to the history, and stand before the next one."""
        self._hear(all=True)
        if self.images == 0:
            raise ValueError(f"no training image could be read ({len(self.skipped)} skipped)")
        found = self.goal.scored(self.scored, self.source.val(), self.device, self.ranks)
        self.skipped += [name for name in found.skipped if name not in self.skipped]
        self._gather_skipped()
        record = {
            "epoch": self.epoch,
            "train_loss": self.loss_sum / self.images,
            **found.scores,
            "lr": self.optimizer.param_groups[0]["lr"],
            "skipped": len(self.skipped),
            "waited_s": self.waited_s,
        }
        self.epoch, self.step, self.images = self.epoch + 1, 0, 0
        self.loss_sum = self.waited_s = 0.0
        self.history = [*self.history, record]
        return record


PLACE = ("epoch", "step", "images", "loss_sum", "seconds", "waited_s", "history", "skipped")


def _with_synced_norms(
    model: nn.Module, recipe: RecipeSpec, device: torch.device, ranks: Ranks
) -> nn.Module:
    """Return `model`, or a copy whose BatchNorm layers see the images of all processes."""
    if not recipe.sync_bn or ranks.world == 1:
        return model
    if device.type != "cuda":
        raise ValueError(
            f"recipe.sync_bn=true: needs a GPU for each of the {ranks.world} processes"
            " (hydra.launcher.tasks_per_node=1 sees whole batches anyway)"
        )
    synced: nn.Module = convert_sync_batchnorm(deepcopy(model))
    return synced
