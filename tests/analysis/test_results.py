import csv
import json

import pytest
import studies
from hypothesis import given
from hypothesis import strategies as st

from analysis.results import STATES, load
from analysis.run_files import read_curve
from repghost.sweep.ticket import AT_WORK, ENDS, WAITING

BN = {"model.reparam": "bn"}


def test_rows_are_typed_and_swept_keys_are_what_stands_before_seed(tmp_path):
    rows = [studies.run(**BN, **{"model.width": "0.5"}, seed=3, top5="")]
    results = load(studies.write_study(tmp_path, rows, "s", "model.reparam model.width"))
    (row,) = results.rows
    assert results.swept == ("model.reparam", "model.width")
    assert row.settings == {"model.reparam": "bn", "model.width": "0.5"}
    assert (row.seed, row.top1, row.top5, row.state) == (3, 98.61, None, "finished")
    assert (row.latency_ms, row.latency_low, row.latency_high) == (1.234, 1.221, 1.249)
    assert (row.latency_ratio, row.ratio_low, row.ratio_high) == (1.0, 0.994, 1.006)


def test_a_study_that_sweeps_seeds_alone_has_no_swept_keys(tmp_path):
    results = load(studies.write_study(tmp_path, [studies.run(seed=0), studies.run(seed=1)]))
    assert results.swept == ()
    assert [row.seed for row in results.rows] == [0, 1]


def test_numbers_that_are_not_finite_count_as_missing(tmp_path):
    rows = [studies.run(top1="nan", latency_ms="inf")]
    (row,) = load(studies.write_study(tmp_path, rows)).rows
    assert row.top1 is None
    assert row.latency_ms is None


def test_control_characters_do_not_reach_a_terminal(tmp_path):
    rows = [studies.failed("red \x1b[31m and\nsecond line")]
    (row,) = load(studies.write_study(tmp_path, rows)).rows
    assert row.error == "red  [31m and second line"


def test_columns_of_a_later_version_are_ignored(tmp_path):
    folder = studies.write_study(tmp_path, [studies.run()])
    lines = (folder / "results.csv").read_text().splitlines()
    (folder / "results.csv").write_text(f"{lines[0]},energy_mj\n{lines[1]},7\n")
    assert load(folder).rows[0].top1 == 98.61


def test_a_study_without_study_json_still_loads(tmp_path):
    assert load(studies.write_study(tmp_path, [studies.run()])).provenance == {}


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("top1", "many", "line 2: top1=many: must be a number or empty"),
        ("seed", "1.5", "line 2: seed=1.5: must be a whole number or empty"),
        ("state", "done", "line 2: state=done: allowed are waiting, measuring, timing, queued"),
    ],
)
def test_a_garbled_cell_is_named_with_its_line(tmp_path, column, value, said):
    folder = studies.write_study(tmp_path, [studies.run(**{column: value})])
    with pytest.raises(ValueError, match=said) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\xff\xfe\x00garbage", "not a CSV file in UTF-8"),
        (b"a,b\n1,2\n", "no column study, key, state, seed"),
    ],
)
def test_a_csv_that_is_missing_or_none_is_one_clear_line(tmp_path, content, said):
    if content is not None:
        (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        load(tmp_path)
    assert "results.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_csv_of_the_first_version_says_how_to_write_it_anew(tmp_path):
    folder = studies.write_study(tmp_path, [studies.run()])
    lines = (folder / "results.csv").read_text().splitlines()
    old = (",".join(line.split(",")[:10] + line.split(",")[12:]) for line in lines)
    (folder / "results.csv").write_text("\n".join(old))
    with pytest.raises(ValueError, match="no column ratio_low, ratio_high: an earlier version"):
        load(folder)


def without(folder, *columns):
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    kept = [name for name in rows[0] if name not in columns]
    with (folder / "results.csv").open("w") as file:
        writer = csv.DictWriter(file, kept, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_a_csv_without_reference_and_flags_says_how_to_write_it_anew(tmp_path):
    folder = without(studies.write_demo(tmp_path), "reference", "flags")
    with pytest.raises(ValueError, match="no column reference, flags: an earlier version") as said:
        load(folder)
    assert "\n" not in str(said.value)


def test_columns_of_further_devices_are_read_by_their_names(tmp_path):
    rows = [studies.run(**BN, **studies.there("pixel", 1.1)), studies.run(**BN)]
    rows[1] |= studies.not_there("pixel")
    results = load(studies.write_study(tmp_path, rows, swept="model.reparam"))
    assert results.devices == ("pixel",)
    assert results.swept == ("model.reparam",)
    timed, waits = results.rows
    assert (timed.further["pixel"].latency_ms, timed.further["pixel"].device) == (11, studies.PHONE)
    assert (timed.further["pixel"].latency_ratio, timed.further["pixel"].ratio_high) == (
        1.1,
        1.1055,
    )
    assert waits.further == {}


def test_a_further_device_whose_columns_are_torn_is_refused(tmp_path):
    rows = [studies.run(**studies.there("pixel", 1.1))]
    folder = without(studies.write_study(tmp_path, rows), "pixel:ratio_low", "pixel:device")
    with pytest.raises(ValueError, match="no column pixel:ratio_low, pixel:device: not a results"):
        load(folder)


def test_a_garbled_cell_of_a_further_device_is_named(tmp_path):
    row = studies.run(**studies.there("pixel", 1.1)) | {"pixel:ratio_low": "much"}
    with pytest.raises(ValueError, match="line 2: pixel:ratio_low=much: must be a number or empty"):
        load(studies.write_study(tmp_path, [row]))


def test_flags_come_one_by_one_and_a_variant_may_be_waiting_for_its_device(tmp_path):
    rows = [studies.run(flags="busy; the reference drifted"), studies.run(state="timing")]
    flagged, timing = load(studies.write_study(tmp_path, rows)).rows
    assert flagged.flags == ("busy", "the reference drifted")
    assert (timing.flags, timing.state) == ((), "timing")


def test_every_state_that_a_sweep_writes_can_be_read():
    assert {WAITING, *AT_WORK, *ENDS} <= set(STATES)


def test_a_header_without_runs_and_a_torn_line_are_refused(tmp_path):
    folder = studies.write_study(tmp_path, [])
    with pytest.raises(ValueError, match="holds a header and no runs"):
        load(folder)
    with (folder / "results.csv").open("a") as file:
        file.write("demo,abc,finished,0,98")
    with pytest.raises(ValueError, match="line 2: 5 cells, the header has 23"):
        load(folder)


@given(st.binary(max_size=300))
def test_any_bytes_load_or_raise_value_error(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "results.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"results\.csv"):
        load(folder)


def test_a_curve_leaves_out_torn_lines_and_keeps_each_epoch_once(tmp_path):
    lines = [
        json.dumps({"epoch": 1, "train_loss": 1.0, "val_loss": float("nan"), "top1": 50}),
        json.dumps({"epoch": 0, "train_loss": 2.0, "val_loss": 2.5, "top1": 10.0}),
        json.dumps({"epoch": 1, "train_loss": 0.9, "val_loss": "x", "top1": 51.0}),
        '{"epoch": 2, "train_lo',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    curve = read_curve(tmp_path / "metrics.jsonl")
    assert [epoch.epoch for epoch in curve] == [0, 1]
    assert (curve[1].train_loss, curve[1].val_loss, curve[1].score) == (0.9, None, 51.0)


def test_a_run_without_files_has_an_empty_curve_and_no_certificate(tmp_path):
    results = load(studies.write_study(tmp_path, [studies.run()]))
    assert results.curve(results.rows[0]) == []
    assert results.certificate(results.rows[0]) == ""
