"""`launch.py task=validate`: weights of a file, scored on the validation images.

A detector's are scored by its own task with `checkpoint=FILE`.
"""

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track

from repghost.cores import share_cores, threads_for
from repghost.detection.spec import DETECTORS, detector_in
from repghost.settings import Settings

if TYPE_CHECKING:
    from torch import nn

    from repghost.training.batches import Batch
    from repghost.training.data import Validation

NAMED_AT_MOST = 10
INTERPOLATION = "bicubic"


def validate(settings: Settings) -> int:
    """Print the scores in a line, then all that is known as one JSON line; return the exit code.

    Raises:
        ValueError: there are no weights, they do not fit, or no image can be read.
    """
    share_cores()
    path = _weights(settings)
    console = Console(highlight=False)
    score = _of_detector if settings.task.detects else _of_classifier
    scores = score(settings, path, console)
    about = {"network": settings.network.describe(), "checkpoint": str(path)}
    print(json.dumps(about | scores | {"input_size": settings.data.input_size}))
    return 0


def _of_detector(settings: Settings, path: Path, console: Console) -> dict[str, Any]:
    from repghost.detection.validation import score_detector

    found, images, seconds = score_detector(settings, path, console)
    _say_skipped(found.skipped, console, "its objects count as not found")
    speed = f"{images} images, {images / seconds:.1f} a second"
    console.print(
        f"{settings.objective.words(found.scores, 3)}  {speed}", markup=False, soft_wrap=True
    )
    seen = {"images": images, "skipped": len(found.skipped)}
    return {"task": settings.task.kind, **found.scores, **seen, "max_size": settings.data.max_size}


def _of_classifier(settings: Settings, path: Path, console: Console) -> dict[str, Any]:
    import torch

    from repghost.models.registry import build
    from repghost.models.weights import load_weights, read_checkpoint
    from repghost.training.data import open_validation
    from repghost.training.evaluate import evaluate

    torch.set_num_threads(threads_for(1))
    network = build(settings.model)
    weights = read_checkpoint(path, ema=settings.average)
    if kind := detector_in(weights):
        raise ValueError(
            f"checkpoint={path}: is of a {DETECTORS[kind]}; task={kind} scores it, with data=coco"
        )
    load_weights(network, weights)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = open_validation(settings.data, settings.recipe)
    where = settings.data.root or settings.data.name or settings.data.kind
    line = (
        f"{settings.model.describe()} with {path} on {images.images} images of {where} ({device})"
    )
    console.print(line, markup=False, soft_wrap=True)
    for note in preprocessing_notes(network, settings):
        console.print(note, markup=False, soft_wrap=True)
    start = time.monotonic()
    scores = evaluate(network.to(device), _shown(images, console), device)
    seconds = time.monotonic() - start
    _say_skipped(scores.skipped, console, "not counted")
    console.print(
        f"top-1 {scores.top1:.3f} %  top-5 {scores.top5:.3f} %  loss {scores.loss:.4f}"
        f"  {scores.images} images, {scores.images / seconds:.0f} a second"
    )
    return {
        "top1": scores.top1,
        "top5": scores.top5,
        "loss": scores.loss,
        "images": scores.images,
        "skipped": len(scores.skipped),
        "crop_pct": settings.data.crop_pct,
    }


def _weights(settings: Settings) -> Path:
    """Return the file of weights that is asked for.

    Raises:
        ValueError: none is, or it is not there.
    """
    asked = settings.checkpoint or settings.model.weights
    if not asked:
        raise ValueError("task=validate: give checkpoint=FILE, the weights to score")
    if not Path(asked).is_file():
        raise ValueError(f"checkpoint={asked}: no such file")
    return Path(asked)


def preprocessing_notes(network: "nn.Module", settings: Settings) -> Iterator[str]:
    """Yield where the images are prepared otherwise than the authors of timm's weights did."""
    from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    own: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    if settings.data.kind != "folder":  # nobody's weights are for digits
        return
    ours: dict[str, Any] = {
        "input_size": (3, settings.data.input_size, settings.data.input_size),
        "crop_pct": settings.data.crop_pct,
        "interpolation": INTERPOLATION,
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
    }
    for name, value in ours.items():
        theirs = own.get(f"test_{name}", own.get(name, value))
        if theirs != value:
            yield f"note: timm's own weights of this network have {name} {theirs}, here {value}"


def _shown(images: "Validation", console: Console) -> Iterable["Batch"]:
    """Yield the batches with a bar on a terminal."""
    yield from track(
        images,
        total=images.images / images.batch_size,
        console=console,
        description="scoring",
        transient=True,
        disable=not console.is_terminal,
    )


def _say_skipped(skipped: list[str], console: Console, meaning: str) -> None:
    for name in skipped[:NAMED_AT_MOST]:
        console.print(f"cannot be read, {meaning}: {name}", markup=False, soft_wrap=True)
    if len(skipped) > NAMED_AT_MOST:
        console.print(f"... and {len(skipped) - NAMED_AT_MOST} more")
