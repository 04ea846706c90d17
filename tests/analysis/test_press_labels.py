"""Names in a paper's figure: none covers another, a point, a bar or a line while there is room."""

import itertools

import numpy as np
import pytest
import studies
from matplotlib.text import Text

from analysis.paper.tables import read_csv
from analysis.press.front import front_figure
from analysis.press.labels import Box, Label, place
from analysis.press.style import mark, panels, styled
from analysis.results import load


def drawn(points, lines=()):
    """Return axes with these points, named."""
    with styled():
        figure, (axes,) = panels(1, 7.0, 5.0)
        axes.plot(*zip(*points, strict=True), "o")
        for line in lines:
            axes.plot(*zip(*line, strict=True))
        place(axes, [Label(x, y, f"network {n}") for n, (x, y) in enumerate(points)], lines)
        figure.draw_without_rendering()
        return axes


@pytest.mark.parametrize("seed", range(6))
def test_names_cover_neither_each_other_nor_a_point_and_stay_inside(seed):
    points = np.random.default_rng(seed).uniform(0, 1, (12, 2)).tolist()
    axes = drawn(points)
    boxes = [Box(*one.extents) for one in map(text_box, axes.texts)]
    assert len(boxes) == 12
    assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlap(pair[1]) > 1]
    inside = Box(*axes.get_window_extent().extents)
    for box in boxes:
        assert box.overlap(inside) == pytest.approx(box.area, rel=1e-3)
        for x, y in axes.transData.transform(points):
            assert not (box.left < x < box.right and box.bottom < y < box.top)


def text_box(text):
    """Return the extent of the words alone, without the line to their point."""
    return Text.get_window_extent(text)


def test_a_name_keeps_off_a_slanted_line_and_a_bar():
    points = [(0.2, 0.2), (0.5, 0.5), (0.8, 0.8)]
    slanted, bar = [points[0], points[2]], [(0.5, 0.1), (0.5, 0.9)]
    axes = drawn(points, [slanted, bar])
    steps = np.linspace(0, 1, 400)
    for line in (slanted, bar):
        (a, b) = np.array(line)
        along = axes.transData.transform(a + steps[:, None] * (b - a))
        for text in axes.texts:
            left, bottom, right, top = text_box(text).extents
            covered = (along > [left, bottom]) & (along < [right, top])
            assert not covered.all(axis=1).any()


def test_a_name_that_had_to_go_far_has_a_line_to_its_point():
    crowd = [(0.5 + 0.004 * n, 0.5) for n in range(10)]
    axes = drawn([*crowd, (0.0, 0.0), (1.0, 1.0)])
    led = [text.get_text() for text in axes.texts if text.arrow_patch is not None]
    assert led and "network 10" not in led and "network 11" not in led


def test_variants_at_one_point_share_a_label_a_line_each(tmp_path):
    rows = [studies.run(**{"model.reparam": name}) for name in ("bn", "id", "dconv")]
    with styled():
        figure = front_figure(load(studies.write_study(tmp_path, rows, swept="model.reparam")))
    (label,) = figure.axes[0].texts
    assert label.get_text().splitlines() == ["bn", "dconv", "id"]


def test_the_axis_ends_at_a_hundred_percent_whatever_the_interval(tmp_path):
    rows = [studies.run(seed=seed, key=f"{seed}", top1=top1) for seed, top1 in ((0, 80), (1, 99))]
    with styled():
        figure = front_figure(load(studies.write_study(tmp_path, rows)))
    bottom, top = figure.axes[0].get_ylim()
    assert bottom < 80 and 100 < top < 105


def test_every_family_of_the_paper_has_a_colour_and_a_marker_of_its_own():
    timed = {row["model"] for row in read_csv("table3_imagenet.csv") if row["latency_ms"]}
    marks = [mark(number) for number in range(len(timed))]
    assert len({one["color"] for one in marks}) == len({one["marker"] for one in marks}) == 9
