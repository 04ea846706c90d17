"""Figure 1: accuracy against latency: the study's variants and, beside them, the paper's.

The paper's are classifiers: a study of detectors alone is drawn without them.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.findings import both
from analysis.fronts import Front, fronts
from analysis.paper.tables import read_csv
from analysis.press.labels import Label, Line, place
from analysis.press.style import COLUMN, PAGE, mark, panels
from analysis.results import Results
from analysis.tradeoff import x_ends
from repghost.objective import TOP1

Span = tuple[float, float]
HEADROOM = 0.03  # of the axis, for a marker at 100 %
LINES = 4  # of a label
NAMED = 6  # with more variants, only those on the front have their name beside them


def front_figure(results: Results) -> Figure:
    """Return the panels; the axes are not shared: device, data and recipe are not the paper's.

    Raises:
        ValueError: no variant of the study has both a score and a latency.
    """
    found = fronts(results)
    if not found:
        raise ValueError(f"no variant has {both(results.objective)}")
    classifies = any(front.objective == TOP1 for front in found)
    figure, (ours, *others) = panels(2, PAGE, 3.2) if classifies else panels(1, COLUMN, 3.2)
    for number, front in enumerate(found):
        _study(ours, front, number, several=len(found) > 1)
    ours.set_title(f"(a) {results.study}" if others else results.study)
    ours.set_ylabel(f"{results.objective.label} (%)")
    ours.margins(x=0.15, y=0.1)
    bottom, top = ours.get_ylim()
    ours.set_ylim(bottom, min(top, 100 + HEADROOM * (100 - bottom)))  # no score is above 100 %
    if len(found) > 1:
        ours.legend()
    for paper in others:
        _paper(paper)
    place(ours, [one for front in found for one in _labels(front)], _lines(found))
    return figure


def _study(axes: Axes, front: Front, number: int, several: bool) -> None:
    """Draw one place's variants with 95 % intervals, and the front as measured as a line."""
    own = mark(number)
    for i in range(len(front.variants)):
        (x, y), ((left, right), (low, high)) = front.values[i], _ends(front, i)
        bars: dict[str, Any] = {"xerr": [[x - left], [right - x]], "yerr": [[y - low], [high - y]]}
        axes.errorbar(x, y, elinewidth=0.6, capsize=1.5, **bars, **own)
    line = [front.values[i] for i in front.measured]
    label = front.place if several else None
    axes.plot(*zip(*line, strict=True), color=own["color"], linestyle="--", label=label)
    axes.set_xlabel("latency (ms)" if several else f"latency (ms), {front.place}")


def _ends(front: Front, i: int) -> tuple[Span, Span]:
    """Return the 95 % intervals of a variant's latency and score; without one both ends are it."""
    variant = front.variants[i]
    low, _, high = x_ends(variant)
    y, interval = front.values[i][1], variant.score.interval if variant.score else None
    return (low, high), interval or (y, y)


def _labels(front: Front) -> list[Label]:
    """Return a label a named point; variants at one point share it, a line each."""
    named = range(len(front.variants)) if len(front.variants) <= NAMED else front.measured
    points: dict[tuple[float, float], list[str]] = {}
    for i in named:
        points.setdefault(front.values[i], []).append(front.variants[i].label)
    return [Label(*point, _listed(names)) for point, names in points.items()]


def _listed(names: list[str]) -> str:
    more = len(names) - LINES
    shown = [*names[: LINES - 1], f"and {more + 1} more"] if more > 0 else names
    return "\n".join(shown)


def _lines(found: Sequence[Front]) -> list[Line]:
    """Return what labels should not cover: each front, and the bars of each point."""
    lines: list[Line] = [[front.values[i] for i in front.measured] for front in found]
    for front in found:
        for i, (x, y) in enumerate(front.values):
            (left, right), (low, high) = _ends(front, i)
            lines += [[(left, y), (right, y)], [(x, low), (x, high)]]
    return lines


def _paper(axes: Axes) -> None:
    """Draw Table 3's networks that have a latency, a line a family."""
    families: dict[str, list[tuple[float, float]]] = {}
    for row in read_csv("table3_imagenet.csv"):
        if row["latency_ms"] and row["top1"]:
            point = float(row["latency_ms"]), float(row["top1"])
            families.setdefault(row["model"], []).append(point)
    for number, (family, points) in enumerate(_last_first(families)):
        axes.plot(*zip(*sorted(points), strict=True), label=family, **mark(number))
    axes.set_title("(b) the paper: ImageNet, ARM phone (Table 3)")
    axes.set_xscale("log")
    axes.set_xticks([25, 50, 100, 200], ["25", "50", "100", "200"])
    axes.minorticks_off()
    axes.set_xlabel("latency (ms)")
    axes.set_ylabel("top-1 (%)")
    below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
    axes.legend(ncols=3, handlelength=1.4, columnspacing=0.8, **below)


def _last_first(
    families: dict[str, list[tuple[float, float]]],
) -> Sequence[tuple[str, list[tuple[float, float]]]]:
    """Return the families, the paper's own first: it has the first colour."""
    return sorted(families.items(), key=lambda item: not item[0].startswith("RepGhost"))
