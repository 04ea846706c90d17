"""Table 4 is printed beside a study of detectors, each backbone found in the paper's rows."""

import csv

import pytest

from analysis.paper.table4 import table4_sheet
from repghost.detection.spec import TaskSpec
from repghost.models.baselines import MobileNetV3Spec
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.models.spec import ModelSpec
from repghost.run import Run
from repghost.sweep.results import DETECTION, HEAD, TAIL
from repghost.training.spec import DataSpec, RecipeSpec
from repghost.variant import Variant

DATA = DataSpec(kind="coco", root="tiny", max_size=64)
FOUND = {"map": "51.25", "backbone_ms": "2.5", "backbone_share": "0.25", "latency_ms": "10"}


def study(tmp_path, detectors: list[tuple[str, ModelSpec]]):
    rows = []
    for kind, model in detectors:
        variant = Variant(model, DATA, RecipeSpec(), 0, TaskSpec(kind))
        Run(tmp_path, variant.key).write_config(variant)
        masks = {"mask_map": "40.5"} if kind == "maskrcnn" else {}
        rows.append({"key": variant.key, "detector": kind, **FOUND, **masks})
    folder = tmp_path / "table4"
    folder.mkdir()
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*HEAD, *TAIL, *DETECTION])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_a_backbone_stands_beside_its_numbers_in_the_paper(tmp_path):
    ours = RepGhostNetSpec(width=1.3)
    sheet = table4_sheet(study(tmp_path, [("retinanet", ours), ("maskrcnn", ours)]))
    name = ours.describe()
    here = ("10.000", "2.500", "25.0 %", "51.2")
    assert sheet.rows == [
        (name, "RetinaNet", *here, "-", "92.9", "3.64", "33.5", "-"),
        (name, "Mask R-CNN", *here, "40.5", "92.9", "3.64", "36.1", "33.1"),
    ]
    assert "tiny" in sheet.notes[0]


def test_a_backbone_that_the_paper_has_not_has_none_of_its_numbers(tmp_path):
    small = MobileNetV3Spec(size="small", width=1.0)
    others = [("retinanet", small), ("retinanet", RepGhostNetSpec(width=0.5))]
    for row in table4_sheet(study(tmp_path, others)).rows:
        assert row[-4:] == ("-",) * 4


def test_a_study_without_a_detector_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no detector"):
        table4_sheet(study(tmp_path, []))
    with pytest.raises(ValueError, match="no such file"):
        table4_sheet(tmp_path / "nowhere")
