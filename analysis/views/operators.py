"""Operator profiles of the study's networks: time by kind, beside what each was compared with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.figures import COLORS, Figure, literal
from analysis.material import Material
from analysis.operators import Row, evidence, rows

if TYPE_CHECKING:
    from repghost.latency.profile import Profile

MOST_ROWS = 10


def operators_figure(material: Material) -> Figure:
    """Return bars of the first network, and in `choices` those of each (name, data, evidence)."""
    labels: dict[str, list[str]] = {}
    for variant in material.found.variants:
        labels.setdefault(variant.fingerprint, []).append(variant.label)
    choices = [
        _choice(profiles, labels.get(graph, [graph]))
        for graph, profiles in material.profiles.items()
        if profiles
    ]
    layout = {
        "xaxis": {"title": {"text": "ms a run"}, "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "nticks": 2 * MOST_ROWS, "title": {}},
        "barmode": "group",
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    }
    return {"data": choices[0]["data"] if choices else [], "layout": layout, "choices": choices}


def _choice(profiles: "Sequence[Profile]", names: Sequence[str]) -> Figure:
    found = rows(profiles, MOST_ROWS)
    name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more of its graph"
    return {
        "name": name,
        "data": [_bars(found, n, one) for n, one in enumerate(profiles)],
        "evidence": evidence(profiles),
    }


def _bars(found: Sequence[Row], n: int, profile: "Profile") -> Figure:
    groups = [row.groups[n] for row in found]
    name = literal(f"{profile.network}, {profile.total_ms:.3f} ms")
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": [round(group.ms.value, 5) for group in groups],
        "y": [literal(row.name) for row in found],
        "marker": {"color": COLORS[n]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [round(group.ms.high - group.ms.value, 5) for group in groups],
            "arrayminus": [round(group.ms.value - group.ms.low, 5) for group in groups],
            "color": "--ink",
            "thickness": 1.2,
            "width": 3,
        },
        "text": [f"{group.count} x, {100 * group.share.value:.1f} %" for group in groups],
        "textposition": "none",
        "hovertemplate": f"<b>%{{y}}</b><br>{name}<br>%{{x:.4f}} ms: %{{text}}<extra></extra>",
    }
