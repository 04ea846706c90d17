"""The accuracy-latency scatter with its intervals and its front."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from analysis.figures import COLORS, SYMBOLS, Figure, Style, latency_facts, literal, styles
from analysis.findings import Findings
from analysis.fronts import UNDECIDED, Front
from analysis.material import Standing
from analysis.texts import number, score_text, shortened
from analysis.variants import Variant
from repghost.decision.chances import attained

Ends = Callable[[Variant], tuple[float, float, float]]
MARKER_PX, RING_PX = 11, 8  # variants at one point are drawn as rings around each other
RINGS_AT_MOST = 6  # a stack is not drawn wider; its hover still says how many there are
LABELLED_AT_MOST = 24
KEPT_AT_MOST = 10
LABEL_LENGTH = 40
CARDS_AT_MOST = 4
HALO_PX = 10  # around a point that may be on the front
BAND_STEPS = 160
NO_STANDINGS: Mapping[int, Standing] = {}


def tradeoff(
    found: Findings, standings: Mapping[int, Standing] = NO_STANDINGS, fronts: Sequence[Front] = ()
) -> Figure:
    """Return the score against latency; `labels` (point, interval ends, text) are for the page.

    `customdata` is the index of a point's variant. With `fronts`, where a front drawn anew would
    run in 95 % of draws is a band, and points that may be on it have a halo.
    """
    placed = [i for i, v in enumerate(found.variants) if v.score and v.latency]
    drawn_with = styles(found.variants)
    groups: dict[Style, list[int]] = {}
    for i in placed:
        groups.setdefault(drawn_with[i], []).append(i)
    stacks = _stacks(found, placed)
    traces = [
        _points(found, standings, stacks, style, members) for style, members in groups.items()
    ]
    variants = [found.variants[i] for i in placed]
    x_range, y_range = _latency_range(variants), _score_range(variants)
    layout = {
        "xaxis": {"title": {"text": _latency_title(variants)}, "range": x_range},
        "yaxis": {"title": {"text": f"{found.objective.label}, %"}, "range": y_range},
        "showlegend": False,
    }
    below = [band for front in fronts for band in _bands(front, x_range, y_range)]
    below += _halos(found, standings, stacks)
    lines = _front_lines(found, x_range[1], y_range[0])
    return {
        "data": [*below, *lines, *traces],
        "layout": layout,
        "labels": _labels(found, stacks),
        "of": "variants",
    }


def x_ends(variant: Variant) -> tuple[float, float, float]:
    """Return the low end of the latency's interval, the median, the high end, in ms."""
    if variant.latency is None:
        return math.nan, math.nan, math.nan
    ms, low, high = variant.latency.ms, variant.latency.low, variant.latency.high
    return (ms if low is None else min(low, ms), ms, ms if high is None else max(high, ms))


def y_ends(variant: Variant) -> tuple[float, float, float]:
    """Return mean - std, mean, mean + std of the score over seeds, in percent."""
    if variant.score is None:
        return math.nan, math.nan, math.nan
    mean, std = variant.score.mean, variant.score.std or 0.0
    return mean - std, mean, mean + std


def _stacks(found: Findings, placed: Sequence[int]) -> dict[int, list[int]]:
    """Return for each placed variant all that share its exact coordinates, itself included."""
    points: dict[tuple[float, float], list[int]] = {}
    for i in placed:
        variant = found.variants[i]
        points.setdefault((x_ends(variant)[1], y_ends(variant)[1]), []).append(i)
    return {i: stack for stack in points.values() for i in stack}


def _bands(front: Front, x_range: Sequence[float], y_range: Sequence[float]) -> list[Figure]:
    """Return the band between the ends of the best score at each latency: two lines, filled."""
    steps = np.geomspace(max(x_range[0], x_range[1] * 1e-3), x_range[1], BAND_STEPS)
    low, high = attained(front.points, steps)
    reached = np.isfinite(high)
    if not reached.any() or np.array_equal(low[reached], high[reached]):
        return []
    x = [float(f"{value:.4g}") for value in steps[reached]]
    floor = y_range[0]
    ends = [np.maximum(np.where(np.isfinite(end), end, floor), floor) for end in (low, high)]
    lines = [[float(f"{value:.5g}") for value in end[reached]] for end in ends]
    shared: Figure = {"type": "scatter", "mode": "lines", "x": x, "name": "band"}
    shared |= {"hoverinfo": "skip"}
    shared |= {"line": {"color": "--band", "width": 0, "shape": "hv"}}
    return [
        shared | {"y": lines[0]},
        shared | {"y": lines[1], "fill": "tonexty", "fillcolor": "--band"},
    ]


def _halos(
    found: Findings, standings: Mapping[int, Standing], stacks: dict[int, list[int]]
) -> list[Figure]:
    """Return a ring around each point of which it is undecided if it is on the front."""
    members = [i for i, one in standings.items() if one.status == UNDECIDED and i in stacks]
    if not members:
        return []
    variants = [found.variants[i] for i in members]
    sizes = [_width_px(len(stacks[i]) - 1) + HALO_PX for i in members]
    halo = {
        "type": "scatter",
        "mode": "markers",
        "name": "undecided",
        "cliponaxis": False,
        "x": [x_ends(variant)[1] for variant in variants],
        "y": [y_ends(variant)[1] for variant in variants],
        "customdata": members,
        "marker": {
            "color": "--front",
            "symbol": "circle-open",
            "size": sizes,
            "line": {"color": "--front", "width": 1.5},
        },
        "hoverinfo": "skip",
    }
    return [halo]


def _points(
    found: Findings,
    standings: Mapping[int, Standing],
    stacks: dict[int, list[int]],
    style: Style,
    members: Sequence[int],
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
            "size": [_width_px(ring) for ring in rings],
            "symbol": [f"{symbol}-open" if ring else symbol for ring in rings],
            "line": {"width": [2 if ring else 0 for ring in rings], "color": color},
        },
        "customdata": list(members),
        "text": [_hover(found, standings, stacks[i]) for i in members],
        "hoverinfo": "text",
    }


def _width_px(ring: int) -> int:
    return MARKER_PX + RING_PX * min(ring, RINGS_AT_MOST)


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


def _score_range(variants: Sequence[Variant]) -> list[float]:
    """Return the range of scores: above 100 % there is just room for a marker, and no tick."""
    if not variants:
        return [0.0, 100.0]
    low, high = _range(variants, y_ends, at_least=0.003)
    return [low, min(high, 100 + 0.03 * (100 - low))]


def _front_lines(found: Findings, right: float, bottom: float) -> list[Figure]:
    """Return the front of each device and protocol as stairs; what is below them is dominated.

    They rise from `bottom` at the fastest variant and run on to `right` at the most accurate.
    """
    kins: dict[tuple[str, ...], list[Variant]] = {}
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
            "px": _width_px(len(stack) - 1),
            "variants": stack,
            "text": literal(_stack_name([found.variants[i].label for i in stack])),
        }
        for stack in {stacks[i][0]: stacks[i] for i in wanted}.values()
    ]


def _stack_name(names: Sequence[str]) -> str:
    text = ", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more"
    return shortened(text, LABEL_LENGTH)


def _hover(found: Findings, standings: Mapping[int, Standing], stack: Sequence[int]) -> str:
    """Return all that is known of a point: a card for each of the first variants drawn there."""
    cards = [_card(found, standings.get(i), i) for i in stack[:CARDS_AT_MOST]]
    more = len(stack) - CARDS_AT_MOST
    return "<br><br>".join([*cards, f"and {more} more at this point"] if more > 0 else cards)


def standing_text(standing: Standing | None) -> str:
    """Return "front, chance 0.97", or "-" where the variant has no place."""
    return "-" if standing is None else f"{standing.status}, chance {standing.chance:.2f}"


def _card(found: Findings, standing: Standing | None, i: int) -> str:
    known = [*_facts(found, i), *([("front", standing_text(standing))] if standing else [])]
    facts = [f"{literal(name)} <b>{literal(value)}</b>" for name, value in known]
    return "<br>".join([f"<b>{literal(found.variants[i].label)}</b>", *facts])


def _facts(found: Findings, i: int) -> list[tuple[str, str]]:
    v = found.variants[i]
    seeds = ", ".join(map(str, v.seeds)) or "-"
    twins = [found.variants[j].label for t in found.twins if i in t for j in t if j != i]
    return [
        (
            f"{v.objective.label} %",
            score_text(v.score) + (", on the front" if i in found.front else ""),
        ),
        *((f"{label} %", score_text(v.beside.get(name))) for name, label in v.objective.shown),
        ("seeds", seeds if v.score and v.score.n > 1 else f"{seeds} (1 seed: no interval)"),
        *latency_facts(v),
        ("parameters M", number(v.params_m, 2)),
        ("MACs M", number(v.macs_m, 1)),
        ("deployed graph", v.fingerprint[:12] or "-"),
        *([("same graph as", _stack_name(twins))] if twins else []),
    ]


def _latency_title(variants: Sequence[Variant]) -> str:
    places = {f"{v.latency.device}, {v.latency.protocol}" for v in variants if v.latency}
    return literal(f"latency, ms ({'; '.join(sorted(places))})" if places else "latency, ms")
