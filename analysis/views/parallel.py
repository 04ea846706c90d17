"""Parallel coordinates: a line a variant through its settings, its cost and its scores.

Drawn as lines of plotly's SVG: its own parallel coordinates need WebGL and code made at run time,
which the report's policy forbids, and cannot be printed.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from analysis.figures import COLORS, Figure, Style, lines, literal, styles, varying
from analysis.findings import Findings
from analysis.texts import shortened
from analysis.variants import Variant, short_names
from repghost.objective import in_common

VALUES_NAMED = 9
VALUE_LENGTH = 14
HOVER = "<b>%{text}</b><extra></extra>"


class Axis(NamedTuple):
    """A vertical axis: its name, each variant's place on it from 0 to 1, its ticks."""

    name: str
    places: list[float | None]
    ticks: list[tuple[float, str]]


def parallel_coordinates(found: Findings) -> Figure:
    """Return a line a variant; `customdata` is its index, those of the front are thicker."""
    axes = _axes(found.variants)
    if len(axes) < 2 or len(found.variants) < 2:
        return {"data": [], "layout": {}}
    groups: dict[tuple[Style, bool], list[int]] = {}
    for i, style in enumerate(styles(found.variants)):
        groups.setdefault((style, i in found.front), []).append(i)
    data = [_lines(axes, style, front, members) for (style, front), members in groups.items()]
    layout = {
        "xaxis": {
            "tickvals": list(range(len(axes))),
            "ticktext": [literal(axis.name) for axis in axes],
            "range": [-0.15, len(axes) - 0.5],
            "side": "top",
            "title": {},
        },
        "yaxis": {"visible": False, "range": [-0.06, 1.06], "title": {}},
        "showlegend": False,
        "annotations": [_tick(n, *tick) for n, axis in enumerate(axes) for tick in axis.ticks],
    }
    return {"data": data, "layout": layout, "of": "variants"}


def _axes(variants: Sequence[Variant]) -> list[Axis]:
    keys = varying(variants)
    names = short_names(list(keys))
    scores: list[tuple[str, Callable[[Variant], float | None]]] = [
        ("MACs M", lambda v: v.macs_m),
        ("latency ms", lambda v: v.latency.ms if v.latency else None),
        (
            f"{in_common(v.objective for v in variants).label} %",
            lambda v: v.score.mean if v.score else None,
        ),
    ]
    found = [_named(names[key], [v.settings[key] for v in variants]) for key in keys]
    return [*found, *(a for n, of in scores if (a := _counted(n, list(map(of, variants)))))]


def _named(name: str, values: Sequence[str]) -> Axis:
    """Return an axis of words or numbers at equal distances, numbers in their order."""
    seen = list(dict.fromkeys(values))
    if all(_is_number(value) for value in seen):
        seen.sort(key=float)
    places = {value: n / max(len(seen) - 1, 1) for n, value in enumerate(seen)}
    shown = seen if len(seen) <= VALUES_NAMED else [seen[0], seen[-1]]
    ticks = [(places[value], shortened(value, VALUE_LENGTH)) for value in shown]
    return Axis(name, [places[value] for value in values], ticks)


def _counted(name: str, values: Sequence[float | None]) -> Axis | None:
    known = [value for value in values if value is not None]
    if not known or min(known) == max(known):
        return None
    low, high = min(known), max(known)
    places = [None if v is None else (v - low) / (high - low) for v in values]
    ticks = [(share, f"{low + share * (high - low):.4g}") for share in (0.0, 0.5, 1.0)]
    return Axis(name, places, ticks)


def _lines(axes: Sequence[Axis], style: Style, front: bool, members: Sequence[int]) -> Figure:
    places = range(len(axes))
    curves = [(i, places, [axis.places[i] for axis in axes]) for i in members]
    marker = {"color": COLORS[style.color], "size": 6 if front else 4}
    trace = lines(style, curves, 3.5 if front else 1.4, HOVER)
    return trace | {"mode": "lines+markers", "marker": marker}


def _tick(n: int, y: float, text: str) -> Figure:
    return {
        "x": n,
        "y": y,
        "text": literal(text),
        "showarrow": False,
        "xanchor": "left",
        "xshift": 7,
        "font": {"size": 11, "color": "--ink"},
        "bgcolor": "--veil",
        "borderpad": 1,
    }


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
