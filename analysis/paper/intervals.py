"""What the comparison needs of statistics: quotients of intervals, and rank correlation."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from repghost.latency.statistics import Interval

Array = NDArray[np.float64]
ONE = Interval(1.0, 1.0, 1.0)
RESAMPLES = 5000
SEED = 0
LEAST = 3  # points of a correlation


def quotient(a: Interval, b: Interval) -> Interval:
    """Return a / b of two independent positive values, their intervals combined on the log scale.

    On the log scale a quotient is a difference, whose half-widths add in squares; exact for
    log-normal values.
    """
    value = a.value / b.value
    down = math.hypot(math.log(a.value / a.low), math.log(b.high / b.value))
    up = math.hypot(math.log(a.high / a.value), math.log(b.value / b.low))
    return Interval(value, value * math.exp(-down), value * math.exp(up))


def difference(a: Interval, b: Interval) -> Interval:
    """Return a - b of two independent values, their half-widths combined in squares."""
    value = a.value - b.value
    down = math.hypot(a.value - a.low, b.high - b.value)
    up = math.hypot(a.high - a.value, b.value - b.low)
    return Interval(value, value - down, value + up)


def holds(found: Interval, target: float, tolerance: float) -> str:
    """Say if a value is within `tolerance` (0.05: 5 %) of `target`: "yes", "no", "not settled"."""
    low, high = target * (1 - tolerance), target * (1 + tolerance)
    if low <= found.low and found.high <= high:
        return "yes"
    return "no" if found.high < low or found.low > high else "not settled"


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Return Spearman's rank correlation, equal values at their mean rank; NaN if one is constant.

    Raises:
        ValueError: the sequences differ in length or have fewer than 3 values.
    """
    if len(x) != len(y) or len(x) < LEAST:
        raise ValueError(f"{len(x)} and {len(y)} values: a correlation needs as many, at least 3")
    return _correlation(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))


def spearman_interval(x: Sequence[float], y: Sequence[float]) -> Interval:
    """Return Spearman's rank correlation with its 95 % bootstrap interval over the pairs."""
    value = spearman(x, y)
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    chosen = np.random.default_rng(SEED).integers(len(first), size=(RESAMPLES, len(first)))
    found = np.array([_correlation(first[one], second[one]) for one in chosen])
    found = found[np.isfinite(found)]  # a resample of one pair alone has none
    if not len(found):
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _correlation(x: Array, y: Array) -> float:
    a, b = (ranks - ranks.mean() for ranks in (_ranks(x), _ranks(y)))
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale else math.nan


def _ranks(values: Array) -> Array:
    """Return ranks from 1; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[places], dtype=np.float64)
