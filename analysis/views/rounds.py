"""Latency samples over rounds: did the number hold still while it was taken?"""

from analysis.figures import COLORS, DASHES, Figure, Style, styles
from analysis.material import Material
from analysis.samples import Rounds


def rounds_figure(material: Material) -> Figure:
    """Return a line a deployed graph: its ratio to the reference by round, without one its ms."""
    owners = {v.fingerprint: i for i, v in reversed(list(enumerate(material.found.variants)))}
    drawn_with = styles(material.found.variants)
    paired = all(one.reference for one in material.rounds.values())
    groups: dict[Style, list[int]] = {}
    for i in sorted(owners[graph] for graph in material.rounds if graph in owners):
        groups.setdefault(drawn_with[i], []).append(i)
    graphs = [variant.fingerprint for variant in material.found.variants]
    data = [
        _lines({i: material.rounds[graphs[i]] for i in members}, style, paired)
        for style, members in groups.items()
    ]
    title = "ratio to the reference, that round" if paired else "ms, that round"
    layout = {
        "xaxis": {"title": {"text": "round"}},
        "yaxis": {"title": {"text": title}},
        "showlegend": False,
    }
    return {"data": data, "layout": layout, "of": "variants"}


def rounds_of_graphs(material: Material) -> dict[str, dict[str, object]]:
    """Return by graph what the page draws of a chosen variant: ms by round, beside the reference's.

    In words: how many rounds there were, and why they ended.
    """
    return {
        graph: {
            "rounds": one.numbers,
            "network": one.network,
            "reference": one.reference,
            "words": _words(one),
        }
        for graph, one in material.rounds.items()
    }


def _words(one: Rounds) -> str:
    kept = f", {len(one.numbers)} of them drawn" if len(one.numbers) < one.total else ""
    held = "settled" if one.settled else "did not settle"
    return f"{one.total} rounds{kept}; {held}: {one.ended}; measured {one.measured_at}"


def _lines(members: dict[int, Rounds], style: Style, paired: bool) -> Figure:
    rows = [(i, one, one.ratios if paired else one.network) for i, one in members.items()]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for _, one, _ in rows for x in [*one.numbers, None]],
        "y": [y for _, _, values in rows for y in [*(_drawn(v) for v in values), None]],
        "customdata": [i for i, one, _ in rows for _ in range(len(one.numbers) + 1)],
        "line": {"color": COLORS[style.color], "width": 1.3, "dash": DASHES[style.shape]},
        "hovertemplate": "<b>%{text}</b><br>round %{x}: %{y:.4g}<extra></extra>",
        "connectgaps": False,
    }


def _drawn(value: float) -> float | None:
    return float(f"{value:.4g}") if value == value else None
