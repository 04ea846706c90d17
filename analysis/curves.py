"""Learning curves: what each run did while it trained."""

import math
from collections.abc import Sequence

from analysis.figures import COLORS, DASHES, Figure, Style, literal, styles
from analysis.findings import Findings, run_label
from analysis.results import Epoch, Results, Row

POINTS_DRAWN = 20_000  # in a figure, shared by its runs; longer curves are thinned evenly
POINTS_OF_A_RUN = (40, 400)  # at least, at most


def learning_curves(results: Results, found: Findings) -> dict[str, Figure]:
    """Return figures `top1` (validation) and `loss`: a line a run, in its variant's style."""
    budget = points_of_a_run(len(results.rows))
    top1: list[Figure] = []
    losses: list[Figure] = []
    for variant, style in zip(found.variants, styles(found.variants), strict=True):
        curves = [(row, thinned(results.curve(row), budget)) for row in variant.rows]
        for row, epochs in ((row, epochs) for row, epochs in curves if epochs):
            line = _line(style, row, epochs)
            top1.append(line | _values("top-1 %", [epoch.top1 for epoch in epochs]))
            losses.append(line | _values("validation loss", [epoch.val_loss for epoch in epochs]))
            faint = {"opacity": 0.45, "line": line["line"] | {"width": 1.2}}
            training = _values("training loss", [epoch.train_loss for epoch in epochs])
            losses.append(line | training | faint)
    if not top1:
        return {}
    shared = {"xaxis": {"title": {"text": "epoch"}}, "showlegend": False}
    scores = {"title": {"text": "validation top-1, %"}, "range": _late_range(top1)}
    return {
        "top1": {"data": top1, "layout": shared | {"yaxis": scores}},
        "loss": {"data": losses, "layout": shared | {"yaxis": {"title": {"text": "loss"}}}},
    }


def points_of_a_run(runs: int) -> int:
    """Return how many epochs of each of `runs` runs are drawn, so that the page stays light."""
    least, most = POINTS_OF_A_RUN
    return min(max(POINTS_DRAWN // max(runs, 1), least), most)


def thinned(epochs: Sequence[Epoch], budget: int) -> list[Epoch]:
    """Return at most `budget` epochs, evenly spread, the last one always among them."""
    step = max(1, math.ceil(len(epochs) / budget))
    return list(epochs[::-1][::step][::-1])


def _line(style: Style, row: Row, epochs: Sequence[Epoch]) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(epochs) == 1 else "lines",
        "meta": literal(run_label(row)),
        "x": [epoch.epoch for epoch in epochs],
        "line": {"color": COLORS[style.color], "width": 2, "dash": DASHES[style.shape]},
    }


def _values(what: str, values: Sequence[float | None]) -> Figure:
    hover = f"<b>%{{meta}}</b><br>{what} %{{y:.4g}}<br>epoch %{{x}}<extra></extra>"
    rounded = [None if value is None else float(f"{value:.5g}") for value in values]
    return {"y": rounded, "hovertemplate": hover}


def _late_range(lines: Sequence[Figure]) -> list[float] | None:
    """Return the range of the later half of the curves, where they differ; None for the whole."""
    late = [y for line in lines for y in line["y"][len(line["y"]) // 2 :] if y is not None]
    if not late:
        return None
    pad = max(0.08 * (max(late) - min(late)), 0.2)
    return [min(late) - pad, max(late) + pad]
