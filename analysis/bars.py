"""The latencies of a study without training: a bar a variant, the fastest on top."""

from collections.abc import Sequence

from analysis.figures import Figure, latency_facts, literal
from analysis.findings import Findings
from analysis.texts import number, shortened
from analysis.variants import Latency, Variant

LABEL_LENGTH = 32
BAR_PX, AXIS_PX, LEAST_PX = 24, 80, 200


def latency_bars(found: Findings) -> Figure:
    """Return horizontal bars of the ratio to the reference, or of ms where one has no ratio."""
    timed = _timed(found.variants)
    ratios = all(latency.ratio is not None for _, latency in timed)
    spans = [_ratio_span(latency) if ratios else _ms_span(latency) for _, latency in timed]
    names = [literal(shortened(variant.label, LABEL_LENGTH)) for variant, _ in timed]
    rows = list(range(len(timed)))
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [value for _, value, _ in spans],
        "y": rows,
        "width": 0.7,
        "marker": {"color": "--series-1"},
        "error_x": _error(spans),
        "text": [_hover(variant) for variant, _ in timed],
        "textposition": "none",
        "hoverinfo": "text",
    }
    title = "latency over that of the reference network" if ratios else "latency, ms"
    labels = {"tickvals": rows, "ticktext": names, "range": [len(rows) - 0.4, -0.6], "title": {}}
    layout = {
        "xaxis": {"title": {"text": title}, "rangemode": "tozero"},
        "yaxis": labels,
        "showlegend": False,
    }
    data = [bars, *([_reference_line(len(rows))] if ratios and rows else [])]
    return {"data": data if rows else [], "layout": layout}


def height_px(found: Findings) -> int:
    """Return how high the bars are drawn, so that each has room for its name."""
    return max(BAR_PX * len(_timed(found.variants)) + AXIS_PX, LEAST_PX)


def _timed(variants: Sequence[Variant]) -> list[tuple[Variant, Latency]]:
    timed = [(variant, variant.latency) for variant in variants if variant.latency]
    return sorted(timed, key=lambda one: one[1].pace)


def _ratio_span(latency: Latency) -> tuple[float, float, float]:
    value = latency.ratio or 0.0
    low, high = latency.ratio_low, latency.ratio_high
    return value if low is None else low, value, value if high is None else high


def _ms_span(latency: Latency) -> tuple[float, float, float]:
    low, high = latency.low, latency.high
    return latency.ms if low is None else low, latency.ms, latency.ms if high is None else high


def _error(spans: Sequence[tuple[float, float, float]]) -> Figure:
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(high - value, 0.0) for _, value, high in spans],
        "arrayminus": [max(value - low, 0.0) for low, value, _ in spans],
        "color": "--ink",
        "thickness": 1.2,
        "width": 3,
    }


def _reference_line(rows: int) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [1, 1],
        "y": [-0.6, rows - 0.4],
        "line": {"color": "--front", "width": 2, "dash": "dot"},
        "hoverinfo": "skip",
    }


def _hover(variant: Variant) -> str:
    facts = [
        *latency_facts(variant),
        ("parameters M", number(variant.params_m, 2)),
        ("MACs M", number(variant.macs_m, 1)),
        ("deployed graph", variant.fingerprint[:12] or "-"),
    ]
    lines = [f"{literal(name)} <b>{literal(value)}</b>" for name, value in facts]
    return "<br>".join([f"<b>{literal(variant.label)}</b>", *lines])
