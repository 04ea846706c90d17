import io

import pytest
import studies
from rich.console import Console

from analysis.__main__ import main
from analysis.results import load
from analysis.table import print_summary, summary


def printed(folder, width=100):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_summary(load(folder), console)
    return console.file.getvalue()


def test_the_table_stands_by_top1_with_front_interval_and_twins(tmp_path):
    text = printed(studies.write_demo(tmp_path))
    bn, dconv, id_ = (
        next(line for line in text.splitlines() if f" {name} " in line)
        for name in ("bn", "dconv", "id")
    )
    assert text.index(bn) < text.index(dconv) < text.index(id_)
    assert bn.split()[:3] == ["*", "bn", "98.89"]
    assert "1.234 [1.221, 1.249]" in bn
    assert "*" not in dconv
    assert "bn, dconv, id deploy to one graph: measured once." in text


def test_no_line_of_a_large_study_is_wider_than_100_columns_or_cut(tmp_path):
    folder = studies.write_ablation(tmp_path)
    text = printed(folder)
    paths = ("table", "report")
    lines = [line for line in text.splitlines() if not line.startswith(paths)]
    assert max(map(len, lines)) <= 100
    assert "…" not in text
    assert "98.83 ± 0.18" in text
    assert "2/3" in text


@pytest.mark.parametrize("width", [80, 100])
def test_an_ordinary_terminal_shows_every_column_of_the_demo(tmp_path, width):
    text = printed(studies.write_demo(tmp_path), width)
    table = text[: text.index("*: on the Pareto front")].splitlines()
    assert max(map(len, table)) <= width
    for heading in ("top-1", "top-5", "latency", "ratio", "Params", "MACs", "twins"):
        assert heading in " ".join(table[:5]).split(), heading
    assert "[0.994, 1.006]" in text and "[1.221, 1.249]" in text


def test_failed_and_pruned_runs_are_listed_with_their_reasons(tmp_path):
    text = printed(studies.write_ablation(tmp_path))
    assert "failed reparam=none width=1.5, seed 2: loss is NaN at epoch 3, step 41" in text
    assert "pruned bn width=3.0, seed 0: latency 15.20 ms is over latency.max_ms=10" in text


def test_a_path_stays_on_one_line_however_long(tmp_path):
    folder = studies.write_study(tmp_path / ("deep" * 30), [studies.run()])
    lines = printed(folder, width=60).splitlines()
    assert f"table  {folder / 'results.csv'}" in lines


def test_the_summary_is_a_list_of_parts_that_any_console_prints(tmp_path):
    console = Console(file=io.StringIO(), width=100)
    console.print(*summary(load(studies.write_demo(tmp_path))))
    assert "98.89" in console.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_markup_in_data_is_shown_and_not_obeyed(tmp_path, width):
    name = "[red]x[/red]"
    rows = [
        studies.run(**{"model.reparam": name}),
        studies.failed("[/bold] [link=x]", **{"model.reparam": "id"}),
    ]
    text = printed(studies.write_study(tmp_path, rows, "[blink]s", "model.reparam"), width)
    assert "[blink]s" in text
    assert "[/bold]" in text.replace("\n", "")
    assert "[red]x" in text


@pytest.mark.parametrize(
    "state", ["waiting", "measuring", "running", "failed", "pruned", "stopped"]
)
def test_a_study_without_a_finished_run_has_a_table(tmp_path, state):
    row = studies.failed("", **{"model.reparam": "bn"}) | {"state": state}
    text = printed(studies.write_study(tmp_path, [row], swept="model.reparam"))
    assert "No Pareto front yet" in text
    assert state in text


def test_many_swept_keys_share_one_column(tmp_path):
    swept = [f"group.key{i}" for i in range(6)]
    rows = [studies.run(**dict.fromkeys(swept, "0.5"))]
    text = printed(studies.write_study(tmp_path, rows, swept=" ".join(swept)))
    assert "variant" in text
    assert "key5=0.5" in text


def test_show_finds_a_study_by_name_and_prints_without_a_terminal(tmp_path, capsys):
    studies.write_demo(tmp_path)
    main(["show", "model.reparam", "--outputs", str(tmp_path)])
    text = capsys.readouterr().out
    assert "98.89" in text
    assert "\x1b[" not in text
    assert "not built yet: python -m analysis report" in text


def test_report_writes_the_file_and_show_then_names_it(tmp_path, capsys):
    folder = studies.write_demo(tmp_path)
    main(["report", str(folder)])
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    main(["show", str(folder)])
    assert f"report {folder / 'report.html'}" in capsys.readouterr().out


def test_an_unknown_study_is_one_line_that_names_the_known_ones(tmp_path):
    studies.write_demo(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["show", "nothing", "--outputs", str(tmp_path)])
    assert "no study nothing" in str(caught.value.code)
    assert "model.reparam" in str(caught.value.code)
    assert "\n" not in str(caught.value.code)
