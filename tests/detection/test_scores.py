"""Scores are pycocotools' to 1e-6 on random detections of random objects, and its corner cases."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from repghost.detection.scores import NAMES, average_precision, encoded

SIZE = 200
CLASSES = 4


def blob(rng: np.random.Generator, side: int) -> tuple[list[int], np.ndarray]:
    """A random ellipse in a box of about `side` pixels, and its mask."""
    width, height = np.maximum(rng.normal(side, side / 4, 2).astype(int), 4)
    x, y = rng.integers(0, SIZE - width), rng.integers(0, SIZE - height)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    near = ((columns - x - width / 2) / width * 2) ** 2 + (
        (rows - y - height / 2) / height * 2
    ) ** 2
    return [int(x), int(y), int(width), int(height)], (near <= 1).astype(np.uint8)


def case(seed: int, images: int = 12) -> tuple[dict, list[dict]]:
    """Objects, some of them crowds, some images without; detections: moved, doubled, invented."""
    rng = np.random.default_rng(seed)
    rows, found = [], []
    for image_id in range(1, images + 1):
        for _ in range(rng.integers(0, 6)):
            box, mask = blob(rng, int(rng.choice([16, 50, 110])) if seed % 2 else 50)
            category = int(rng.integers(1, CLASSES + 1))
            row = {"id": len(rows) + 1, "image_id": image_id, "category_id": category, "bbox": box}
            row |= {"area": int(mask.sum()), "iscrowd": int(rng.random() < 0.15)}
            rows.append(row | {"segmentation": encoded(mask)})
            for _ in range(rng.integers(0, 3)):
                shift = rng.normal(0, 3, 2).astype(int)
                moved = np.roll(mask, shift, (1, 0))
                place = [box[0] + int(shift[0]), box[1] + int(shift[1]), *box[2:]]
                found.append(detection(rng, image_id, category, place, moved))
        for _ in range(rng.integers(0, 4)):
            box, mask = blob(rng, 40)
            found.append(detection(rng, image_id, int(rng.integers(1, CLASSES + 1)), box, mask))
    pictures = [{"id": i, "width": SIZE, "height": SIZE} for i in range(1, images + 1)]
    categories = [{"id": i, "name": str(i)} for i in range(1, CLASSES + 1)]
    return {"images": pictures, "annotations": rows, "categories": categories}, found


def detection(rng, image_id, category, box, mask) -> dict:
    score = float(np.round(rng.random(), 2))  # ties are frequent
    row = {"image_id": image_id, "category_id": category, "bbox": box, "score": score}
    return row | {"segmentation": encoded(mask)}


def of_pycocotools(file, found: list[dict], kind: str) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(file))
        left_out = "segmentation" if kind == "bbox" else "bbox"  # sizes are those of what is scored
        rows = [{k: v for k, v in row.items() if k != left_out} for row in found]
        evaluation = COCOeval(truth, truth.loadRes(rows), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: evaluation.stats[place] for name, place in NAMES.items()}


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(6))
def test_scores_of_random_detections_are_those_of_pycocotools(seed, kind, tmp_path):
    truth, found = case(seed)
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(truth))
    expected = of_pycocotools(file, found, kind)
    scores = average_precision(file, found, [kind]).scores
    prefix = "mask_" if kind == "segm" else ""
    for name, value in expected.items():
        ours = scores[prefix + name]
        assert (ours is None and value == -1) or abs(ours / 100 - value) < 1e-6, name
    assert 0 < scores[f"{prefix}map"] < 100


def test_finding_nothing_scores_zero_and_sizes_that_are_not_there_have_no_score(tmp_path):
    truth, _ = case(0)
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(truth))
    scores = average_precision(file, [], ["bbox", "segm"]).scores
    assert scores["map"] == scores["mask_map"] == 0
    assert scores["map_large"] is None and scores["map_medium"] == 0


def test_finding_everything_scores_a_hundred_along_the_whole_curve(tmp_path):
    truth, _ = case(1)
    truth["annotations"] = [row for row in truth["annotations"] if not row["iscrowd"]]
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(truth))
    found = [
        {k: row[k] for k in ("image_id", "category_id", "bbox", "segmentation")} | {"score": 0.5}
        for row in truth["annotations"]
    ]
    averages = average_precision(file, found, ["bbox", "segm"])
    assert averages.scores["map"] == pytest.approx(100)
    assert averages.scores["mask_map"] == pytest.approx(100)
    assert {(curve.kind, curve.iou) for curve in averages.curves} == {
        (kind, iou) for kind in ("bbox", "segm") for iou in (0.5, 0.75)
    }
    assert all(len(c.precision) == 101 and min(c.precision) > 99 for c in averages.curves)
