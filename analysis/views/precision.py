"""Precision over recall of detectors, a line a variant."""

from analysis.figures import Curve, Figure, Style, lines, styles
from analysis.material import Material

CURVES = {  # the name of a figure -> what was scored at which IoU
    "precision-boxes-50": ("bbox", 0.5),
    "precision-boxes-75": ("bbox", 0.75),
    "precision-masks-50": ("segm", 0.5),
    "precision-masks-75": ("segm", 0.75),
}
HOVER = "<b>%{text}</b><br>recall %{x:.0f} %: %{y:.1f} %<extra></extra>"


def precision_figures(material: Material) -> dict[str, Figure]:
    """Return a figure for boxes and for masks at two IoUs, with data as far as runs have any."""
    return {name: _figure(material, *what) for name, what in CURVES.items()}


def _figure(material: Material, kind: str, iou: float) -> Figure:
    drawn_with = styles(material.found.variants)
    groups: dict[Style, list[Curve]] = {}
    for i, one in material.examples.items():
        if curve := one.curves.get((kind, iou)):
            recalls = [100 * n / (len(curve) - 1) for n in range(len(curve))]
            groups.setdefault(drawn_with[i], []).append((i, recalls, curve))
    what = "masks" if kind == "segm" else "boxes"
    layout = {
        "xaxis": {"title": {"text": "recall, %"}, "range": [0, 100]},
        "yaxis": {"title": {"text": f"precision of {what}, % (IoU {iou:.2f})"}, "range": [0, 103]},
        "showlegend": False,
    }
    data = [lines(style, curves, 1.6, HOVER) for style, curves in groups.items()]
    return {"data": data, "layout": layout, "of": "variants"}
