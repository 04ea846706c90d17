"""A detector's checkpoint, scored on the validation images: `task=retinanet checkpoint=FILE`."""

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
import yaml
from rich.console import Console
from rich.progress import track
from torch import Tensor

from repghost.cores import threads_for
from repghost.detection.goal import DetectorGoal
from repghost.detection.networks import RATIOS, SCALES
from repghost.detection.source import DetectionBatch, PictureSet, opened, val_batches
from repghost.detection.spec import DETECTORS, MARKS, detector_in
from repghost.models.weights import load_weights, read_checkpoint
from repghost.preparation import build_network
from repghost.settings import Settings
from repghost.training.feed import Feed
from repghost.training.goal import Scored
from repghost.training.ranks import ALONE
from repghost.training.rows import ALL

IMAGES_AT_ONCE = 16  # at most: recipes of classifiers have batches that no GPU holds here
ROWS = {  # of `MARKS`: a class's, and the background's
    "retinanet": (len(RATIOS) * len(SCALES), 0),
    "maskrcnn": (1, 1),
}


def score_detector(settings: Settings, path: Path, console: Console) -> tuple[Scored, int, float]:
    """Return the averages of a checkpoint, of how many images, and the seconds that it took.

    Raises:
        ValueError: it is of another network, task or number of classes, or the data break a rule.
    """
    torch.set_num_threads(threads_for(1))
    weights, truth = read_checkpoint(path, ema=settings.average), opened(settings.data, "val")
    _check(settings, path, weights, len(truth.classes))
    network = build_network(settings)
    try:
        load_weights(network, weights)
    except ValueError as error:
        channels = "task.fpn_chs and task.head_chs"
        raise ValueError(f"checkpoint={path}: {error}, and {channels}") from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pictures = PictureSet(truth, settings.seed, masks=False)
    of = f"{settings.network.describe()} with {path} on {len(pictures)} images of"
    console.print(f"{of} {settings.data.root} ({device})", markup=False, soft_wrap=True)
    for note in notes(settings, path.with_name("config.yaml")):
        console.print(note, markup=False, soft_wrap=True)
    at_once = min(settings.recipe.batch_size, IMAGES_AT_ONCE)
    batches = val_batches(Feed.of(settings.data, ALL), pictures, at_once)
    shown = _shown(batches, -(-len(pictures) // at_once), console)
    goal = DetectorGoal(settings.task, truth)
    network, start = network.to(device), time.monotonic()
    found = goal.scored(network, shown, device, ALONE)
    return found, len(pictures), time.monotonic() - start


def _check(settings: Settings, path: Path, weights: Mapping[str, Tensor], classes: int) -> None:
    """Refuse a checkpoint of another task, or for another number of classes than the data have."""
    asked, kind = settings.task.kind, detector_in(weights)
    if kind != asked:
        of = f"a {DETECTORS[kind]}: task={kind}" if kind else "no detector: task=validate"
        raise ValueError(f"checkpoint={path}: is of {of} scores it, not task={asked}")
    each, background = ROWS[kind]
    theirs = len(weights[MARKS[kind]]) // each - background
    if theirs != classes:
        raise ValueError(
            f"checkpoint={path}: is for {theirs} classes, the annotations below"
            f" data.root={settings.data.root} have {classes}"
        )


def notes(settings: Settings, config: Path) -> Iterator[str]:
    """Yield what a run's config has that decides a score here too, where it is otherwise now.

    Anchors and sizes are not in the weights: what does not fit them scores, but badly.
    """
    try:
        theirs = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return
    sizes = {name: getattr(settings.data, name) for name in ("input_size", "max_size")}
    for group, ours in {"task": settings.task.deciding, "data": sizes}.items():
        known = theirs.get(group) if isinstance(theirs, dict) else None
        for name, value in ours.items():
            if isinstance(known, dict) and known.get(name, value) != value:
                yield f"note: the checkpoint's run had {group}.{name}={known[name]}, here {value}"


def _shown(
    batches: Iterable[DetectionBatch], count: int, console: Console
) -> Iterable[DetectionBatch]:
    """Return the batches with a bar on a terminal."""
    hidden = not console.is_terminal
    return track(batches, "scoring", total=count, console=console, transient=True, disable=hidden)
