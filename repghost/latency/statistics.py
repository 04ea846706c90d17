"""Intervals of medians and means by the percentile bootstrap; seeded, vectorised."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
RESAMPLES = 2000
ROUND_RESAMPLES = 1000
CONFIDENCE = 0.95
SHIFT_CONFIDENCE = 0.99  # a session asks once for each of its networks: 1 false alarm in 100
FEWEST_GROUPS = 4
MIDDLE = (0.25, 0.75)  # between these quantiles lie the values that a mean is of
MEDIAN = (0.5, 0.5)
Band = tuple[float, float]


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


def rounds_interval(
    samples: Array, rng: np.random.Generator, band: Band = MIDDLE, together: int = 1
) -> Interval:
    """Return the mean of the samples `(rounds, visits)` between two quantiles, or the median.

    Samples of one round lie in the same memory, and successive rounds see the same state of the
    machine. So what is resampled is neither: stretches of successive rounds are, n^(1/3) long. Of
    rounds of which so many were taken `together`, in one process, such groups are resampled once
    there are 4. The interval is widened for the small number of either as Student's t is, which a
    percentile forgets.

    Raises:
        ValueError: there is no sample, or one is not finite.
    """
    _require_samples(samples)
    drawn = _drawn(len(samples), rng, together)
    return _widened(*_resampled(samples, drawn.counts, band), drawn.parts)


def difference_interval(
    ones: Array, others: Array, rng: np.random.Generator, band: Band, together: int = 1
) -> Interval:
    """Return the difference of two means between quantiles, of samples of the same rounds.

    Each is `(rounds, visits)`; a resample takes the same rounds of both, see `rounds_interval`.

    Raises:
        ValueError: there is no sample, or one is not finite.
    """
    _require_samples(ones)
    _require_samples(others)
    drawn = _drawn(len(ones), rng, together)
    (one, some), (other, rest) = (_resampled(each, drawn.counts, band) for each in (ones, others))
    return _widened(one - other, some - rest, drawn.parts)


def _widened(value: float, resampled: Array, parts: float) -> Interval:
    free = max(parts - 1, 1.0)
    # sqrt(n / (n - 1)) times the quantile of Student's t over that of the normal, to 1 % from 4 on
    wide = 1 + 1.71 / free + 2.2 / free**2
    low, high = _interval(value, resampled)[1:]
    return Interval(value, value - wide * (value - low), value + wide * (high - value))


def shift_interval(before: Array, after: Array, rng: np.random.Generator) -> Interval:
    """Return by how much the middle mean of `(rounds, visits)` moved, with its 99 % interval.

    Raises:
        ValueError: there is no sample, or one is not finite.
    """
    _require_samples(before)
    _require_samples(after)
    (old, olds), (new, news) = (
        _resampled(one, _drawn(len(one), rng).counts, MIDDLE) for one in (before, after)
    )
    return _interval(new - old, news - olds, SHIFT_CONFIDENCE)


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


def _resampled(samples: Array, counts: Counts, band: Band) -> tuple[float, Array]:
    """Return the mean of the samples in the band, and those of their resamples `(resamples,)`."""
    order = np.argsort(samples, axis=None)
    ordered, rounds_of = samples.ravel()[order], order // samples.shape[1]
    value = _band_means(ordered, np.ones((1, samples.size), dtype=np.int64), band)
    return float(value[0]), _band_means(ordered, counts[:, rounds_of], band)


class _Drawn(NamedTuple):
    """How often each round is in each resample `(ROUND_RESAMPLES, rounds)`, and of how many parts.

    A resample of groups need not have as many rounds as there are.
    """

    counts: Counts
    parts: float


def _drawn(rounds: int, rng: np.random.Generator, together: int = 1) -> _Drawn:
    groups = -(-rounds // together)
    if together > 1 and groups >= FEWEST_GROUPS:
        often = rng.multinomial(groups, np.full(groups, 1 / groups), size=ROUND_RESAMPLES)
        return _Drawn(np.repeat(often, together, axis=1)[:, :rounds], groups)
    length = max(1, round(math.cbrt(rounds)))
    return _Drawn(_stretches(rounds, length, rng), rounds / length)


def _stretches(rounds: int, length: int, rng: np.random.Generator) -> Counts:
    """Draw stretches of successive rounds `(ROUND_RESAMPLES, rounds)`.

    The last round is followed by the first. The last stretch of a resample is cut off.
    """
    starts = rng.integers(rounds, size=(ROUND_RESAMPLES, -(-rounds // length)))
    drawn = (starts[:, :, None] + np.arange(length)).reshape(ROUND_RESAMPLES, -1)[:, :rounds]
    rows = np.arange(ROUND_RESAMPLES)[:, None] * rounds
    flat = np.bincount((rows + drawn % rounds).ravel(), minlength=ROUND_RESAMPLES * rounds)
    return flat.reshape(ROUND_RESAMPLES, rounds)


def _band_means(ordered: Array, counts: Counts, band: Band) -> Array:
    """Return the mean of each row's samples between two quantiles `(rows,)`.

    Sample i of the sorted ones counts `counts[row, i]` times. The median is the middle 1 or 2; any
    other band has one sample at least.
    """
    upto = np.cumsum(counts, axis=1)
    total = upto[:, -1:]
    middle, half = sum(band) / 2 * total, (band[1] - band[0]) / 2 * total
    half = np.maximum(half, 1.0 - total % 2 / 2 if band == MEDIAN else 0.5)
    first = np.maximum(0.0, middle - half)
    inside: Array = np.diff(np.clip(upto, first, first + 2 * half), axis=1, prepend=first)
    return np.asarray(inside @ ordered / (2 * half[:, 0]))


def _interval(value: float, resampled: Array, confidence: float = CONFIDENCE) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def _require_samples(samples: Array) -> None:
    if samples.size == 0 or not np.isfinite(samples).all():
        raise ValueError(f"an interval needs finite samples and at least one, got {samples}")
