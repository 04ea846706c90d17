"""Writes studies of detectors as a sweep leaves them: rows of results.csv, examples.json."""

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import studies
from PIL import Image

from repghost.objective import BOX_MAP


def row(width: float, score: float, ms: float, detector: str = "retinanet") -> dict[str, Any]:
    """Return a finished run of a width; without a detector it is a classifier's."""
    times = {"latency_ms": ms, "latency_low": 0.99 * ms, "latency_high": 1.01 * ms}
    own = {"key": f"{detector}{width}", "fingerprint": f"{detector}{width}", "model.width": width}
    if not detector:
        return studies.run(**own, **times, top1=score, **{"task": "train"})
    named = dict.fromkeys(BOX_MAP.scores, "") | {"map": score, "ap50": score + 20}
    named |= {"backbone_ms": ms / 2, "backbone_share": 0.5, "task": detector}
    return studies.run(**own, **times, **named) | {"top1": "", "top5": "", "detector": detector}


def write(outputs: Path, *rows: dict[str, Any]) -> Path:
    folder = studies.write_study(outputs, [], "det", "task model.width")
    extra = ("detector", *BOX_MAP.scores, "backbone_ms", "backbone_low", "backbone_high")
    header = (*studies.BEFORE, "task", "model.width", *studies.AFTER, *extra, "backbone_share")
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, header, restval="")
        writer.writeheader()
        writer.writerows({"study": "det"} | one for one in rows)
    return folder


def jpeg(width: int, height: int, noise: int = 0) -> str:
    """Return a grey image, or one of noise that compresses badly, as a JPEG in base64."""
    rng, file = np.random.default_rng(0), io.BytesIO()
    pixels = np.full((height, width, 3), 128) + rng.integers(-noise, noise + 1, (height, width, 3))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return base64.b64encode(file.getvalue()).decode()


def thing(name: str, box: list[float], score: float | None = None, mask: Any = None) -> dict:
    optional = {"score": score, "mask": mask}
    return {"class": name, "box": box} | {k: v for k, v in optional.items() if v is not None}


def write_examples(
    outputs: Path, key: str, pictures: int = 2, masks: bool = False, noise: int = 0, name: str = "7"
) -> Path:
    """Write what a run leaves: images of 160 x 120 with two annotated and one found object."""
    corners = [[20, 20, 70, 20, 70, 80, 20, 80]] if masks else None
    truth = [thing(name, [20, 20, 70, 80], mask=corners), thing("3", [90.5, 30, 150, 110])]
    found = [thing(name, [22.5, 18, 71, 79], 0.91, corners)]
    picture = {"width": 160, "height": 120, "jpeg": jpeg(160, 120, noise)}
    picture |= {"truth": truth, "found": found}
    kinds = ("bbox", "segm") if masks else ("bbox",)
    curves = [
        {"kind": kind, "iou": iou, "precision": [100 - n * iou for n in range(101)]}
        for kind in kinds
        for iou in (0.5, 0.75)
    ]
    folder = outputs / "runs" / key
    folder.mkdir(parents=True, exist_ok=True)
    shown = [picture | {"file": f"{n:06d}.jpg"} for n in range(pictures)]
    content = {"least_score": 0.3, "curves": curves, "pictures": shown}
    path = folder / "examples.json"
    path.write_text(json.dumps(content))
    return path
