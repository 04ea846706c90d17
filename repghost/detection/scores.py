"""COCO's scores of boxes and masks, counted by faster-coco-eval; no torch is imported here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repghost.detection.annotations import Mask

Detection = dict[str, Any]  # a line of COCO's results: image_id, category_id, bbox, score, ...
KINDS = {"bbox": "", "segm": "mask_"}  # what is scored -> the prefix of its names
# Name of a score -> its place in pycocotools' twelve numbers.
NAMES = {"map": 0, "ap50": 1, "ap75": 2, "map_small": 3, "map_medium": 4, "map_large": 5}


@dataclass(frozen=True)
class Curve:
    """Precision in percent at recall 0, 1, ... 100 %, the mean over classes, at one IoU."""

    kind: str
    iou: float
    precision: tuple[float, ...]


@dataclass(frozen=True)
class Averages:
    """The averages in percent by name, such as map, ap50, mask_map; None where nothing is to find.

    `map` is the mean average precision at IoU 0.50, 0.55, ... 0.95, `ap50` and `ap75` that at one
    IoU, `map_small` and so on that of objects below 32 squared pixels, to 96 squared, above.
    """

    scores: dict[str, float | None]
    curves: tuple[Curve, ...]


def average_precision(
    file: Path, detections: Sequence[Detection], kinds: Sequence[str] = ("bbox",)
) -> Averages:
    """Score detections against the instances in `file`, every image of it counted.

    At most 100 of an image count, those of the highest scores, as pycocotools does it.
    """
    from faster_coco_eval import COCO

    scores: dict[str, float | None] = {}
    curves: list[Curve] = []
    truth = COCO(str(file))
    for kind in kinds:
        counted, of_kind = _counted(truth, detections, kind)
        scores |= {f"{KINDS[kind]}{name}": value for name, value in counted.items()}
        curves += of_kind
    return Averages(scores, tuple(curves))


def _counted(
    truth: Any, detections: Sequence[Detection], kind: str
) -> tuple[dict[str, float | None], list[Curve]]:
    from faster_coco_eval import COCOeval_faster

    # Boxes alone or masks alone: of both, it would take a mask's size from its box.
    left_out = "segmentation" if kind == "bbox" else "bbox"
    rows = [{key: one[key] for key in one if key != left_out} for one in detections]
    found = truth.loadRes(rows)
    evaluation = COCOeval_faster(truth, found, kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    numbers = {name: _percent(evaluation.stats[place]) for name, place in NAMES.items()}
    return numbers, _curves(evaluation, kind)


def _curves(evaluation: Any, kind: str) -> list[Curve]:
    """Return precision over recall at IoU 0.5 and 0.75: of all areas, 100 detections an image."""
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]  # IoU, recall, class
    curves = []
    for iou in (0.5, 0.75):
        at = int(np.argmin(np.abs(np.asarray(evaluation.params.iouThrs) - iou)))
        of_class = np.where(precision[at] < 0, np.nan, precision[at])
        known = of_class[:, ~np.isnan(of_class).all(0)]
        if known.size:
            mean = tuple(round(100 * float(one), 2) for one in np.nanmean(known, axis=1))
            curves.append(Curve(kind, iou, mean))
    return curves


def _percent(share: float) -> float | None:
    """Return a share in percent; pycocotools says -1 where there is nothing to find."""
    return None if share < 0 else 100 * float(share)


def encoded(mask: Mask) -> dict[str, Any]:
    """Return a mask `(H, W)` as COCO's results have it."""
    from faster_coco_eval.core import mask as coder

    code = coder.encode(np.asfortranarray(mask))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode()}
