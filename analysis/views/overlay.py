"""Points that can be switched on over the scatter: the paper's networks, another study's."""

from collections.abc import Sequence
from statistics import median

from analysis.figures import Figure, literal
from analysis.material import Material
from analysis.texts import latency_text, network_name, score_text
from analysis.variants import Variant

TABLE = "Table 3"
ROOM = 0.06


def paper_layer(material: Material) -> Figure | None:
    """Return Table 3 on this study's scale, None where the scale is not known.

    The paper's ms are a phone's. What carries over is a ratio to a network that was timed there and
    here: the study's reference, whose ms here is latency over ratio.
    """
    if any(v.detector for v in material.found.variants):
        return None  # of detectors Table 3 says nothing
    timed = [v.latency for v in material.found.variants if v.latency and v.latency.ratio]
    references = {network_name(latency.reference) for latency in timed}
    if len(references) != 1 or len({latency.kin for latency in timed}) != 1:
        return None
    from analysis.paper.tables import paper_rows

    known = [row for row in paper_rows(TABLE) if row.latency_ms and row.top1]
    base = next((row.latency_ms for row in known if row.name in references), None)
    if base is None:
        return None
    unit = median(latency.ms / latency.ratio for latency in timed if latency.ratio) / base
    x = [float(f"{(row.latency_ms or 0) * unit:.5g}") for row in known]
    hovers = [
        f"<b>{literal(row.label)}</b> (the paper's)<br>top-1 {row.top1} % on ImageNet"
        f"<br>{row.latency_ms} ms on its phone = {(row.latency_ms or 0) / base:.3f} x"
        f" {literal(next(iter(references)))}"
        for row in known
    ]
    trace = _points(x, [row.top1 or 0.0 for row in known], hovers, "x-thin-open", 9)
    return {"name": "the paper's networks (Table 3)", "data": [trace], **_ranges(material, trace)}


def study_layer(material: Material, other: Material) -> Figure | None:
    """Return another study's variants as open rings, None where they share no place."""
    kins = {v.latency.kin for v in material.found.variants if v.latency}
    shown = [v for v in other.found.variants if v.score and v.latency and v.latency.kin in kins]
    if not shown:
        return None
    hovers = [_hover(other.results.study, variant) for variant in shown]
    trace = _points(
        [v.latency.ms for v in shown if v.latency],
        [v.score.mean for v in shown if v.score],
        *(hovers, "diamond-open", 11),
    )
    name = f"the variants of {other.results.study}"
    return {"name": name, "data": [trace], "on": True, **_ranges(material, trace)}


def _points(
    x: Sequence[float], y: Sequence[float], hovers: Sequence[str], symbol: str, size: int
) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(x),
        "y": list(y),
        "marker": {
            "color": "--ink",
            "symbol": symbol,
            "size": size,
            "line": {"color": "--ink", "width": 1.5},
        },
        "text": list(hovers),
        "hoverinfo": "text",
    }


def _hover(study: str, variant: Variant) -> str:
    return (
        f"<b>{literal(variant.label)}</b> of {literal(study)}"
        f"<br>{variant.objective.label} % {literal(score_text(variant.score))}"
        f"<br>latency ms {literal(latency_text(variant.latency))}"
    )


def _ranges(material: Material, trace: Figure) -> Figure:
    """Return the axes' ranges that hold the study's points and the layer's."""
    own = [v for v in material.found.variants if v.score and v.latency]
    xs = [*trace["x"], *(v.latency.ms for v in own if v.latency)]
    ys = [*trace["y"], *(v.score.mean for v in own if v.score)]
    x_pad, y_pad = (max(ROOM * (max(v) - min(v)), 1e-3) for v in (xs, ys))
    return {
        "xrange": [max(min(xs) - x_pad, 0), max(xs) + x_pad],
        "yrange": [min(ys) - y_pad, max(ys) + y_pad],
    }
