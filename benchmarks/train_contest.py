"""Our engine and a step of timm's train.py on the same network, see `benchmarks.train`."""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import AverageMeter, ModelEmaV3
from torch import Tensor, nn

from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.training.batches import Batch
from repghost.training.checkpoint import Checkpoints
from repghost.training.engine import Training
from repghost.training.precision import autocast
from repghost.training.spec import RecipeSpec

CLASSES = 1000
EPOCH_STEPS = 1000  # of the schedules
SAVES = 8
Step = Callable[[], None]


class Synthetic:
    """A source with one batch of random images, on the device already."""

    steps = EPOCH_STEPS

    def __init__(self, batch: int, size: int, device: torch.device) -> None:
        draw = torch.Generator().manual_seed(0)
        images = torch.randn(batch, 3, size, size, generator=draw)
        targets = torch.randint(CLASSES, (batch,), generator=draw)
        self.batch = Batch(images.to(device), targets.to(device))

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        while True:
            yield self.batch

    def val(self) -> Iterator[Batch]:
        yield self.batch


def ours(model: nn.Module, source: Synthetic, recipe: RecipeSpec, device: torch.device) -> Training:
    """Return our engine at its first step."""
    return Training(deepcopy(model), source, recipe, 0, device)


def timms(
    model: nn.Module,
    source: Synthetic,
    recipe: RecipeSpec,
    device: torch.device,
    channels_last: bool,
) -> Step:
    """Return a step as timm's train.py takes it, with that script's way of each thing."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = deepcopy(model).to(device, memory_format=layout)  # type: ignore[call-overload]
    optimizer = create_optimizer_v2(
        model, opt="sgd", lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    schedule = CosineLRScheduler(optimizer, EPOCH_STEPS, t_in_epochs=False)
    loss_of = LabelSmoothingCrossEntropy(recipe.label_smoothing)
    average, losses, updates = ModelEmaV3(model, recipe.ema_decay), AverageMeter(), 0
    model.train()

    def step() -> None:
        nonlocal updates
        images = source.batch.images.contiguous(memory_format=layout)
        with autocast(recipe.amp, device):
            loss: Tensor = loss_of(model(images), source.batch.targets)
        losses.update(loss.item(), len(images))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(model)
        synchronize(device)
        updates += 1
        schedule.step_update(num_updates=updates, metric=losses.avg)

    return step


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def compare(
    steps: dict[str, Step], device: torch.device, rounds: int, at_once: int
) -> dict[str, list[float]]:
    """Return seconds of a step by contestant and round, all in every round, in random order."""
    order, found = random.Random(0), {name: list[float]() for name in steps}
    for step in steps.values():
        for _ in range(2):
            step()
    for _ in range(rounds):
        for name in order.sample(list(steps), len(steps)):
            synchronize(device)
            start = time.perf_counter()
            for _ in range(at_once):
                steps[name]()
            synchronize(device)
            found[name].append((time.perf_counter() - start) / at_once)
    return found


def contestants(
    device: torch.device, batch: int, size: int, amp: str, with_compiled: bool
) -> dict[str, Step]:
    """Return a step of each contestant, all from the same weights and on the same batch."""
    torch.manual_seed(0)
    model = build(RepGhostNetSpec(width=0.5, num_classes=CLASSES), dropout=0.2)
    source, recipe = Synthetic(batch, size, device), RecipeSpec(batch_size=batch, amp=amp)
    steps = {
        "timm": timms(model, source, recipe, device, False),
        "timm --channels-last": timms(model, source, recipe, device, True),
        "ours": stepping(ours(model, source, recipe, device), source),
    }
    if with_compiled:
        fast = RecipeSpec(batch_size=batch, amp=amp, compile=True)
        steps["ours, compiled"] = stepping(ours(model, source, fast, device), source)
    return steps


def stepping(training: Training, source: Synthetic) -> Step:
    """Return a step of ours on the source's batch."""
    return lambda: training.train_step(source.batch)


def waiting(device: torch.device, batch: int, size: int, steps: int) -> dict[str, float]:
    """Return what a step waits for a checkpoint, and how steps go while one is written, in ms."""
    model = build(RepGhostNetSpec(width=0.5, num_classes=CLASSES), dropout=0.2)
    source, recipe = Synthetic(batch, size, device), RecipeSpec(batch_size=batch)
    training = ours(model, source, recipe, device)
    copied, writing, free = [], [], []
    with TemporaryDirectory(prefix="repghost-train-") as folder:
        checkpoints = Checkpoints(Path(folder))
        for _ in range(SAVES):
            for _ in range(steps):
                busy = checkpoints.busy
                start = time.perf_counter()
                training.train_step(source.batch)
                synchronize(device)
                (writing if busy else free).append(1000 * (time.perf_counter() - start))
            state = training.state()
            checkpoints.wait()
            start = time.perf_counter()
            checkpoints.start(state)
            copied.append(1000 * (time.perf_counter() - start))
        checkpoints.wait()
        megabytes = (Path(folder) / "checkpoint.pt").stat().st_size / 1e6
    plain = statistics.median(free)
    return {
        "checkpoint_mb": megabytes,
        "step_ms": plain,
        "wait_ms": statistics.median(copied),
        "wait_ms_most": max(copied),
        "slower_while_writing_ms": (statistics.median(writing) - plain) if writing else 0.0,
    }
