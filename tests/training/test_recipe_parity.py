"""The engine against a loop of timm's own parts: same seeds, same batches, same weights.

In float64, and both on networks of the engine's layout: a difference of one rounding grows three-
to tenfold in each of these steps, and the engine's SGD is fused, so it does not round as timm's.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3

from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.settings import settings_from
from repghost.training.batches import Batch, seed_everything
from repghost.training.data import open_source
from repghost.training.engine import DROPOUT_STREAM, Training
from repghost.training.layout import channels_last
from repghost.training.spec import DataSpec, RecipeSpec

CONF = Path(__file__).parents[2] / "conf"
CPU = torch.device("cpu")
SEED, EPOCHS, WARMUP, BATCH, STEPS = 7, 3, 1, 64, 66


def paper_recipe(**changes: object) -> RecipeSpec:
    """Return the paper's recipe, made so short that it warms up, anneals and ends in 66 steps."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        recipe = settings_from(compose("config", ["recipe=paper"])).recipe
    short = {"epochs": EPOCHS, "batch_size": BATCH, "warmup_epochs": WARMUP}
    return replace(recipe, **short | changes)


class Precise:
    """The digits in float64."""

    def __init__(self, recipe: RecipeSpec) -> None:
        self._source = open_source(DataSpec(), recipe, SEED)
        self.steps = self._source.steps

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        return _precise(self._source.train(epoch, start))

    def val(self) -> Iterator[Batch]:
        return _precise(self._source.val())


def _precise(batches: Iterator[Batch]) -> Iterator[Batch]:
    return (Batch(batch.images.double(), batch.targets) for batch in batches)


def timm_s_own(
    model: torch.nn.Module, recipe: RecipeSpec, source: Precise
) -> tuple[torch.nn.Module, torch.nn.Module, list[float]]:
    """Train as timm's script does, with its parts; return the network, its average, the rates."""
    lrs = []
    optimizer = create_optimizer_v2(
        model, opt="sgd", lr=0.6 * BATCH / 1024, weight_decay=1e-5, momentum=0.9
    )
    ema = ModelEmaV3(model, decay=0.9999 ** (BATCH / 1024))
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=EPOCHS,
        warmup_epochs=WARMUP,
        warmup_lr=1e-4,
        min_lr=1e-5,
        step_on_epochs=not recipe.schedule_per_step,
        updates_per_epoch=source.steps,
    )
    criterion, updates = LabelSmoothingCrossEntropy(smoothing=0.1), 0
    for epoch in range(EPOCHS):
        model.train()
        for step, batch in enumerate(source.train(epoch, 0)):
            seed_everything(SEED, epoch, step, DROPOUT_STREAM)
            optimizer.zero_grad()
            criterion(model(batch.images), batch.targets).backward()
            lrs.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            updates += 1
            ema.update(model, step=updates)
            schedule.step_update(num_updates=updates)
        schedule.step(epoch + 1)
    return model, ema.module, lrs


@pytest.mark.parametrize("per_step", [False, True])
def test_the_engine_takes_timm_s_steps(per_step: bool) -> None:
    recipe = paper_recipe(schedule_per_step=per_step)
    source = Precise(recipe)
    torch.manual_seed(SEED)
    model = build(RepGhostNetSpec(width=0.1, num_classes=10), dropout=recipe.dropout)
    model = channels_last(model.double(), CPU)
    untouched = deepcopy(model)
    theirs, their_average, their_lrs = timm_s_own(deepcopy(model), recipe, source)

    training = Training(model, source, recipe, SEED, CPU)
    lrs = []
    for _ in range(EPOCHS):
        for batch in training.source.train(training.epoch, 0):
            training.train_step(batch)
            lrs.append(training.optimizer.param_groups[0]["lr"])
        training.end_epoch()

    assert len(lrs) == STEPS and lrs == pytest.approx(their_lrs, rel=1e-12)
    assert distance(untouched, theirs) > 1e-2  # or the rest would say nothing
    assert distance(training.model, theirs) < 1e-6
    assert distance(training.scored, their_average) < 1e-6
    assert distance(theirs, their_average) > 1e-3


def test_neither_norms_nor_biases_decay() -> None:
    recipe = paper_recipe(weight_decay=0.5)
    model = build(RepGhostNetSpec(width=0.1, num_classes=10))
    training = Training(model, open_source(DataSpec(), recipe, SEED), recipe, SEED, CPU)
    decays = {
        id(parameter): group["weight_decay"]
        for group in training.optimizer.param_groups
        for parameter in group["params"]
    }
    for name, parameter in training.model.named_parameters():
        assert decays[id(parameter)] == (0.5 if parameter.ndim > 1 else 0.0), name


def test_rate_and_average_follow_the_batch() -> None:
    paper = paper_recipe(batch_size=1024)
    half = replace(paper, batch_size=512)
    assert (paper.scaled_lr, paper.step_decay) == (0.6, 0.9999)
    assert half.scaled_lr == pytest.approx(0.3)
    assert half.step_decay**2 == pytest.approx(0.9999)


def distance(one: torch.nn.Module, other: torch.nn.Module) -> float:
    """Return the largest difference of two networks' weights, relative to the largest weight."""
    theirs = other.state_dict()
    return max(
        float((tensor - theirs[name]).abs().max() / theirs[name].abs().max().clamp(min=1e-3))
        for name, tensor in one.state_dict().items()
        if tensor.is_floating_point()
    )
