"""Intervals of a median and of a mean by the percentile bootstrap; seeded, vectorised."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RESAMPLES = 2000
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A statistic of the samples between the bounds of its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the distance between the bounds, in the unit of the value."""
        return (self.high - self.low) / 2


def median_interval(samples: Array, rng: np.random.Generator) -> Interval:
    """Return the median of the samples `(n,)` with its bootstrap interval.

    Raises:
        ValueError: there is no sample, or one is not finite.
    """
    _require_samples(samples)
    return _interval(float(np.median(samples)), resampled_medians(samples, RESAMPLES, rng))


def mean_interval(samples: Array, rng: np.random.Generator) -> Interval:
    """Return the mean of the samples `(n,)` with its bootstrap interval.

    Raises:
        ValueError: there is no sample, or one is not finite.
    """
    _require_samples(samples)
    chosen = rng.integers(len(samples), size=(RESAMPLES, len(samples)))
    return _interval(float(samples.mean()), samples[chosen].mean(axis=1))


def resampled_medians(samples: Array, resamples: int, rng: np.random.Generator) -> Array:
    """Draw the medians `(resamples,)` of bootstrap resamples without building the resamples.

    A resample's element is the sorted sample at floor(n U) with U uniform, so its k-th smallest is
    the sorted sample at floor(n U_k), where U_k, the k-th smallest of n uniforms, follows
    Beta(k, n - k + 1). For even n the next one, given U_k = u, is u + (1 - u) Beta(1, n - k).
    """
    ordered, n = np.sort(samples), len(samples)
    k = (n + 1) // 2
    lower = rng.beta(k, n - k + 1, resamples)
    upper = lower if n % 2 else lower + (1 - lower) * rng.beta(1, n - k, resamples)
    middle = [ordered[np.minimum((n * u).astype(np.intp), n - 1)] for u in (lower, upper)]
    return np.asarray((middle[0] + middle[1]) / 2)


def _interval(value: float, resampled: Array) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def _require_samples(samples: Array) -> None:
    if len(samples) == 0 or not np.isfinite(samples).all():
        raise ValueError(f"an interval needs finite samples and at least one, got {samples}")
