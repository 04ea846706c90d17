"""A mask as outlines that a browser can draw; no torch is imported here."""

import numpy as np

from repghost.detection.annotations import Mask

Outline = list[int]  # x, y, x, y, ... in pixels: corners of a closed line along pixels' edges
Corner = tuple[int, int]
# A pixel's sides by the neighbour that they part it from: (rows, columns) to it, begin, end.
SIDES = (
    ((-1, 0), (0, 0), (1, 0)),
    ((0, 1), (1, 0), (1, 1)),
    ((1, 0), (1, 1), (0, 1)),
    ((0, -1), (0, 1), (0, 0)),
)


def outlines(mask: Mask) -> list[Outline]:
    """Return the closed lines around what is set in `(H, W)`, holes included.

    Filled by the even-odd rule they are the mask, to the pixel.
    """
    onward = _sides(mask)
    found: list[Outline] = []
    while onward:
        begin = next(iter(onward))
        line, at = [begin], _step(onward, begin)
        while at != begin:
            line.append(at)
            at = _step(onward, at)
        found.append([number for corner in _corners(line) for number in corner])
    return found


def _sides(mask: Mask) -> dict[Corner, list[Corner]]:
    """Return where the sides between set and clear pixels lead from each of their ends."""
    around = np.pad(mask.astype(bool), 1)
    height, width = mask.shape
    onward: dict[Corner, list[Corner]] = {}
    for (down, right), begin, end in SIDES:
        neighbour = around[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        rows, columns = np.nonzero(around[1:-1, 1:-1] & ~neighbour)
        for y, x in zip(rows.tolist(), columns.tolist(), strict=True):
            first, last = (x + begin[0], y + begin[1]), (x + end[0], y + end[1])
            onward.setdefault(first, []).append(last)
    return onward


def _step(onward: dict[Corner, list[Corner]], at: Corner) -> Corner:
    """Take a side that leads on from here; each is taken once."""
    ends = onward[at]
    end = ends.pop()
    if not ends:
        del onward[at]
    return end


def _corners(line: list[Corner]) -> list[Corner]:
    """Return the points of a closed line at which it turns."""
    around = zip([line[-1], *line[:-1]], line, [*line[1:], line[0]], strict=True)
    return [at for before, at, after in around if not _straight(before, after)]


def _straight(before: Corner, after: Corner) -> bool:
    return before[0] == after[0] or before[1] == after[1]
