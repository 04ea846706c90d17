"""Learning curves: what each run did while it trained."""

import math
from collections.abc import Callable, Sequence

from analysis.figures import Figure, Style, lines, styles
from analysis.findings import Findings
from analysis.results import Results
from analysis.run_files import Epoch

POINTS_DRAWN = 20_000  # in a figure, shared by its runs; longer curves are thinned evenly
POINTS_OF_A_RUN = (40, 400)  # at least, at most


def learning_curves(results: Results, found: Findings) -> dict[str, Figure]:
    """Return figures `scores` (validation) and `loss`: a line a run, in its variant's style.

    The lines of one style are one trace, with a gap after each; `customdata` numbers the runs as
    they follow each other in the variants.
    """
    label = found.objective.label
    budget = points_of_a_run(len(results.rows))
    groups: dict[Style, list[tuple[int, list[Epoch]]]] = {}
    number = 0
    for variant, style in zip(found.variants, styles(found.variants), strict=True):
        for row in variant.rows:
            if epochs := thinned(results.curve(row), budget):
                groups.setdefault(style, []).append((number, epochs))
            number += 1
    scores: list[Figure] = []
    losses: list[Figure] = []
    for style, curves in groups.items():
        scores.append(_lines(f"{label} %", style, curves, lambda epoch: epoch.score))
        losses.append(_lines("validation loss", style, curves, lambda epoch: epoch.val_loss))
        training = _lines("training loss", style, curves, lambda epoch: epoch.train_loss, 1.2)
        losses.append(training | {"opacity": 0.45})
    if not scores:
        return {}
    shared = {"xaxis": {"title": {"text": "epoch"}}, "showlegend": False}
    axis = {"title": {"text": f"validation {label}, %"}, "range": _late_range(scores)}
    return {
        "scores": {"data": scores, "layout": shared | {"yaxis": axis}, "of": "runs"},
        "loss": {
            "data": losses,
            "layout": shared | {"yaxis": {"title": {"text": "loss"}}},
            "of": "runs",
        },
    }


def points_of_a_run(runs: int) -> int:
    """Return how many epochs of each of `runs` runs are drawn, so that the page stays light."""
    least, most = POINTS_OF_A_RUN
    return min(max(POINTS_DRAWN // max(runs, 1), least), most)


def thinned(epochs: Sequence[Epoch], budget: int) -> list[Epoch]:
    """Return at most `budget` epochs, evenly spread, the last one always among them."""
    step = max(1, math.ceil(len(epochs) / budget))
    return list(epochs[::-1][::step][::-1])


def _lines(
    what: str,
    style: Style,
    curves: Sequence[tuple[int, list[Epoch]]],
    of: Callable[[Epoch], float | None],
    width: float = 2,
) -> Figure:
    hover = f"<b>%{{text}}</b><br>{what} %{{y:.4g}}<br>epoch %{{x}}<extra></extra>"
    drawn = [(run, [e.epoch for e in epochs], [*map(of, epochs)]) for run, epochs in curves]
    lonely = any(len(epochs) == 1 for _, epochs in curves)
    return lines(style, drawn, width, hover) | ({"mode": "lines+markers"} if lonely else {})


def _late_range(traces: Sequence[Figure]) -> list[float] | None:
    """Return the range of the later half of the curves, where they differ; None for the whole."""
    late = [y for one in traces for y in _later(one["x"], one["y"]) if y is not None]
    if not late:
        return None
    pad = max(0.08 * (max(late) - min(late)), 0.2)
    return [min(late) - pad, max(late) + pad]


def _later(x: Sequence[int | None], y: Sequence[float | None]) -> list[float | None]:
    """Return the values at the later half of the epochs."""
    last = max((epoch for epoch in x if epoch is not None), default=0)
    pairs = zip(x, y, strict=True)
    return [value for epoch, value in pairs if epoch is not None and epoch >= last / 2]
