"""The curves of Tables 6 and 7: top-1 by epoch for each branch, and with and without shortcut."""

from collections import Counter
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.paper.tables import read_csv
from analysis.press.style import PAGE, mark, panels, stroke
from analysis.results import Results
from analysis.variants import Variant, group

NAME, BRANCH, RELU = "variant", "model.reparam", "model.relu"
WIDTH, SHORTCUT = "model.width", "model.shortcut"
MOST = 16  # curves
ROWS = (  # of Table 6: what its rows are called here
    *(("none", "no-reparam"), ("id",), ("dconv",), ("bn",)),
    *(("dconv+bn",), ("id+dconv+bn",), ("bn+relu",)),
)


def branches_figure(results: Results) -> Figure:
    """Return learning curves by branch, the mean over seeds, and the paper's Table 6 beside them.

    Raises:
        ValueError: the study has none of the table's variants, or nothing is trained yet.
    """
    if results.detects:
        raise ValueError("Table 6 is of classifiers; the study has detectors")
    placed = sorted(
        ((place, variant) for variant in group(results) if (place := _place(variant)) is not None),
        key=lambda pair: pair[0],
    )
    curves = [(n, v.label, curve) for n, v in placed if (curve := mean_curve(results, v))]
    if not curves:
        raise ValueError("no training of a variant of Table 6; run +sweeps=table6")
    if len(curves) > MOST:
        raise ValueError(f"{len(curves)} variants are too many curves for a figure")
    figure, (ours, paper) = panels(2, PAGE, 2.6)
    drawn: Counter[int] = Counter()  # of one row: variants that differ in a width, say
    for number, label, curve in curves:
        style = mark(number) | stroke(drawn[number]) | {"markevery": max(1, len(curve) // 6)}
        drawn[number] += 1
        ours.plot(range(1, len(curve) + 1), curve, label=f"{label}: {curve[-1]:.2f}", **style)
    ours.set_title(f"(a) {results.study}, mean over seeds")
    ours.set_xlabel("epoch")
    ours.set_ylabel("top-1 (%)")
    ours.legend(loc="lower right")
    _table6(paper)
    return figure


def shortcut_figure(results: Results) -> Figure:
    """Return top-1 against latency with and without shortcut, a point a width; Table 7 beside.

    Raises:
        ValueError: the study does not sweep widths with and without shortcut, or lacks scores.
    """
    if results.detects:
        raise ValueError("Table 7 is of classifiers; the study has detectors")
    sides = {side: _by_width(results, side) for side in ("true", "false")}
    if not any(sides.values()):
        raise ValueError("no variant with and without shortcut has both scores; +sweeps=table7")
    figure, (ours, paper) = panels(2, PAGE, 2.6)
    printed = {
        side: [
            (float(row["latency_ms"]), float(row["top1"]), row["width"])
            for row in read_csv("table7_shortcut.csv")
            if row["shortcut"] == side
        ]
        for side in sides
    }
    for axes, lines in ((ours, sides), (paper, printed)):
        _two_lines(axes, lines)
    ours.set_title(f"(a) {results.study}")
    paper.set_title("(b) the paper: ImageNet, ARM phone (Table 7)")
    return figure


def mean_curve(results: Results, variant: Variant) -> list[float]:
    """Return top-1 by epoch, the mean over the seeds that have finished; [] where none has."""
    curves = [[one.score for one in results.curve(row)] for row in variant.finished]
    whole = [[top1 for top1 in curve if top1 is not None] for curve in curves]
    length = min((len(curve) for curve in whole), default=0)
    return [fmean(curve[epoch] for curve in whole) for epoch in range(length)]


def _place(variant: Variant) -> int | None:
    """Return the table's row of a variant, by its branches or its name in sweeps/table6.yaml.

    Of networks with a ReLU elsewhere than after the add the table has one, BN with both.
    """
    name = variant.settings.get(BRANCH) or variant.settings.get(NAME)
    relu = variant.settings.get(RELU) or "after_add"
    if relu != "after_add" and name not in ROWS[0]:  # without a branch there is one ReLU alone
        name = "bn+relu" if (name, relu) == ("bn", "both") else None
    return next((n for n, names in enumerate(ROWS) if name in names), None)


def _table6(axes: Axes) -> None:
    """Draw the paper's seven scores as points: it prints no curves."""
    rows = read_csv("table6_reparam.csv")[::-1]
    for number, row in enumerate(rows):
        axes.plot(float(row["top1"]), number, **mark(len(rows) - 1 - number))
    axes.set_yticks(range(len(rows)), [row["reparam"] for row in rows])
    axes.set_xlabel("top-1 (%)")
    axes.set_title("(b) the paper: ImageNet, 0.5x (Table 6)")
    axes.margins(x=0.1, y=0.1)


def _by_width(results: Results, side: str) -> list[tuple[float, float, str]]:
    """Return (latency, top-1, width) of the variants with or without shortcut, by latency."""
    return sorted(
        (variant.latency.ms, variant.score.mean, variant.settings[WIDTH])
        for variant in group(results)
        if variant.settings.get(SHORTCUT) == side and variant.settings.get(WIDTH)
        if variant.latency and variant.score
    )


def _two_lines(axes: Axes, lines: dict[str, list[tuple[float, float, str]]]) -> None:
    labels = {"true": "with shortcut", "false": "without shortcut"}
    for number, (side, points) in enumerate(lines.items()):
        if not points:
            continue
        xs, ys, _ = zip(*points, strict=True)
        axes.plot(xs, ys, label=labels[side], **mark(number))
        for x, y, width in points if side == "true" else ():
            axes.annotate(f"{width}x", (x, y), (-3, 4), textcoords="offset points", ha="right")
    axes.set_xlabel("latency (ms)")
    axes.set_ylabel("top-1 (%)")
    axes.margins(x=0.12, y=0.12)
    axes.legend(loc="lower right")
