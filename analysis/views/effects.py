"""The ablation effects as a picture: a row a step, its interval, and where nothing changes."""

from collections.abc import Sequence

from analysis.effects import Effect
from analysis.effects_table import factor_text, label_of, points_text
from analysis.figures import Figure, literal
from analysis.markup import Html, join, tag
from analysis.texts import MISSING, shortened, told_apart
from analysis.variants import short_names

SHOWN = 40
LABEL_LENGTH = 34
ROW_PX, AXIS_PX = 26, 76
Span = tuple[float, tuple[float, float] | None]


def effect_figures(effects: Sequence[Effect]) -> dict[str, Figure]:
    """Return `effects` (score in points) and `factors` (latency); without steps no data."""
    shown = effects[:SHOWN]
    scores: list[tuple[Effect, Span]] = [
        (one, (one.score.value, one.score.interval)) for one in shown if one.score
    ]
    factors: list[tuple[Effect, Span]] = [
        (one, (one.latency.value, one.latency.interval)) for one in shown if one.latency
    ]
    return {
        "effects": _forest(
            scores, 0.0, f"{label_of(effects)}, points (right is better)", "--series-1"
        ),
        "factors": _forest(factors, 1.0, "latency, factor (left is faster)", "--series-2"),
    }


def effects_height(effects: Sequence[Effect]) -> int:
    """Return how high the figures are drawn, in px."""
    return ROW_PX * min(len(effects), SHOWN) + AXIS_PX


def effects_table(effects: Sequence[Effect]) -> Html:
    """Return the numbers behind the pictures, and how many effects there are beyond."""
    scored = any(one.score for one in effects)
    scores = ("seeds x pairs", f"{label_of(effects)}, points", "p (Holm)", "says") if scored else ()
    head = tag(
        "tr", *(tag("th", name, scope="col") for name in ("step", *scores, "latency", "says"))
    )
    rows = (
        tag("tr", *(tag("td", cell) for cell in _cells(one, scored))) for one in effects[:SHOWN]
    )
    table = tag("table", tag("thead", head), tag("tbody", *rows))
    more = len(effects) - SHOWN
    if more <= 0:
        return table
    words = f"And {more} more, which are not drawn: python -m analysis effects STUDY prints all."
    return join([table, tag("p", words, class_="note")])


def _cells(one: Effect, scored: bool) -> tuple[str, ...]:
    scores = (
        f"{one.score.n} x {one.blocks}" if one.score else MISSING,
        points_text(one.score),
        MISSING if one.holm_p is None else f"{one.holm_p:.3f}",
        one.verdict,
    )
    latency = factor_text(one.latency), one.latency.verdict if one.latency else MISSING
    return one.name, *(scores if scored else ()), *latency


def _forest(rows: Sequence[tuple[Effect, Span]], null: float, title: str, color: str) -> Figure:
    places = list(range(len(rows)))
    spans = [span for _, span in rows]
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": [value for value, _ in spans],
        "y": places,
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [(ends or (v, v))[1] - v for v, ends in spans],
            "arrayminus": [v - (ends or (v, v))[0] for v, ends in spans],
            "color": color,
            "thickness": 1.6,
            "width": 4,
        },
        "marker": {
            "color": color,
            "size": 9,
            "symbol": ["circle" if ends else "circle-open" for _, ends in spans],
        },
        "text": [_hover(effect) for effect, _ in rows],
        "hoverinfo": "text",
    }
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [null, null],
        "y": [-0.6, len(rows) - 0.4],
        "line": {"color": "--front", "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
    }
    names = [literal(_label(effect)) for effect, _ in rows]
    labels = {"tickvals": places, "ticktext": names, "range": [len(rows) - 0.4, -0.6], "title": {}}
    layout = {"xaxis": {"title": {"text": title}}, "yaxis": labels, "showlegend": False}
    return {"data": [line, points] if rows else [], "layout": layout}


def _hover(one: Effect) -> str:
    points = f"<b>{literal(points_text(one.score))}</b> points"
    lines = [
        f"<b>{literal(one.name)}</b>",
        f"{one.objective.label} {points}: {literal(one.verdict)}",
        *(
            [f"latency <b>{literal(factor_text(one.latency))}</b>: {literal(one.latency.verdict)}"]
            if one.latency
            else []
        ),
        f"{one.score.n if one.score else 0} seeds x {one.blocks} pairs",
    ]
    return "<br>".join(lines)


def _label(one: Effect) -> str:
    """Return the step as a label: of long names what tells the two sides apart."""
    if len(one.name) <= LABEL_LENGTH or len(one.keys) > 1:
        return shortened(one.name, LABEL_LENGTH)
    key = shortened(short_names(one.keys)[one.keys[0]], LABEL_LENGTH // 3)
    before, after = told_apart(*one.steps[0], LABEL_LENGTH - len(f"{key}  → "))
    return f"{key} {before} → {after}"
