import json
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import studies

from analysis.__main__ import main
from analysis.paper.latency import latency_sheets
from analysis.paper.measured import by_device, timings
from analysis.paper.tables import paper_rows
from repghost.models.paper import ENTRIES

ROOT = Path(__file__).parents[2]
TIMED = ("Table 3", "Table 5", "Table 7")
RATIOS = {row.name: row.ratio for row in paper_rows(*TIMED) if row.ratio}


def sheets(outputs, device=None):
    return {sheet.title.partition(":")[0]: sheet for sheet in latency_sheets(outputs, device)}


def cells(sheet):
    return {row[0]: row[1:] for row in sheet.rows}


def notes(sheet):
    return " ".join(sheet.notes)


def test_every_row_of_the_tables_has_an_entry_and_table_3_is_in_its_order():
    rows = paper_rows(*TIMED)
    assert len(rows) == 25 + 4 + 8
    assert [row.name for row in rows[:25]] == list(ENTRIES)[:25]
    assert RATIOS["ghostnet-0.5x"] == pytest.approx(1.263, abs=5e-4)


def test_table_7_with_shortcuts_stands_for_the_networks_of_table_3():
    names = [row.name for row in paper_rows("Table 7")]
    assert names[:4] == [
        *("repghostnet-0.5x", "repghostnet-0.5x-no-shortcut"),
        *("repghostnet-1.0x", "repghostnet-1.0x-no-shortcut"),
    ]


def test_ratios_equal_to_the_papers_have_no_deviation_and_rank_1(tmp_path):
    studies.write_timings(tmp_path, RATIOS)
    found = sheets(tmp_path)
    assert [len(found[table].rows) for table in TIMED] == [22, 4, 8]
    assert {row[-1] for table in TIMED for row in found[table].rows} <= {"+0.0 %", "-0.0 %"}
    assert "paper: 1.000 [1.000, 1.000] (n = 22" in notes(found["Table 3"])
    assert "21 of 21 ratios are within 5 %" in notes(found["Table 3"])
    assert {row[-1] for row in found["What the paper's text claims"].rows} == {"yes"}


def test_a_row_shows_its_interval_the_papers_ratio_and_the_deviation(tmp_path):
    studies.write_timings(tmp_path, {"ghostnet-0.5x": 1.2})
    row = cells(sheets(tmp_path)["Table 3"])["GhostNet 0.5x"]
    assert row == (
        *("1.200 [1.188, 1.212]", "1.200 [1.194, 1.206]", "31.7", "1.263"),
        "-5.0 %",
    )


def test_shuffled_rows_and_studies_give_one_table(tmp_path):
    names = list(RATIOS)
    studies.write_timings(tmp_path / "a", RATIOS)
    random.Random(3).shuffle(names)
    for i, part in enumerate((names[:10], names[10:])):
        studies.write_timings(tmp_path / "b", {name: RATIOS[name] for name in part}, f"s{i}")
    one, other = sheets(tmp_path / "a"), sheets(tmp_path / "b")
    assert [sheet.rows for sheet in one.values()] == [sheet.rows for sheet in other.values()]


def test_missing_networks_are_named_with_the_command_that_measures_them(tmp_path):
    names = [name for name in RATIOS if name not in ("proxylessnas", "mobileone-s0")]
    names = [name for name in names if "res50" not in name and "shortcut" not in name]
    studies.write_timings(tmp_path, {name: RATIOS[name] for name in names})
    found = sheets(tmp_path)
    assert (
        "not measured: MobileOne-S0, ProxylessNAS;"
        " python launch.py -m +sweeps=table3 data=imagenet recipe=none"
    ) in found["Table 3"].notes
    assert found["Table 5"].rows == []
    assert "+sweeps=table5 data=imagenet recipe=none" in notes(found["Table 5"])
    assert "RepGhostNet 0.5x (no shortcut)" in notes(found["Table 7"])
    claims = found["What the paper's text claims"]
    assert len(claims.rows) == 3
    assert "RepGhostNet 2.0x / RepGhostNet 2.0x (no shortcut)" in notes(claims)


def test_of_two_networks_there_is_no_rank_correlation(tmp_path):
    studies.write_timings(tmp_path, {"ghostnet-0.5x": 1.2, "ghostnet-1.0x": 2.4})
    assert "needs at least 3 networks" in notes(sheets(tmp_path)["Table 3"])


def test_tied_ratios_share_their_rank(tmp_path):
    tied = dict.fromkeys(["ghostnet-0.5x", "repghostnet-0.58x", "ghostnet-1.0x"], 2.0)
    studies.write_timings(tmp_path, tied | {"efficientnet-b0": 9.0})
    words = notes(sheets(tmp_path)["Table 3"])
    # paper's ranks 1, 2, 3, 4 against 2, 2, 2, 4
    assert "paper: 0.775 [" in words and "(n = 4;" in words


def test_repghostnet_is_1_by_definition_in_the_claims(tmp_path):
    ratios = {"ghostnet-0.5x": 1.27, "repghostnet-0.5x": 1.03}
    studies.write_timings(tmp_path, ratios)
    found = sheets(tmp_path)
    assert cells(found["Table 3"])["RepGhostNet 0.5x"][1] == "1.030 [1.025, 1.035]"
    claim = cells(found["What the paper's text claims"])["GhostNet 0.5x / RepGhostNet 0.5x"]
    assert claim == ("1.270 [1.264, 1.276]", "1.263", "paper ± 5 %", "yes")


def test_a_claim_of_two_ratios_combines_both_intervals(tmp_path):
    studies.write_timings(tmp_path, {"ghostnet-1.0x": 2.4, "repghostnet-1.0x": 2.0})
    claim = cells(sheets(tmp_path)["What the paper's text claims"])[
        "GhostNet 1.0x / RepGhostNet 1.0x"
    ]
    assert claim == ("1.200 [1.192, 1.209]", "1.198", "paper ± 5 %", "yes")


def test_a_shortcut_that_costs_more_than_4_percent_does_not_hold(tmp_path):
    ratios = {"repghostnet-1.0x": 2.2, "repghostnet-1.0x-no-shortcut": 2.0}
    studies.write_timings(tmp_path, ratios)
    claims = cells(sheets(tmp_path)["What the paper's text claims"])
    assert claims["RepGhostNet 1.0x / RepGhostNet 1.0x (no shortcut)"][2:] == ("1 ± 4 %", "no")


def one_network(outputs, **columns):
    studies.write_timings(outputs, {"ghostnet-0.5x": 1.2}, **columns)
    return outputs / "runs" / "table3_recipe=none-ghostnet-0.5x"


@pytest.mark.parametrize(
    "columns",
    [
        {"fingerprint": "timed at 32 pixels"},
        {"protocol": "paper"},
        {"ratio_low": ""},
        {"latency_ms": ""},
        {"latency_ratio": -1.0},
    ],
    ids=str,
)
def test_a_row_that_is_not_the_papers_measurement_is_left_out(tmp_path, columns):
    one_network(tmp_path, **columns)
    assert timings(tmp_path)[0] == []


@pytest.mark.parametrize("name", ["config.yaml", "certificate.json"])
@pytest.mark.parametrize("text", [None, "", "{", "[1]", "model: {family: unknown}", "deployed: 3"])
def test_a_run_that_cannot_be_read_is_left_out(tmp_path, name, text):
    path = one_network(tmp_path) / name
    path.unlink() if text is None else path.write_text(text)
    assert timings(tmp_path)[0] == []


def test_a_network_with_other_classes_or_knobs_is_not_the_papers(tmp_path):
    spec = ENTRIES["ghostnet-0.5x"].spec
    run = one_network(tmp_path)
    studies.write_network(tmp_path, run.name, replace(spec, num_classes=10), "graph")
    with pytest.raises(
        ValueError, match=r"measure them with: python launch\.py -m \+sweeps=table3"
    ):
        latency_sheets(tmp_path, None)


def test_a_run_certified_at_another_shape_too_is_matched_by_its_224_pixels(tmp_path):
    spec = ENTRIES["ghostnet-0.5x"].spec
    run = one_network(tmp_path, fingerprint="at 224")
    studies.write_network(tmp_path, run.name, spec, "at 224", **{"8x3x224x224": "at 8"})
    assert len(timings(tmp_path)[0]) == 1
    studies.write_timings(tmp_path, {"ghostnet-0.5x": 5.0}, "batch", fingerprint="at 8")
    assert [one.study for one in timings(tmp_path)[0]] == ["table3_recipe=none"]


def test_the_newest_study_counts_where_a_network_was_measured_twice(tmp_path):
    old = studies.write_timings(tmp_path, {"ghostnet-0.5x": 1.2}, "z")
    new = studies.write_timings(tmp_path, {"ghostnet-0.5x": 1.3}, "a")
    studies.write_provenance(old, started="2026-11-01T00:00:00")
    studies.write_provenance(new, started="2026-11-02T00:00:00")
    (device,) = by_device(timings(tmp_path)[0]).values()
    assert [timing.ratio.value for timing in device.values()] == [1.3]


def test_an_interval_beside_its_value_is_widened_and_not_dropped(tmp_path):
    one_network(tmp_path, ratio_low=1.21, ratio_high=1.22)
    (timing,) = timings(tmp_path)[0]
    assert timing.ratio == (1.2, 1.2, 1.22)


def test_each_device_has_its_own_tables_and_device_picks(tmp_path):
    studies.write_timings(tmp_path, {"ghostnet-0.5x": 1.2}, "a", device="local: EPYC")
    studies.write_timings(tmp_path, {"ghostnet-0.5x": 1.4}, "b", device="phone: Pixel")
    assert len(latency_sheets(tmp_path, None)) == 8
    assert cells(sheets(tmp_path, "pixel")["Table 3"])["GhostNet 0.5x"][1].startswith("1.400")
    with pytest.raises(ValueError, match=r"--device tpu: was not .*: local: EPYC; phone: Pixel"):
        latency_sheets(tmp_path, "tpu")


def test_the_caption_carries_device_n_version_and_commit(tmp_path):
    studies.write_timings(tmp_path, {"ghostnet-0.5x": 1.2}, device="local: EPYC", commit="")
    words = notes(sheets(tmp_path)["Table 3"])
    for part in ("local: EPYC", "n = 1 networks", "MNN 3.6.1", "commit 0123abc", "batch 1"):
        assert part in words


def test_a_study_that_cannot_be_read_is_said_and_does_not_stop_the_others(tmp_path):
    studies.write_timings(tmp_path, {"ghostnet-0.5x": 1.2})
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "results.csv").write_text("a,b\n1,2\n")
    assert re.search(
        r"left out: .*broken/results\.csv: line 1", notes(list(sheets(tmp_path).values())[-1])
    )


def test_the_command_prints_tables_and_markdown(tmp_path, capsys):
    studies.write_timings(tmp_path, RATIOS, device="a|b")
    main(["paper", "--latency", "--outputs", str(tmp_path)])
    text = capsys.readouterr().out
    assert "GhostNet 1.3x" in text and "\x1b[" not in text
    assert max(map(len, text.splitlines())) <= 110
    main(["paper", "--latency", "--markdown", "--outputs", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert "| network | ms here | ratio here | paper ms | paper ratio | deviation |" in lines
    assert any(line.startswith("- a\\|b; one thread") for line in lines)
    table = [line for line in lines if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {6, 7}


def test_nothing_measured_is_said_in_words_with_exit_code_1(tmp_path):
    with pytest.raises(SystemExit) as caught:
        main(["paper", "--latency", "--outputs", str(tmp_path)])
    assert "no network of the paper was timed" in str(caught.value.code)


def test_the_latency_tables_import_no_torch(tmp_path):
    studies.write_timings(tmp_path, RATIOS)
    code = (
        "import sys; from analysis.__main__ import main;"
        f"main(['paper', '--latency', '--outputs', {str(tmp_path)!r}]);"
        "sys.exit(', '.join({'torch', 'timm', 'MNN'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_a_certificate_without_the_shape_is_no_match(tmp_path):
    path = one_network(tmp_path) / "certificate.json"
    deployed = {"1x3x32x32": {"fingerprint": "graph of ghostnet-0.5x"}}
    path.write_text(json.dumps({"deployed": deployed}))
    assert timings(tmp_path)[0] == []
