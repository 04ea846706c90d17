"""Each table of the paper beside a study of classifiers, finished or not."""

import csv

import pytest

from analysis.__main__ import main
from analysis.paper.study import printed_rows, study_sheets
from repghost.models.repghost_spec import GhostNetSpec, RepGhostNetSpec
from repghost.models.spec import ModelSpec
from repghost.run import Run
from repghost.sweep.results import HEAD, TAIL
from repghost.training.spec import DataSpec, RecipeSpec
from repghost.variant import Variant

DATA = DataSpec(num_classes=10, in_chs=1)
TIMED = {
    **{"latency_ms": 2, "latency_low": 1.9, "latency_high": 2.1, "reference": "repghostnet-0.5x"},
    **{"device": "here", "protocol": "paired"},
}


def study(tmp_path, runs: list[tuple[ModelSpec, int, dict]]):
    rows = []
    for model, seed, columns in runs:
        variant = Variant(model, DATA, RecipeSpec(), seed)
        Run(tmp_path, variant.key).write_config(variant)
        state = "finished" if "top1" in columns else "running"
        own = {"study": "mine", "key": variant.key, "state": state, "seed": seed}
        rows.append(own | {"model.n": model.describe()} | columns)
    folder = tmp_path / "mine"
    folder.mkdir()
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["study", "key", "state", "model.n", *HEAD[3:], *TAIL])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def network(**knobs) -> RepGhostNetSpec:
    return RepGhostNetSpec(num_classes=10, in_chs=1, **knobs)


def test_a_table_shows_score_difference_and_distance_to_the_base_of_both(tmp_path):
    runs = [(network(), seed, {"top1": top1}) for seed, top1 in enumerate((90.0, 92.0))]
    runs += [(network(reparam="id+dconv+bn"), 0, {"top1": 93.5})]
    sheets = {one.title.partition(":")[0]: one for one in study_sheets(study(tmp_path, runs))}
    assert list(sheets) == ["Table 3", "Table 6", "Table 7"]
    rows = {row[0]: row for row in sheets["Table 6"].rows}
    assert list(rows) == ["BN", "identity + 1x1 depthwise conv + BN"]
    assert rows["BN"][1:7] == ("2", "91.00 ± 1.41", "66.9", "+24.1", "-", "-")
    found = rows["identity + 1x1 depthwise conv + BN"]
    assert found[1:7] == ("1", "93.50", "66.5", "+27.0", "+2.50", "-0.4")
    notes = " ".join(sheets["Table 6"].notes)
    assert "Trained on digits" in notes and "above BN" in notes
    assert "not in the study: no-reparam, identity, 1x1 depthwise conv, " in notes


def test_latency_stands_beside_the_papers_ratio(tmp_path):
    timed = TIMED | {"latency_ratio": 1.3, "ratio_low": 1.2, "ratio_high": 1.4}
    ghost = GhostNetSpec(width=0.5, num_classes=10, in_chs=1)
    (sheet,) = study_sheets(study(tmp_path, [(ghost, 0, {"top1": 80.0} | timed)]))
    assert sheet.rows[0][7:] == ("1.300 [1.200, 1.400]", "1.263", "+2.9 %")
    assert any("here beside" in note or "repghostnet-0.5x" in note for note in sheet.notes)


def test_another_reference_has_no_deviation(tmp_path):
    other = TIMED | {"latency_ratio": 1.3, "ratio_low": 1.2, "ratio_high": 1.4}
    ghost = GhostNetSpec(width=0.5, num_classes=10, in_chs=1)
    columns = {"top1": 80.0} | other | {"reference": "repghostnet-1.0x"}
    (sheet,) = study_sheets(study(tmp_path, [(ghost, 0, columns)]))
    assert sheet.rows[0][7:] == ("1.300 [1.200, 1.400]", "1.263", "-")


def test_a_study_at_work_shows_what_it_has(tmp_path):
    runs = [(network(shortcut=False), 0, {})]
    (sheet,) = study_sheets(study(tmp_path, runs))
    assert sheet.rows == [
        ("RepGhostNet 0.5x (no shortcut)", "0/1", "-", "64.1", *"-" * 4, "0.992", "-")
    ]


def test_a_study_of_other_networks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="none of its networks is in a table of the paper"):
        study_sheets(study(tmp_path, [(network(width=0.3), 0, {"top1": 90.0})]))


@pytest.mark.parametrize("option", ["--costs", "--latency", "--operators", "--device=here"])
def test_an_option_that_says_nothing_of_a_study_is_refused(tmp_path, option):
    folder = study(tmp_path, [(network(), 0, {"top1": 90.0})])
    with pytest.raises(SystemExit) as caught:
        main(["paper", str(folder), "--markdown", option])
    assert f"{option.partition('=')[0]}: not for one study" in str(caught.value.code)


def test_table6_has_the_papers_seven_rows():
    specs = [row.spec for row in printed_rows("Table 6")]
    assert len(specs) == len(set(specs)) == 7
    assert [spec.relu for spec in specs] == ["after_add"] * 6 + ["both"]
