import csv
import io
import re
import shutil
import subprocess
import sys

import pytest
import studies

from analysis.__main__ import main
from analysis.export import export, latex_text, markdown_text
from analysis.results import load


def records(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_line_a_run_with_all_settings_and_numbers(tmp_path):
    results = load(studies.write_ablation(tmp_path))
    found = records(export(results, "csv", None))
    assert len(found) == len(results.rows) == 37
    first = results.rows[0]
    assert float(found[0]["top1"]) == first.top1 and found[0]["model.width"] == "0.5"
    assert found[-1]["state"] == "pruned" and found[-1]["top1"] == ""


def test_csv_keeps_further_devices_and_flags(tmp_path):
    found = records(export(load(studies.write_devices(tmp_path)), "csv", None))
    assert float(found[1]["pixel:latency_ratio"]) == 1.1
    assert found[1]["flags"] == studies.BUSY and found[1]["pixel:device"] == studies.PHONE


def test_a_table_row_is_a_variant_with_its_spread_and_both_intervals(tmp_path):
    text = latex_text(load(studies.write_ablation(tmp_path)))
    (row,) = (line for line in text.splitlines() if line.startswith(" & none & 0.5 &"))
    assert r"$\pm$ 0.25 &" in row
    assert re.search(r"\{\[\}9\d\.\d\d, 9\d\.\d\d\{\]\}", row)
    assert r"1.234 {[}1.215, 1.259{]}" in row and row.endswith(r"\\")
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1


def test_what_latex_and_markdown_would_obey_is_escaped(tmp_path):
    names = ("a&b_c%", r"\input{x}", "p|q*[r](u)<b>")
    rows = [studies.run(key=n, **{"model.reparam": n}) for n in names]
    results = load(studies.write_study(tmp_path, rows, swept="model.reparam"))
    latex, markdown = latex_text(results), markdown_text(results)
    assert r"a\&b\_c\%" in latex and r"\textbackslash{}input\{x\}" in latex
    assert r"\input{" not in latex
    assert r"p\|q\*\[r\](u)\<b\>" in markdown
    widths = {
        len(re.findall(r"(?<!\\)\|", line))
        for line in markdown.splitlines()
        if line.startswith("|")
    }
    assert len(widths) == 1


def test_parquet_holds_typed_columns_even_where_they_are_empty(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="parquet needs pyarrow")
    results = load(studies.write_measured(tmp_path))
    path = tmp_path / "out" / "runs.parquet"
    assert export(results, "parquet", path) == f"{path}\n"
    table = parquet.read_table(path)
    assert table.num_rows == 4 and str(table.schema.field("top1").type) == "double"
    assert str(table.schema.field("seed").type) == "int64"
    assert table.column("latency_ms").to_pylist() == [row.latency_ms for row in results.rows]
    assert b"0123abc" in table.schema.metadata[b"provenance"]


def test_without_pyarrow_parquet_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SystemExit, match="pip install pyarrow"):
        main(["export", str(studies.write_demo(tmp_path)), "--format", "parquet"])


def test_a_file_is_written_whole_and_its_path_printed(tmp_path, capsys):
    out = tmp_path / "table.md"
    main(["export", str(studies.write_demo(tmp_path)), "--format", "markdown", "--out", str(out)])
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_text().startswith("| ")


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["export", str(studies.write_demo(tmp_path)), "--format", "xlsx"])
    assert "parquet" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    table = latex_text(load(studies.write_ablation(tmp_path)))
    head = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
    (tmp_path / "t.tex").write_text(f"{head}{table}\\end{{document}}")
    command = ["pdflatex", "-halt-on-error", "t.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0


def test_deciding_commands_import_no_torch():
    code = (
        "import sys; import analysis.__main__, analysis.effects_table, analysis.fronts_table,"
        " analysis.export; assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
