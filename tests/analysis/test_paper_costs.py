import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.paper import command as paper_command
from analysis.paper import costs as paper_costs
from analysis.paper.costs import Cost, agreement, cost_sheets, count, rounded
from analysis.paper.reasons import REASONS
from analysis.paper.tables import paper_rows

ROOT = Path(__file__).parents[2]
ROWS = paper_rows("Table 3", "Table 5")
UNIT = {"Table 3": 10**6, "Table 5": 10**9}


def as_printed(row, **changes):
    """Return counts that are exactly what the paper prints."""
    params, macs = int(row.params_m * 10**6), int(row.macs * UNIT[row.table])
    return Cost(
        **{"name": row.name, "params": params, "macs": macs, "training_params": params} | changes
    )


def costs_of(**changes):
    found = {row.name: as_printed(row) for row in ROWS}
    return found | {row.name: as_printed(row, **changes) for row in ROWS if row.name in changes}


def says(text, code=0, error=""):
    """Return a command that says `text` and ends with `code`, whatever it is asked."""
    script = (
        f"import sys; print({text!r}, end=''); print({error!r}, file=sys.stderr); sys.exit({code})"
    )
    return [sys.executable, "-c", script]


def line(name, **changes):
    cost = {"name": name, "params": 1, "macs": 2, "training_params": 3} | changes
    return json.dumps(cost) + "\n"


def test_costs_are_read_line_by_line_and_each_is_told(tmp_path):
    told = []
    found = count(["a", "b"], lambda *seen: told.append(seen), says(line("a") + line("b")))
    assert found == {"a": Cost("a", 1, 2, 3), "b": Cost("b", 1, 2, 3)}
    assert told == [("a", 1), ("b", 2)]


def test_a_line_is_told_before_the_process_ends():
    script = f"print({line('a')!r}, flush=True); import time; time.sleep(600)"

    def stop(name, done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        count(["a"], stop, [sys.executable, "-c", script])


def test_names_are_handed_to_the_process_once_each():
    script = (
        "import json, sys;"
        "[print(json.dumps({'name': n, 'params': i, 'macs': 0, 'training_params': 0}))"
        " for i, n in enumerate(sys.argv[1:])]"
    )
    found = count(["b", "a", "b"], command=[sys.executable, "-c", script])
    assert [(cost.name, cost.params) for cost in found.values()] == [("b", 0), ("a", 1)]


def killed():
    return [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            says("", 1, "Trace\nValueError: no torch\n\n"),
            r"ended with code 1: ValueError: no torch",
        ),
        (says(line("a"), 3), r"ended with code 3$"),
        (killed(), r"was killed \(signal 9\)"),
        (says(line("a")), r"ended without b, c$"),
        (says('{"name": "a", "par'), r"said '\{\"name\": \"a\", \"par': not a line of costs"),
        (says('{"name": "a"}\n'), r"not a line of costs"),
        (says("[1, 2]\n"), r"not a line of costs"),
        (says(line("a", macs="many")), r"not a line of costs"),
        (says("\n"), r"not a line of costs"),
    ],
    ids=["exit 1", "exit 3", "killed", "left out", "torn", "no counts", "a list", "text", "blank"],
)
def test_a_process_that_fails_is_said_in_a_line(command, said):
    with pytest.raises(ValueError, match=said) as caught:
        count(["a", "b", "c"], command=command)
    assert "\n" not in str(caught.value)


def test_much_on_stderr_does_not_block_it():
    script = "import sys; sys.stderr.write('x' * 10**6); sys.exit(1)"
    with pytest.raises(ValueError, match="ended with code 1"):
        count(["a"], command=[sys.executable, "-c", script])


def test_a_command_that_does_not_exist_is_an_os_error():
    with pytest.raises(OSError, match="nowhere"):
        count(["a"], command=["nowhere-at-all"])


@pytest.mark.parametrize(
    ("number", "digit", "said"),
    [
        (5_450_000, "0.1", "5.5"),
        (5_449_999, "0.1", "5.4"),
        (2_250_000, "0.1", "2.3"),
        (226_500_000, "1", "227"),
        (226_499_999, "1", "226"),
    ],
)
def test_counts_round_half_up(number, digit, said):
    assert str(rounded(number, 10**6, paper_costs.Decimal(digit))) == said


def test_counts_as_printed_all_agree_and_need_no_reason():
    for sheet in cost_sheets(costs_of()):
        assert {row[-1] for row in sheet.rows} == {"yes"}
        n = len(sheet.rows)
        assert sheet.notes == [f"{n} of {n} agree with the paper after rounding as it rounds."]


def test_parameters_may_agree_in_the_training_form_alone():
    row = next(row for row in ROWS if row.name == "repghostnet-1.5x")
    cost = as_printed(row, params=6_542_368, training_params=6_575_336)
    assert agreement(row, cost).words == "as training form"
    sheet = cost_sheets(costs_of() | {row.name: cost})[0]
    assert "25 of 25 agree" in sheet.notes[0]
    assert "1 of them count the training form's parameters" in sheet.notes[0]
    assert len(sheet.notes) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"macs": 227_003_256}, "no: MACs"),
        ({"params": 9, "training_params": 9}, "no: params"),
        ({"params": 9, "training_params": 9, "macs": 9}, "no: params and MACs"),
    ],
)
def test_what_does_not_agree_is_named_with_its_reason(changes, said):
    row = next(row for row in ROWS if row.name == "ghostnet-1.3x")
    sheet = cost_sheets(costs_of() | {row.name: as_printed(row, **changes)})[0]
    assert {cells[0]: cells[-1] for cells in sheet.rows}["GhostNet 1.3x"] == said
    assert sheet.notes[1:] == [f"GhostNet 1.3x: {REASONS['ghostnet-1.3x']}."]


def test_without_a_known_reason_it_says_not_known_and_one_reason_names_all_it_is_for():
    changed = {
        row.name: as_printed(row, macs=1)
        for row in ROWS
        if row.name in ("ghostnet-0.5x", "shufflenetv2-0.5x", "shufflenetv2-1.5x")
    }
    notes = cost_sheets(costs_of() | changed)[0].notes
    assert "GhostNet 0.5x: not known." in notes
    assert any(note.startswith("ShuffleNetV2 0.5x, ShuffleNetV2 1.5x: ") for note in notes)


def test_table_5_is_in_billions():
    sheet = cost_sheets(costs_of())[1]
    assert sheet.rows[0] == ("Ghost-Res50 s=2", "14.00", "14.00", "14.0", "2.20", "2.2", "yes")


def test_the_command_prints_the_costs_as_markdown(monkeypatch, capsys):
    monkeypatch.setattr(paper_costs, "count", lambda names, on_cost: costs_of())
    main(["paper", "--costs", "--markdown"])
    text = capsys.readouterr().out
    assert "| GhostNet 0.5x | 2.60 | 2.60 | 2.6 | 42.0 | 42 | yes |" in text
    assert "| Ghost-Res50 s=4 | 8.20 | 8.20 | 8.2 | 1.20 | 1.2 | yes |" in text


def test_without_a_table_asked_for_it_prints_what_there_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paper_command, "_costs", lambda: cost_sheets(costs_of()))
    main(["paper", "--outputs", str(tmp_path)])
    text = capsys.readouterr().out
    assert "Ghost-Res50 s=4" in text
    assert "Left out: no network of the paper was timed" in text
    assert "Left out: no operator profiles" in text


def test_reading_costs_imports_no_torch():
    code = (
        "import sys; import analysis.paper.costs; import repghost.costs;"
        "sys.exit(', '.join({'torch', 'timm', 'numpy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_network_agrees_with_the_paper_or_has_a_reason():
    found = count(row.name for row in ROWS)
    differing = {row.name for row in ROWS if not agreement(row, found[row.name]).whole}
    assert differing == set(REASONS)
