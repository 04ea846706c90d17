import io
import json
import re

import plotly.graph_objects as go
import pytest
import studies
from rich.console import Console

from analysis.bars import latency_bars
from analysis.findings import find, headline, question
from analysis.report import write_report
from analysis.results import load
from analysis.table import print_summary


def found_in(tmp_path, *rows):
    return find(load(studies.write_study(tmp_path, rows, swept="variant")))


def timed(name, ms, **columns):
    return studies.measured(ms, variant=name, **columns)


def printed(folder, width=100):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_summary(load(folder), console)
    return console.file.getvalue()


def body_of(folder):
    html = write_report(folder).read_text(encoding="utf-8")
    return re.sub(r"<script.*?</script>|<style>.*?</style>", "", html, flags=re.S)


def test_a_study_without_training_is_a_table_by_latency_and_names_no_accuracy(tmp_path):
    text = printed(studies.write_measured(tmp_path))
    names = ("repghostnet-0.5x", "ghostnet-0.5x", "ghostnet-0.5x-again", "efficientnet-b0")
    first_cells = [line.split()[0] for line in text.splitlines() if " [" in line and "." in line]
    assert first_cells[:4] == list(names)
    assert "1.263 [1.257, 1.269]" in text
    assert "top-" not in text and "ront" not in text and "4 runs (4 measured)" in text


def test_the_headline_names_the_fastest_the_slowest_and_their_ratio(tmp_path):
    found = find(load(studies.write_measured(tmp_path)))
    assert headline(found) == [
        "Fastest is repghostnet-0.5x: 1.000 ms (ratio 1.000 [0.995, 1.005]); slowest is"
        " efficientnet-b0: 6.500 ms (ratio 6.500 [6.468, 6.532]), 6.5 times as long.",
        "ghostnet-0.5x, ghostnet-0.5x-again deploy to one graph: measured once.",
    ]


def test_a_tie_for_the_fastest_is_called_a_tie_and_one_graph_is_none(tmp_path):
    rows = timed("c", 1.006), timed("a", 1.0), timed("b", 1.0), timed("d", 2.0)
    words = headline(found_in(tmp_path, *rows))
    assert words[0].startswith("Fastest is a, b: 1.000 ms")
    assert words[1] == "A tie for the fastest: a, b, c (95 % intervals that overlap)."
    assert not any("tie" in line for line in headline(found_in(tmp_path / "x", *rows[1:])))


def test_a_disturbed_time_does_not_move_a_paired_variant(tmp_path):
    slow = {"latency_ms": 9.0, "latency_low": 8.0, "latency_high": 10.0}
    found = found_in(tmp_path, timed("b", 2.0), timed("a", 1.0, **slow), timed("c", 3.0))
    assert [variant.label for variant in found.variants] == ["a", "b", "c"]
    assert headline(found)[0].endswith("3.000 ms (ratio 3.000 [2.985, 3.015]), 3 times as long.")
    assert latency_bars(found)["data"][0]["x"] == [1.0, 2.0, 3.0]


def test_latencies_of_two_devices_are_never_compared(tmp_path):
    found = found_in(tmp_path, timed("a", 1.0), timed("b", 9.0, device="phone"))
    assert headline(found) == [
        "On local paired: a: 1.000 ms (ratio 1.000 [0.995, 1.005]).",
        "On phone paired: b: 9.000 ms (ratio 9.000 [8.955, 9.045]).",
    ]


def test_a_latency_without_ratio_shows_the_interval_of_its_time(tmp_path):
    none = dict.fromkeys(("latency_ratio", "ratio_low", "ratio_high"), "")
    found = found_in(tmp_path, timed("a", 1.0, **none), timed("b", 2.0, **none))
    assert "Fastest is a: 1.000 [0.990, 1.010] ms" in headline(found)[0]
    assert latency_bars(found)["layout"]["xaxis"]["title"]["text"] == "latency, ms"


def test_a_failed_or_pruned_run_does_not_make_it_a_study_of_accuracy(tmp_path):
    rows = [timed("a", 1.0), studies.failed("no memory", variant="b")]
    found = found_in(tmp_path, *rows, studies.pruned("too slow", variant="c", latency_ms=50))
    assert found.measured_only
    assert [variant.label for variant in found.variants] == ["a", "c", "b"]


def test_a_mixed_study_keeps_its_front_and_says_who_was_measured_alone(tmp_path):
    rows = [studies.run(variant="a"), timed("b", 2.0)]
    folder = studies.write_study(tmp_path, rows, swept="variant")
    text = printed(folder)
    assert "Pareto front (1 of 1 variants): a" in text
    assert re.search(r"b +- +- +2\.000 .*measured", text)
    assert "Accuracy against latency" in body_of(folder)


def test_a_wide_table_puts_intervals_below_their_medians(tmp_path):
    text = printed(studies.write_ablation(tmp_path))
    assert max(map(len, text.split("\ntable ")[0].splitlines())) <= 100
    assert "[0.995, 1.005]" in text and "1.000 [0.995, 1.005]" not in text


def test_the_report_shows_bars_and_no_accuracy(tmp_path):
    folder = studies.write_measured(tmp_path)
    html = write_report(folder).read_text(encoding="utf-8")
    assert set(studies.figures_of(html)) == {"parallel", "factors", "latency"}
    body = body_of(folder)
    assert "Highest over lowest" in body and "6.5 ×" in body and "4 of 4" in body
    assert 'id="latency"' in body and "Which variant (" in body
    assert not re.search(r"top-1|Pareto|front|Learning|epoch", body)


def test_bars_stand_from_fast_to_slow_with_their_intervals(tmp_path):
    figure = latency_bars(find(load(studies.write_measured(tmp_path))))
    bars, line = figure["data"]
    assert bars["x"] == [1.0, 1.263, 1.263, 6.5]
    assert bars["error_x"]["array"][3] == pytest.approx(0.0325)
    assert line["x"] == [1, 1]
    colored = json.loads(re.sub(r'"--[a-z0-9-]+"', '"#123456"', json.dumps(figure)))
    go.Figure(data=colored["data"], layout=colored["layout"])


def test_the_question_of_a_study_without_training_is_who_is_fastest(tmp_path):
    results = load(studies.write_study(tmp_path, [studies.measured(1.0)]))
    assert question(results, find(results)) == "How fast is this network?"


def test_a_latency_of_seconds_is_told_in_whole_ms(tmp_path):
    rows = (timed("fast", 1747.07), timed("slow", 3501.6))
    body = body_of(studies.write_study(tmp_path, rows, swept="variant"))
    assert "1747 ms" in body and "3502 ms" in body and "e+03" not in body
