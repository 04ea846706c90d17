"""A study of detectors is scored, ranked and bounded by box mAP; tasks are never mixed."""

import io
import json

import pytest
import studies
from detectors import row, write
from rich.console import Console

from analysis.__main__ import main
from analysis.columns import columns
from analysis.findings import find, headline
from analysis.fitting import fitted
from analysis.fronts import fronts
from analysis.report import write_report
from analysis.results import load
from analysis.table import print_summary


def test_detectors_are_ranked_shown_and_exported_by_box_map(tmp_path, capsys):
    folder = write(tmp_path, row(0.5, 20.0, 1.0), row(1.0, 31.5, 2.0), row(0.7, 10.0, 3.0))
    main(["show", str(folder)])
    assert "mAP" in (said := capsys.readouterr().out) and "top-1" not in said
    assert [v.settings["model.width"] for v in find(load(folder)).variants] == ["1.0", "0.5", "0.7"]
    main(["pareto", str(folder), "--map-min", "30", "--json"])
    (front,) = json.loads(capsys.readouterr().out)
    assert len(front["front_as_measured"]) == 2 and len(front["within_budget"]) == 1
    assert front["variants"][0]["map"] == 31.5
    main(["export", str(folder), "--format", "csv"])
    assert "31.5" in (text := capsys.readouterr().out) and ",map,ap50," in text
    with pytest.raises(SystemExit, match="use --map-min"):
        main(["pareto", str(folder), "--top1-min", "30"])
    with pytest.raises(SystemExit, match="pick ships classifiers alone"):
        main(["pick", str(folder), "--out", str(tmp_path / "picked")])
    assert studies.figures_of(write_report(folder).read_text())["tradeoff"]["layout"]["yaxis"][
        "title"
    ] == {"text": "box mAP, %"}


def test_figure_1_of_detectors_has_no_panel_of_imagenet(tmp_path):
    folder = write(tmp_path, row(0.5, 20.0, 1.0), row(1.0, 31.5, 2.0))
    main(["figures", str(folder)])
    said = (folder / "figures" / "figure1.svg").read_text()  # words stand in it as comments
    assert "box mAP (%)" in said and "ImageNet" not in said and "top-1" not in said
    write(tmp_path, row(0.5, 20.0, 1.0), row(0.5, 90.0, 0.5, ""))
    main(["figures", str(folder)])
    said = (folder / "figures" / "figure1.svg").read_text()
    assert "top-1 or box mAP (%)" in said and "ImageNet" in said


def test_each_task_has_a_front_of_its_own(tmp_path):
    rows = (row(0.5, 20.0, 1.0), row(0.5, 30.0, 0.9, "maskrcnn"), row(0.5, 90.0, 0.5, ""))
    results = load(write(tmp_path, *rows))
    assert [len(front.variants) for front in fronts(results)] == [1, 1, 1]
    assert any("tasks are not compared" in line for line in headline(find(results)))


def test_no_number_and_no_heading_is_cut_off_however_wide_the_terminal(tmp_path):
    rows = row(0.125, 12.25, 1.527), row(0.25, 13.75, 1.632, "maskrcnn") | {"mask_map": 11.5}
    results = load(write(tmp_path, *rows))
    wanted = columns(results, find(results))
    for width in range(72, 130):
        text = io.StringIO()
        print_summary(results, Console(file=text, width=width))
        said = set(text.getvalue().split())
        for column in (one for one in fitted(wanted, width) if one.numeric):
            words = {word for cell in (column.name, *column.cells) for word in cell.split()}
            assert words <= said, (width, column.name)
