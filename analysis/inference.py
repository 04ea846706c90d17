"""Means over seeds with honest intervals: Student's t, bootstrap, Holm."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from scipy.special import stdtr

from analysis.variants import t95
from repghost.decision.chances import NORMAL95

BOOTSTRAP_SEEDS = 10  # with fewer, a percentile bootstrap covers too rarely (docs/analysis.md)
RESAMPLES = 4000
ALPHA = 0.05
T_INTERVAL, BOOTSTRAP, NO_INTERVAL = "t", "bootstrap", "none"


@dataclass(frozen=True)
class Mean:
    """A mean over `n` independent seeds with its 95 % interval and two-sided p against 0.

    `interval` and `p` are None where they cannot be had: one seed, or seeds that agree to the
    last digit (accuracies are counts of images: two equal differences do not mean no spread).
    """

    value: float
    n: int
    interval: tuple[float, float] | None
    p: float | None
    method: str

    @property
    def contains_zero(self) -> bool | None:
        """Whether the interval contains 0; None without an interval."""
        return None if self.interval is None else self.interval[0] <= 0 <= self.interval[1]


def mean_over_seeds(values: Sequence[float]) -> Mean:
    """Return the mean of one value a seed; p is that of Student's t with n - 1 degrees.

    The interval is Student's t for fewer than `BOOTSTRAP_SEEDS` seeds, then a bootstrap over them.

    Raises:
        ValueError: there is no value, or one is not finite.
    """
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"a mean over seeds needs finite values and at least one, got {values}")
    mean, n = fmean(values), len(values)
    spread = stdev(values) if n > 1 else 0.0
    if spread <= 1e-9 * max(1.0, abs(mean)):
        return Mean(mean, n, None, None, NO_INTERVAL)
    p = float(2 * stdtr(n - 1, -abs(mean) * math.sqrt(n) / spread))
    if n < BOOTSTRAP_SEEDS:
        return Mean(mean, n, t_interval(values), p, T_INTERVAL)
    return Mean(mean, n, bootstrap_interval(values), p, BOOTSTRAP)


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return Student's 95 % interval of the mean of two values or more."""
    half = t95(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile-bootstrap interval of the mean, widened for few values.

    A percentile interval forgets the n - 1 and the t: it is widened by sqrt(n / (n - 1)) times the
    quantile of t over that of the normal.
    """
    sample, n = np.asarray(values), len(values)
    means = sample[np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))].mean(axis=1)
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    wide, mean = math.sqrt(n / (n - 1)) * t95(n - 1) / NORMAL95, float(sample.mean())
    return mean - wide * (mean - float(low)), mean + wide * (float(high) - mean)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's adjusted p values; a missing one stays missing and counts for nothing."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = largest
    return adjusted
