"""The accuracy-latency scatter with its intervals and its front."""

import math
from collections.abc import Callable, Sequence

from analysis.figures import COLORS, SYMBOLS, Figure, Style, latency_facts, literal, styles
from analysis.findings import Findings
from analysis.texts import number, score_text
from analysis.variants import Variant

Ends = Callable[[Variant], tuple[float, float, float]]
MARKER_PX, RING_PX = 11, 8  # variants at one point are drawn as rings around each other
LABELLED_AT_MOST = 24
KEPT_AT_MOST = 10
LABEL_LENGTH = 40
CARDS_AT_MOST = 4


def tradeoff(found: Findings) -> Figure:
    """Return top-1 against latency; `labels` (point, interval ends, text) are for the page."""
    placed = [i for i, v in enumerate(found.variants) if v.top1 and v.latency]
    drawn_with = styles(found.variants)
    groups: dict[Style, list[int]] = {}
    for i in placed:
        groups.setdefault(drawn_with[i], []).append(i)
    stacks = _stacks(found, placed)
    traces = [_points(found, stacks, style, members) for style, members in groups.items()]
    variants = [found.variants[i] for i in placed]
    x_range, y_range = _latency_range(variants), _top1_range(variants)
    layout = {
        "xaxis": {"title": {"text": _latency_title(variants)}, "range": x_range},
        "yaxis": {"title": {"text": "top-1, %"}, "range": y_range},
        "showlegend": False,
    }
    lines = _front_lines(found, x_range[1], y_range[0])
    return {"data": [*lines, *traces], "layout": layout, "labels": _labels(found, stacks)}


def x_ends(variant: Variant) -> tuple[float, float, float]:
    """Return the low end of the latency's interval, the median, the high end, in ms."""
    if variant.latency is None:
        return math.nan, math.nan, math.nan
    ms, low, high = variant.latency.ms, variant.latency.low, variant.latency.high
    return (ms if low is None else min(low, ms), ms, ms if high is None else max(high, ms))


def y_ends(variant: Variant) -> tuple[float, float, float]:
    """Return mean - std, mean, mean + std of top-1 over seeds, in percent."""
    if variant.top1 is None:
        return math.nan, math.nan, math.nan
    mean, std = variant.top1.mean, variant.top1.std or 0.0
    return mean - std, mean, mean + std


def _stacks(found: Findings, placed: Sequence[int]) -> dict[int, list[int]]:
    """Return for each placed variant all that share its exact coordinates, itself included."""
    points: dict[tuple[float, float], list[int]] = {}
    for i in placed:
        variant = found.variants[i]
        points.setdefault((x_ends(variant)[1], y_ends(variant)[1]), []).append(i)
    return {i: stack for stack in points.values() for i in stack}


def _points(
    found: Findings, stacks: dict[int, list[int]], style: Style, members: Sequence[int]
) -> Figure:
    variants = [found.variants[i] for i in members]
    color, symbol = COLORS[style.color], SYMBOLS[style.shape]
    rings = [stacks[i].index(i) for i in members]
    return {
        "type": "scatter",
        "mode": "markers",
        "cliponaxis": False,
        "x": [x_ends(variant)[1] for variant in variants],
        "y": [y_ends(variant)[1] for variant in variants],
        "error_x": _error(variants, x_ends, color),
        "error_y": _error(variants, y_ends, color),
        "marker": {
            "color": color,
            "opacity": 1,
            "size": [MARKER_PX + RING_PX * ring for ring in rings],
            "symbol": [f"{symbol}-open" if ring else symbol for ring in rings],
            "line": {"width": [2 if ring else 0 for ring in rings], "color": color},
        },
        "text": [_hover(found, stacks[i]) for i in members],
        "hoverinfo": "text",
    }


def _error(variants: Sequence[Variant], ends: Ends, color: str) -> Figure:
    spans = [ends(variant) for variant in variants]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - middle for _, middle, high in spans],
        "arrayminus": [middle - low for low, middle, _ in spans],
        "color": color,
        "thickness": 1.2,
        "width": 3,
    }


def _range(variants: Sequence[Variant], ends: Ends, at_least: float) -> list[float]:
    """Return an axis range with room for labels around all intervals.

    `at_least` is the least room as a part of the value: a short interval should look short.
    """
    if not variants:
        return [0.0, 1.0]
    low = min(ends(variant)[0] for variant in variants)
    high = max(ends(variant)[2] for variant in variants)
    pad = max(0.15 * (high - low), at_least * abs(high), 1e-6)
    return [low - pad, high + pad]


def _latency_range(variants: Sequence[Variant]) -> list[float]:
    low, high = _range(variants, x_ends, at_least=0.15)
    return [max(low, 0.0), high]


def _top1_range(variants: Sequence[Variant]) -> list[float]:
    """Return the range of top-1: above 100 % there is just room for a marker, and no tick."""
    if not variants:
        return [0.0, 100.0]
    low, high = _range(variants, y_ends, at_least=0.003)
    return [low, min(high, 100 + 0.03 * (100 - low))]


def _front_lines(found: Findings, right: float, bottom: float) -> list[Figure]:
    """Return the front of each device and protocol as stairs; what is below them is dominated.

    They rise from `bottom` at the fastest variant and run on to `right` at the most accurate.
    """
    kins: dict[tuple[str, str, str], list[Variant]] = {}
    for variant in (found.variants[i] for i in found.front):
        if variant.latency:
            kins.setdefault(variant.latency.kin, []).append(variant)
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "Pareto front",
            "x": [x_ends(members[0])[1], *(x_ends(v)[1] for v in members), right],
            "y": [bottom, *(y_ends(v)[1] for v in members), y_ends(members[-1])[1]],
            "line": {"color": "--front", "width": 2, "dash": "dot", "shape": "hv"},
            "hoverinfo": "skip",
        }
        for members in kins.values()
    ]


def _labels(found: Findings, stacks: dict[int, list[int]]) -> list[Figure]:
    """Return a label a point, the front's first; the page leaves out what does not fit near it.

    The labels of a short front (`front`) are kept in any case, with a line to their point.
    """
    keep = len(found.front) <= KEPT_AT_MOST
    wanted = sorted(stacks, key=lambda i: i not in found.front)[:LABELLED_AT_MOST]
    return [
        {
            "x": x_ends(found.variants[stack[0]]),
            "y": y_ends(found.variants[stack[0]]),
            "front": keep and any(i in found.front for i in stack),
            "px": MARKER_PX + RING_PX * (len(stack) - 1),
            "text": literal(_stack_name([found.variants[i].label for i in stack])),
        }
        for stack in {stacks[i][0]: stacks[i] for i in wanted}.values()
    ]


def _stack_name(names: Sequence[str]) -> str:
    text = ", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more"
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"


def _hover(found: Findings, stack: Sequence[int]) -> str:
    """Return all that is known of a point: a card for each of the first variants drawn there."""
    cards = [_card(found, i) for i in stack[:CARDS_AT_MOST]]
    more = len(stack) - CARDS_AT_MOST
    return "<br><br>".join([*cards, f"and {more} more at this point"] if more > 0 else cards)


def _card(found: Findings, i: int) -> str:
    facts = [f"{literal(name)} <b>{literal(value)}</b>" for name, value in _facts(found, i)]
    return "<br>".join([f"<b>{literal(found.variants[i].label)}</b>", *facts])


def _facts(found: Findings, i: int) -> list[tuple[str, str]]:
    v = found.variants[i]
    seeds = ", ".join(map(str, v.seeds)) or "-"
    twins = [found.variants[j].label for t in found.twins if i in t for j in t if j != i]
    return [
        ("top-1 %", score_text(v.top1) + (", on the front" if i in found.front else "")),
        ("top-5 %", score_text(v.top5)),
        ("seeds", seeds if v.top1 and v.top1.n > 1 else f"{seeds} (1 seed: no interval)"),
        *latency_facts(v),
        ("parameters M", number(v.params_m, 2)),
        ("MACs M", number(v.macs_m, 1)),
        ("deployed graph", v.fingerprint[:12] or "-"),
        *([("same graph as", _stack_name(twins))] if twins else []),
    ]


def _latency_title(variants: Sequence[Variant]) -> str:
    places = {f"{v.latency.device}, {v.latency.protocol}" for v in variants if v.latency}
    return literal(f"latency, ms ({'; '.join(sorted(places))})" if places else "latency, ms")
