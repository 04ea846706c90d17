"""The exact accuracy-latency front."""

import math
from collections.abc import Sequence
from itertools import groupby


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the points that no other point dominates, from fast to slow.

    A point is (latency, score): better is lower, and higher. A dominates B if it
    is no worse in both and better in one; so equal points stay on the front together. Points
    with a NaN or an infinity are left out. O(n log n).
    """
    finite = [i for i, point in enumerate(points) if all(map(math.isfinite, point))]
    finite.sort(key=lambda i: (points[i][0], -points[i][1], i))
    front: list[int] = []
    best = -math.inf
    for _, group in groupby(finite, key=lambda i: points[i][0]):
        same_latency = list(group)
        top = points[same_latency[0]][1]
        if top > best:
            front += [i for i in same_latency if points[i][1] == top]
            best = top
    return front
