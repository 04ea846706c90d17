"""The report of detectors: images with boxes and masks within a budget, curves, escaped names."""

import json
import re
from html.parser import HTMLParser

import pytest
import studies
from detectors import row, write, write_examples

from analysis.report import render, write_report
from analysis.results import load

HOSTILE = "</text><script>window.broken=1</script>\" onload='window.broken=1"


def test_images_are_shown_with_both_kinds_of_boxes_named_scored_and_spoken(tmp_path):
    folder = write(tmp_path, row(0.5, 20.0, 1.0), row(1.0, 31.5, 2.0))
    write_examples(tmp_path, "retinanet0.5")
    html = write_report(folder).read_text()
    assert html.count("data:image/jpeg;base64,") == html.count("<figure>") == 2
    assert html.count('<rect class="truth"') == 4 and html.count('<rect class="found"') == 2
    assert html.count('<rect class="rim"') == 6, "each over a dark line"
    assert ">7 0.91</text>" in html and 'class="found mask"' not in html
    assert 'aria-label="000001.jpg: annotated 7, 3; found 7 0.91"' in html
    figures = studies.figures_of(html)
    assert set(figures) >= {"precision-boxes-50", "precision-boxes-75"}
    assert not {"precision-masks-50"} & set(figures)
    (line,) = figures["precision-boxes-75"]["data"]
    assert line["y"][:101] == [100 - 0.75 * n for n in range(101)] and line["x"][100] == 100


def test_masks_are_drawn_and_have_curves_of_their_own(tmp_path):
    folder = write(tmp_path, row(0.5, 20.0, 1.0, "maskrcnn"))
    write_examples(tmp_path, "maskrcnn0.5", masks=True)
    html = write_report(folder).read_text()
    path = 'd="M20,20L70,20L70,80L20,80Z"'
    assert html.count(f'<path {path} class="found mask"') == 2
    assert html.count(f'<path {path} class="truth mask"') == 2
    assert "precision-masks-75" in studies.figures_of(html)


def test_the_best_runs_come_first_and_of_each_variant_the_best_seed(tmp_path):
    rows = [row(width, 10 + 10 * width, 1 + width) for width in (0.1, 0.2, 0.3)]
    rows.append(rows[1] | {"key": "again", "seed": 1, "map": 13.5})
    folder = write(tmp_path, *rows)
    for one in rows:
        write_examples(tmp_path, one["key"])
    shown = re.findall(
        r"% · run (\S+?)</span></summary><div class=\"pictures\">", render(load(folder))
    )
    assert sorted(shown) == ["again", "retinanet0.1", "retinanet0.3"]


def test_of_seeds_with_equal_scores_it_is_the_lowest_whatever_the_order_of_the_file(tmp_path):
    first = row(0.1, 20.0, 1.0) | {"key": "second", "seed": 1}
    folder = write(tmp_path, first, first | {"key": "first", "seed": 0})
    for key in ("first", "second"):
        write_examples(tmp_path, key)
    html = render(load(folder))
    assert "% · run first</span>" in html and "% · run second</span>" not in html


def test_forty_runs_with_large_images_stay_within_the_budget(tmp_path):
    rows = [row(round(0.1 * n, 1), 10.0 + n, 1.0 + n) for n in range(1, 41)]
    folder = write(tmp_path, *rows)
    for one in rows:
        write_examples(tmp_path, one["key"], pictures=6, noise=90)
    plain = len(render(load(write(tmp_path / "without", *rows))))
    html = render(load(folder))
    shown = html.count("data:image/jpeg;base64,")
    assert 6 <= shown < 40 * 6 and "Of further runs: examples.json" in html
    assert len(html) - plain < 1_400_000 and len(html) < 5_000_000


def test_a_class_from_a_file_is_text_and_no_markup(tmp_path):
    folder = write(tmp_path, row(0.5, 20.0, 1.0))
    write_examples(tmp_path, "retinanet0.5", name=HOSTILE)
    html = write_report(folder).read_text()
    seen: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda name, pairs: seen.extend([name, *(key for key, _ in pairs)])
    parser.feed(html)
    assert seen.count("script") == 4 and "figure" in seen and "onload" not in seen
    assert html.count("&lt;/text&gt;&lt;script&gt;window.broken=1&lt;/script&gt;") >= 4


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content["pictures"][0].update(jpeg='"><script>'),
        lambda content: content["pictures"][0]["found"][0].update(box=[1, 2, 3]),
        lambda content: content["pictures"][0]["truth"][0].update(box=[1, 2, 3, "x"]),
        lambda content: content["pictures"][0].update(width=0),
        lambda content: content["curves"][0].update(precision=None),
        lambda content: content.pop("least_score"),
    ],
)
def test_a_garbled_file_is_none_and_the_report_is_written(tmp_path, spoil):
    folder = write(tmp_path, row(0.5, 20.0, 1.0))
    path = write_examples(tmp_path, "retinanet0.5")
    assert "What the detectors see" in render(load(folder))
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    html = render(load(folder))
    assert "What the detectors see" not in html and "Precision and recall" not in html


def test_a_study_of_classifiers_looks_for_no_images(tmp_path):
    folder = write(tmp_path, row(0.5, 90.0, 1.0, ""))
    write_examples(tmp_path, "0.5")
    assert "data:image/jpeg" not in render(load(folder))
