import json
import re
import subprocess
import sys
from pathlib import Path

import plotly.graph_objects as go
import pytest
import studies

from analysis.curves import learning_curves
from analysis.findings import find
from analysis.report import plotly_js, write_report
from analysis.results import load
from analysis.tradeoff import tradeoff

ROOT = Path(__file__).parents[2]
HOSTILE = '</script><script>document.title="broken"</script><b onclick="x()">&amp; %{x} ${a}'


def report_of(folder):
    return write_report(folder).read_text(encoding="utf-8")


def without_scripts(html):
    return re.sub(r"<script.*?</script>|<style>.*?</style>", "", html, flags=re.S)


def test_the_report_is_one_small_file_that_names_no_other(tmp_path):
    html = report_of(studies.write_demo(tmp_path))
    assert len(html.encode()) < 2.5e6
    assert html.count("<script>") == 1
    assert not re.search(r"""(src|href)=["'](?!data:)""", without_scripts(html))
    assert "default-src 'none'" in html


def test_plotly_stands_in_no_function_and_keeps_its_licence():
    source = plotly_js()
    assert source.startswith("/**\n* plotly.js v") and "MIT license" in source[:200]
    assert re.search(r'\*/\n"use strict";var Plotly=', source[:400])
    assert "function(root, factory)" not in source


def test_the_report_says_what_the_terminal_says(tmp_path):
    text = without_scripts(report_of(studies.write_ablation(tmp_path)))
    assert "98.83 ± 0.18" in text
    assert "4.600\n[4.531, 4.692]" in text
    assert "reparam=none width=1.5, seed 2" in text
    assert "loss is NaN at epoch 3, step 41" in text
    assert "latency 15.20 ms is over latency.max_ms=10" in text
    assert "python launch.py -m model.reparam=bn,id,dconv" in text


def test_certificates_are_shown_as_they_are(tmp_path):
    assert '"relative_error": 3.1e-07' in report_of(studies.write_demo(tmp_path))


def test_hostile_text_stays_text(tmp_path):
    row = studies.run(**{"model.reparam": HOSTILE}, device=HOSTILE, commit=HOSTILE, key="k")
    bad = studies.failed(HOSTILE, **{"model.reparam": "id"})
    folder = studies.write_study(tmp_path, [row, bad], HOSTILE, "model.reparam")
    studies.write_provenance(folder, command=HOSTILE, versions={HOSTILE: HOSTILE})
    studies.write_curve(tmp_path, "k", 98.0)
    (tmp_path / "runs" / "k" / "certificate.json").write_text(HOSTILE)
    html = report_of(folder)
    assert '<script>document.title="broken"' not in html
    assert '<b onclick="x()">' not in html
    assert html.count("</script>") == 4
    assert "&lt;/script&gt;" in without_scripts(html)


def test_hover_text_from_data_is_escaped_for_plotly(tmp_path):
    rows = [studies.run(**{"model.reparam": "<b>bold</b> &lt;"})]
    folder = studies.write_study(tmp_path, rows, swept="model.reparam")
    text = tradeoff(find(load(folder)))["data"][-1]["text"][0]
    assert "&lt;b&gt;bold&lt;/b&gt; &amp;lt;" in text


@pytest.mark.parametrize("write", [studies.write_demo, studies.write_ablation])
def test_figures_are_valid_plotly(tmp_path, write):
    results = load(write(tmp_path))
    found = find(results)
    for figure in (tradeoff(found), *learning_curves(results, found).values()):
        colored = json.loads(re.sub(r'"--[a-z0-9-]+"', '"#123456"', json.dumps(figure)))
        drawn = go.Figure(data=colored["data"], layout=colored["layout"])  # refuses what is none
        assert len(drawn.data) == len(figure["data"]) > 0


def test_each_variant_is_one_point_with_both_intervals(tmp_path):
    figure = tradeoff(find(load(studies.write_ablation(tmp_path))))
    points = [trace for trace in figure["data"] if trace["mode"] == "markers"]
    assert sum(len(trace["x"]) for trace in points) == 12
    first = points[0]
    assert first["customdata"][0] == 0
    assert first["error_x"]["array"][0] == pytest.approx(4.6 * 0.02)
    assert first["error_x"]["arrayminus"][0] == pytest.approx(4.6 * 0.015)
    assert first["error_y"]["array"][0] == pytest.approx(0.25)


def test_variants_at_one_point_are_rings_of_different_size(tmp_path):
    rows = [studies.run(**{"model.reparam": name}) for name in ("bn", "id", "dconv")]
    found = find(load(studies.write_study(tmp_path, rows, swept="model.reparam")))
    figure = tradeoff(found)
    markers = [trace["marker"] for trace in figure["data"] if trace["mode"] == "markers"]
    sizes = [size for marker in markers for size in marker["size"]]
    assert len(set(sizes)) == 3
    assert [label["text"] for label in figure["labels"]] == ["bn, dconv, id"]
    texts = [trace["text"][0] for trace in figure["data"] if trace["mode"] == "markers"]
    assert all(name in text for text in texts for name in ("bn", "id", "dconv"))


def test_the_front_is_drawn_as_stairs_from_fast_to_slow(tmp_path):
    figure = tradeoff(find(load(studies.write_ablation(tmp_path))))
    (line,) = (trace for trace in figure["data"] if trace["mode"] == "lines")
    assert line["x"][:-1] == [1.234, 1.234, 2.51, 4.6]
    assert line["line"]["shape"] == "hv"


BN = {"model.reparam": "bn"}
EDGES = {
    "one row": [studies.run(**BN)],
    "all failed": [studies.failed("a", **BN), studies.failed("b", **{"model.reparam": "id"})],
    "no latency": [studies.run(**BN) | studies.UNTIMED],
    "no interval": [studies.run(**BN, latency_low="", latency_high="", protocol="paper")],
    "interval beside the median": [studies.run(**BN, latency_low=2, latency_high=3)],
    "all waiting": [studies.failed("", **BN) | {"state": "waiting", "fingerprint": ""}],
    "zero latency": [studies.run(**BN, latency_ms=0, latency_low=0, latency_high=0)],
    "a hundred percent": [studies.run(**BN, top1=100)],
}


@pytest.mark.parametrize("rows", EDGES.values(), ids=EDGES.keys())
def test_a_report_is_written_for(tmp_path, rows):
    html = report_of(studies.write_study(tmp_path, rows, swept="model.reparam"))
    points = [
        trace
        for trace in studies.figures_of(html).get("tradeoff", {"data": []})["data"]
        if trace["mode"] == "markers"
    ]
    placed = [row for row in rows if row["top1"] != "" and row["latency_ms"] != ""]
    assert len(points) == len(placed)


def test_a_long_curve_is_thinned_and_keeps_its_end(tmp_path):
    folder = studies.write_study(tmp_path, [studies.run(key="k")])
    studies.write_curve(tmp_path, "k", 70.0, epochs=2000)
    results = load(folder)
    (line,) = learning_curves(results, find(results))["scores"]["data"]
    assert 200 <= len(line["x"]) <= 401
    assert line["x"][-2:] == [1999, None]
    assert len(line["y"]) == len(line["x"])


def test_a_report_of_many_long_runs_stays_small(tmp_path):
    rows = [studies.run(**{"model.reparam": f"b{n}"}, key=f"{n}") for n in range(200)]
    folder = studies.write_study(tmp_path, rows, swept="model.reparam")
    for n in range(200):
        studies.write_curve(tmp_path, f"{n}", 70.0, epochs=300)
    assert len(report_of(folder).encode()) < 3.2e6


def test_a_failed_write_leaves_the_old_report_and_no_draft(tmp_path, monkeypatch):
    folder = studies.write_demo(tmp_path)
    path = write_report(folder)
    before = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_report(folder)
    assert path.read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == ["report.html", "results.csv", "study.json"]


def test_reading_and_reporting_import_nothing_heavy(tmp_path):
    folder = studies.write_demo(tmp_path)
    code = (
        "import sys; from analysis.__main__ import main;"
        f"main(['show', {str(folder)!r}]); main(['report', {str(folder)!r}]);"
        "heavy = {'torch', 'optuna', 'hydra'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
