"""What the report shows of a trained detector: curves of precision, and images with what it found.

`examples.json` in the run's folder: a few validation images as small JPEGs, with what is annotated
and what was found on them, and precision over recall. It is written once, after the training.
"""

import base64
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from repghost.atomic import write_text
from repghost.detection.annotations import Box, Instances, Mask, Picture, decoded
from repghost.detection.goal import DetectorGoal
from repghost.detection.outlines import outlines
from repghost.detection.scores import Detection
from repghost.detection.source import PictureSet, val_batches
from repghost.training.feed import Feed
from repghost.training.ranks import ALONE
from repghost.training.rows import ALL
from repghost.training.spec import DataSpec

IMAGES = 6
LONGEST_SIDE = 320  # pixels, as it is shown
JPEG_QUALITY = 70
LEAST_SCORE = 0.3  # of a detection that is shown
MOST_OBJECTS = 20  # annotated, and found, that are shown of an image


class Frame:
    """An image as it is shown: `(3, H, W)` uint8 pixels, scaled to `LONGEST_SIDE` at the most."""

    def __init__(self, picture: Picture, pixels: Tensor) -> None:
        self.picture = picture
        self.scale = min(1.0, LONGEST_SIDE / max(picture.width, picture.height))
        sides = (max(1, round(self.scale * side)) for side in (picture.width, picture.height))
        self.width, self.height = sides
        self._pixels = pixels

    def jpeg(self) -> str:
        """Return the image as a JPEG in base64."""
        whole, file = Image.fromarray(self._pixels.permute(1, 2, 0).numpy()), io.BytesIO()
        small = whole.resize((self.width, self.height), Image.Resampling.BILINEAR)
        small.save(file, "JPEG", quality=JPEG_QUALITY)
        return base64.b64encode(file.getvalue()).decode()

    def object(self, name: str, box: Box, mask: Mask | None, **more: Any) -> dict[str, Any]:
        """Return one object in the pixels that are shown; with a mask, its outlines."""
        seen = {"class": name, "box": [round(self.scale * side, 1) for side in box], **more}
        if mask is None:
            return seen
        size = (self.width, self.height)
        small = Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)
        return seen | {"mask": outlines(np.asarray(small))}


def write_examples(
    path: Path,
    goal: DetectorGoal,
    model: nn.Module,
    device: torch.device,
    data: DataSpec,
    batch_size: int,
) -> None:
    """Write `path` anew, whole or not at all.

    Where this process has not scored the network, as after a kill behind the last epoch, it is
    scored again for the curves, in batches of `batch_size`.

    Raises:
        OSError: it cannot be written.
    """
    pictures = PictureSet(goal.truth, seed=0, masks=False)
    if goal.latest is None:
        batches = val_batches(Feed.of(data, ALL), pictures, batch_size)
        goal.scored(model, batches, device, ALONE)
    assert goal.latest is not None
    shown = [_shown(pictures, place, goal, model, device) for place in _places(pictures)]
    content = {
        "least_score": LEAST_SCORE,
        "curves": [asdict(curve) for curve in goal.latest.curves],
        "pictures": [one for one in shown if one is not None],
    }
    write_text(path, json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")


def _places(pictures: PictureSet) -> list[int]:
    """Return up to `IMAGES` images with something to find, evenly over all of them."""
    instances = pictures.instances
    full = [i for i, one in enumerate(pictures.pictures) if instances.learnable(one)]
    steps = np.linspace(0, len(full) - 1, min(IMAGES, len(full)))
    return [full[round(step)] for step in steps]


def _shown(
    pictures: PictureSet, place: int, goal: DetectorGoal, model: nn.Module, device: torch.device
) -> dict[str, Any] | None:
    """Return an image with its objects; None where it cannot be read."""
    sample = pictures[0, place]
    if isinstance(sample, str):
        return None
    frame = Frame(pictures.pictures[place], sample[0])
    found = goal.detections(model, pictures.collate([sample]), device)
    return {
        "file": frame.picture.path.name,
        "width": frame.width,
        "height": frame.height,
        "jpeg": frame.jpeg(),
        "truth": list(_annotated(frame, goal.truth, masks=goal.draws_masks)),
        "found": list(_found(frame, goal.truth, found)),
    }


def _annotated(frame: Frame, truth: Instances, *, masks: bool) -> Iterable[dict[str, Any]]:
    for one in truth.learnable(frame.picture)[:MOST_OBJECTS]:
        mask = truth.mask(one, frame.picture) if masks else None
        yield frame.object(truth.classes[one.label], one.box, mask)


def _found(
    frame: Frame, truth: Instances, detections: Sequence[Detection]
) -> Iterable[dict[str, Any]]:
    """Yield what was found with a score of at least `LEAST_SCORE`, the best first."""
    names = dict(zip(truth.category_ids, truth.classes, strict=True))
    picture = frame.picture
    good = [one for one in detections if one["score"] >= LEAST_SCORE]
    for one in sorted(good, key=lambda one: -one["score"])[:MOST_OBJECTS]:
        x, y, width, height = one["bbox"]
        code, mask = one.get("segmentation"), None
        if code is not None:
            mask = decoded(code, picture.height, picture.width)
        box = (x, y, x + width, y + height)
        yield frame.object(names[one["category_id"]], box, mask, score=round(one["score"], 3))
