"""Latency samples over rounds: did the number hold still while it was taken?"""

from analysis.figures import Curve, Figure, Style, lines, styles
from analysis.material import Material
from analysis.samples import Rounds

HOVER = "<b>%{text}</b><br>round %{x}: %{y:.4g}<extra></extra>"


def rounds_figure(material: Material) -> Figure:
    """Return a line a deployed graph: its ratio to the reference by round, without one its ms."""
    owners = {v.fingerprint: i for i, v in reversed(list(enumerate(material.found.variants)))}
    drawn_with = styles(material.found.variants)
    paired = all(one.reference for one in material.rounds.values())
    groups: dict[Style, list[Curve]] = {}
    for i, graph in sorted((owners[graph], graph) for graph in material.rounds if graph in owners):
        one = material.rounds[graph]
        curve = i, one.numbers, one.ratios if paired else one.network
        groups.setdefault(drawn_with[i], []).append(curve)
    title = "ratio to the reference, that round" if paired else "ms, that round"
    layout = {
        "xaxis": {"title": {"text": "round"}},
        "yaxis": {"title": {"text": title}},
        "showlegend": False,
    }
    data = [lines(style, curves, 1.3, HOVER) for style, curves in groups.items()]
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
