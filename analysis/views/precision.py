"""Precision over recall of detectors, a line a variant."""

from collections.abc import Mapping

from analysis.figures import COLORS, DASHES, Figure, Style, styles
from analysis.material import Material

CURVES = {  # the name of a figure -> what was scored at which IoU
    "precision-boxes-50": ("bbox", 0.5),
    "precision-boxes-75": ("bbox", 0.75),
    "precision-masks-50": ("segm", 0.5),
    "precision-masks-75": ("segm", 0.75),
}


def precision_figures(material: Material) -> dict[str, Figure]:
    """Return a figure for boxes and for masks at two IoUs, with data as far as runs have any."""
    return {name: _figure(material, *what) for name, what in CURVES.items()}


def _figure(material: Material, kind: str, iou: float) -> Figure:
    drawn_with = styles(material.found.variants)
    groups: dict[Style, dict[int, tuple[float, ...]]] = {}
    for i, one in material.examples.items():
        if curve := one.curves.get((kind, iou)):
            groups.setdefault(drawn_with[i], {})[i] = curve
    what = "masks" if kind == "segm" else "boxes"
    layout = {
        "xaxis": {"title": {"text": "recall, %"}, "range": [0, 100]},
        "yaxis": {"title": {"text": f"precision of {what}, % (IoU {iou:.2f})"}, "range": [0, 103]},
        "showlegend": False,
    }
    data = [_lines(curves, style) for style, curves in groups.items()]
    return {"data": data, "layout": layout, "of": "variants"}


def _lines(curves: Mapping[int, tuple[float, ...]], style: Style) -> Figure:
    points = [
        (i, x, y)
        for i, curve in curves.items()
        for x, y in [*((100 * n / (len(curve) - 1), y) for n, y in enumerate(curve)), (None, None)]
    ]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for _, x, _ in points],
        "y": [y for _, _, y in points],
        "customdata": [i for i, _, _ in points],
        "line": {"color": COLORS[style.color], "width": 1.6, "dash": DASHES[style.shape]},
        "hovertemplate": "<b>%{text}</b><br>recall %{x:.0f} %: %{y:.1f} %<extra></extra>",
        "connectgaps": False,
    }
