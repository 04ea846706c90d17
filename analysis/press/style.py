"""How the figures look, and how they are written: equal data give equal bytes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repghost.atomic import replace_file

COLUMN, PAGE = 3.3, 7.0  # inches: one column, both
# Okabe and Ito's colours, and one more that is darker: told apart also by the colour-blind. Markers
# tell apart without colours. As many as Table 3 has families with a latency.
COLORS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f"),
    "#661100",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")
DASHES, FILLS = ("-", "--", ":", "-."), ("full", "none", "left", "right")
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 7,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": "#dfe4ea",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "legend.frameon": False,
    "text.parse_math": False,  # a $ in a name is a $
    "pdf.fonttype": 42,  # TrueType, embedded
    "svg.fonttype": "path",  # letters as outlines: looks the same everywhere
    "svg.hashsalt": "repghost",
}
NO_DATES: Mapping[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this style within it, whatever the user's own matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of `width` x `height` inches with so many panels side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def mark(number: int) -> dict[str, Any]:
    """Return colour and marker of a series."""
    return {
        "color": COLORS[number % len(COLORS)],
        "marker": MARKERS[(number + number // len(COLORS)) % len(MARKERS)],
    }


def stroke(number: int) -> dict[str, Any]:
    """Return dashes and the marker's filling: 16 of them tell series of one `mark` apart."""
    return {
        "linestyle": DASHES[number % len(DASHES)],
        "fillstyle": FILLS[number // len(DASHES) % len(FILLS)],
    }


def write(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as SVG and PDF, each whole or not at all, and return the paths."""
    paths = [folder / f"{name}.{kind}" for kind in NO_DATES]
    for path, (kind, metadata) in zip(paths, NO_DATES.items(), strict=True):
        draw = partial(figure.savefig, format=kind, metadata=metadata)
        replace_file(path, draw)
    return paths
