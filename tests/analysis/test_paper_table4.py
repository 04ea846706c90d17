"""Table 4 is printed beside a study of detectors, each backbone found in the paper's rows."""

import csv
from io import StringIO

from rich.console import Console

from analysis.paper.sheet import Sheet, print_sheets
from analysis.paper.study import study_sheets
from repghost.detection.spec import TaskSpec
from repghost.models.baselines import MobileNetV3Spec
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.models.spec import ModelSpec
from repghost.run import Run
from repghost.sweep.results import DETECTION, HEAD, TAIL
from repghost.training.spec import DataSpec, RecipeSpec
from repghost.variant import Variant

DATA = DataSpec(kind="coco", root="tiny", max_size=64)
TIMED = {"latency_ms": "10", "device": "here", "reference": "repghostnet-0.5x-1x3x64x64-1000"}
FOUND = {"map": "51.25", "backbone_ms": "2.5", "backbone_share": "0.25"} | TIMED


def study(tmp_path, detectors: list[tuple[str, ModelSpec]], **columns: str):
    rows = []
    for kind, model in detectors:
        variant = Variant(model, DATA, RecipeSpec(), 0, TaskSpec(kind))
        Run(tmp_path, variant.key).write_config(variant)
        masks = {"mask_map": "40.5"} if kind == "maskrcnn" else {}
        own = {"study": "table4", "key": variant.key, "state": "finished", "detector": kind}
        rows.append(own | FOUND | masks | columns)
    folder = tmp_path / "table4"
    folder.mkdir(parents=True)
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*HEAD, *TAIL, *DETECTION])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def table4(folder) -> Sheet:
    (sheet,) = study_sheets(folder)
    return sheet


def test_a_backbone_stands_beside_its_numbers_in_the_paper(tmp_path):
    ours = RepGhostNetSpec(width=1.3)
    sheet = table4(study(tmp_path, [("retinanet", ours), ("maskrcnn", ours)]))
    name = ours.describe()
    here = ("10.00", "2.500", "25.0 %", "51.2")
    assert sheet.rows == [
        (name, "RetinaNet", *here, "-", "92.9", "3.64", "33.5", "-"),
        (name, "Mask R-CNN", *here, "40.5", "92.9", "3.64", "36.1", "33.1"),
    ]
    assert "tiny" in sheet.notes[0]


def test_a_backbone_that_the_paper_has_not_has_none_of_its_numbers(tmp_path):
    small = MobileNetV3Spec(size="small", width=1.0)
    unlike = RepGhostNetSpec(width=1.3, reparam="none")
    specs = [small, RepGhostNetSpec(width=0.5), unlike]
    others = [("retinanet", spec) for spec in specs]
    for row in table4(study(tmp_path, others)).rows:
        assert row[-4:] == ("-",) * 4


def test_a_run_without_its_config_leaves_the_others_in_the_table(tmp_path):
    folder = study(tmp_path, [("retinanet", RepGhostNetSpec(width=w)) for w in (1.3, 1.5)])
    first = min((tmp_path / "runs").glob("*/config.yaml"))
    first.unlink()
    rows = {row[0]: row for row in table4(folder).rows}
    key = first.parent.name
    assert rows.pop(key)[1:] == ("RetinaNet", "10.00", "2.500", "25.0 %", "51.2", *"-" * 5)
    ((*_, masks),) = rows.values()
    assert len(rows) == 1 and masks == "-"


def test_the_notes_say_where_it_was_timed_once_it_was(tmp_path):
    models = [("retinanet", RepGhostNetSpec(width=1.3))]
    timed = table4(study(tmp_path / "timed", models))
    assert "timed on here beside repghostnet-0.5x-1x3x64x64-1000 (" in timed.notes[0]
    waiting = table4(study(tmp_path / "waiting", models, **dict.fromkeys(TIMED, "")))
    assert "Trained on tiny; not timed yet." in waiting.notes[0]


def test_a_study_of_latencies_alone_is_not_called_trained_and_is_printed_whole(tmp_path):
    models = [(kind, RepGhostNetSpec(width=1.3)) for kind in ("retinanet", "maskrcnn")]
    sheet = table4(study(tmp_path, models, map="", mask_map="", latency_ms="3501.58"))
    assert sheet.notes[0].startswith("Not trained; timed on here")
    console = Console(file=StringIO(), width=110)
    print_sheets([sheet], console)
    printed = console.file.getvalue()
    assert "3501.6" in printed and "…" not in printed
