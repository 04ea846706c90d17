"""Names beside points, placed so that none covers another, a point, its bars or a line."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

MARKER_PT = 5.0
LINE_PT = 1.5
GAPS_PT = (4, 9, 16, 26, 40, 60)  # from a point to its name, near before far
NEAR_PT = 16  # a name beyond has a thin line to its point
FREE = 0.5  # square pixels that are nothing
STEPS = 60  # a slanted line is boxes along it
LEADER = {"arrowstyle": "-", "linewidth": 0.5, "color": "#5a6775", "shrinkA": 0, "shrinkB": 3}


class Label(NamedTuple):
    """What to write beside the point (x, y), in data coordinates; lines apart by newlines."""

    x: float
    y: float
    text: str


class Box(NamedTuple):
    """A rectangle in pixels of the figure."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "Box") -> float:
        """Return the area that both share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.top - self.bottom)


class Spot(NamedTuple):
    """Where a label could stand: what it would cover, in square pixels, and where that is."""

    cost: float
    gap: float
    offset: tuple[float, float]
    box: Box


Line = Sequence[tuple[float, float]]


def place(axes: Axes, labels: Sequence[Label], lines: Iterable[Line]) -> None:
    """Write the labels where they cover least; `lines` through data points are kept free too.

    Call it when all else is drawn and the axes have their limits: the layout is settled here, and
    what is written does not change it.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    px = figure.dpi / 72
    inside = Box(*axes.get_window_extent().extents)
    taken = [box for line in lines for box in _along(axes, line, LINE_PT / 2 * px)]
    taken += [_around(axes.transData.transform((x, y)), MARKER_PT / 2 * px) for x, y, _ in labels]
    for label in labels:
        spot = _best(axes, label, taken, inside, px)
        taken.append(spot.box)
        axes.annotate(
            label.text,
            (label.x, label.y),
            spot.offset,
            textcoords="offset points",
            ha="center",
            va="center",
            arrowprops=LEADER if spot.gap > NEAR_PT else None,
            in_layout=False,
        )


def _along(axes: Axes, line: Line, half: float) -> Iterator[Box]:
    """Return boxes that cover a line: one where it is upright or level, else many."""
    points = axes.transData.transform(np.asarray(line, dtype=float))
    for (x0, y0), (x1, y1) in pairwise(points):
        steps = 1 if x0 == x1 or y0 == y1 else STEPS
        xs, ys = np.linspace(x0, x1, steps + 1), np.linspace(y0, y1, steps + 1)
        for n in range(steps):
            (left, right), (bottom, top) = sorted(xs[n : n + 2]), sorted(ys[n : n + 2])
            yield Box(left - half, bottom - half, right + half, top + half)


def _around(point: NDArray[np.float64], half: float) -> Box:
    x, y = point
    return Box(x - half, y - half, x + half, y + half)


def _best(axes: Axes, label: Label, taken: Sequence[Box], inside: Box, px: float) -> Spot:
    """Return the first free spot, else the one where the label covers least."""
    written = axes.text(label.x, label.y, label.text)
    extent = written.get_window_extent()
    written.remove()
    x, y = axes.transData.transform((label.x, label.y))
    spots = []
    for gap, dx, dy in _offsets(extent.width / 2 / px, extent.height / 2 / px):
        left, bottom = x + dx * px - extent.width / 2, y + dy * px - extent.height / 2
        box = Box(left, bottom, left + extent.width, bottom + extent.height)
        outside = box.area - box.overlap(inside)
        spot = Spot(4 * outside + sum(map(box.overlap, taken)), gap, (dx, dy), box)
        if spot.cost < FREE:
            return spot
        spots.append(spot)
    return min(spots)


def _offsets(half_width: float, half_height: float) -> Iterator[tuple[float, float, float]]:
    """Return (gap, x, y) in points of a label's middle: near before far, beside before aslant."""
    for gap in GAPS_PT:
        dx, dy = half_width + gap, half_height + gap
        for right, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            yield gap, right * dx, up * dy
