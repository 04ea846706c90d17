"""How sure the front is: each point's chance to be on it, by drawing all points anew."""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from statistics import stdev

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
DRAWS = 4000
CELLS_AT_ONCE = 2_000_000  # draws x points
SURE = 0.95
NORMAL95 = 1.96


@dataclass(frozen=True)
class Contender:
    """A variant that has a latency and scores in percent, one a seed; latency in ms.

    `error` is the standard error of the latency's logarithm, None where it is not known. Contenders
    of one `graph` share a measurement, those of one `training` their scores.
    """

    label: str
    scores: tuple[float, ...]
    latency_ms: float
    error: float | None
    graph: Hashable
    training: Hashable


@dataclass(frozen=True)
class Points:
    """Comparable points `(n,)`: latency in ms and score in percent, each with what spreads it.

    Points of one `graph` share their latency, points of one `training` their score. `log_error` is
    the standard error of the latency's logarithm, 0 where none is known; `seeds` are counted.
    """

    latency: Array
    log_error: Array
    graph: NDArray[np.int64]
    score: Array
    seeds: NDArray[np.int64]
    training: NDArray[np.int64]
    spread: float | None
    degrees: int

    def __len__(self) -> int:
        return len(self.latency)


@dataclass(frozen=True)
class Chances:
    """Chance of each point to be on the front, and what is left of the doubt by its cause.

    `by_score` is the chance with all latencies held at their medians, `by_latency` with all scores
    held at their means.
    """

    front: Array
    by_score: Array
    by_latency: Array


def log_error(low: float | None, high: float | None) -> float | None:
    """Return the standard error of a logarithm, from a value's 95 % interval; None without one."""
    if low is None or high is None or not 0 < low <= high:
        return None
    return math.log(high / low) / (2 * NORMAL95)


def points_of(contenders: Sequence[Contender]) -> Points:
    """Return contenders as points; their latencies must be comparable."""
    spread, degrees = pooled_spread([one.scores for one in contenders])
    return Points(
        latency=np.array([one.latency_ms for one in contenders]),
        log_error=np.array([one.error or 0.0 for one in contenders]),
        graph=_numbered([one.graph for one in contenders]),
        score=np.array([np.mean(one.scores) for one in contenders]),
        seeds=np.array([len(one.scores) for one in contenders]),
        training=_numbered([one.training for one in contenders]),
        spread=spread,
        degrees=degrees,
    )


def pooled_spread(scores: Sequence[Sequence[float]]) -> tuple[float | None, int]:
    """Return the standard deviation of scores over seeds, pooled over variants, and its degrees.

    None where no variant has a second seed, or all agree to the last digit (a top-1 is a count of
    images): then it is not known, which is not the same as 0.
    """
    several = [some for some in scores if len(some) > 1]
    degrees = sum(len(some) - 1 for some in several)
    squares = sum((len(some) - 1) * stdev(some) ** 2 for some in several)
    if not squares:
        return None, 0
    return math.sqrt(squares / degrees), degrees


def chances(points: Points, draws: int = DRAWS, seed: int = 0) -> Chances:
    """Return each point's chance to be on the front, over `draws` draws of all points.

    Latencies are log-normal, independent between graphs. A score is normal about its mean, with the
    study's pooled spread over the square root of the seeds; the spread itself is drawn from its
    own distribution, so few seeds give the wide tails of Student's t.
    """
    counts = np.zeros((3, len(points)))
    for latency, score in _drawn(points, draws, seed):
        still = np.tile(points.latency, (len(score), 1)), np.tile(points.score, (len(score), 1))
        counts[0] += on_front(latency, score).sum(axis=0)
        counts[1] += on_front(still[0], score).sum(axis=0)
        counts[2] += on_front(latency, still[1]).sum(axis=0)
    return Chances(*(counts / draws))


def front_chances(points: Points, draws: int = DRAWS, seed: int = 0) -> Array:
    """Return what `chances` has as `front`, without the doubt's causes."""
    found = (on_front(*drawn).sum(axis=0) for drawn in _drawn(points, draws, seed))
    return np.asarray(sum(found, np.zeros(len(points))) / draws)


def _drawn(points: Points, draws: int, seed: int) -> Iterator[tuple[Array, Array]]:
    """Yield latencies and scores of all points, some draws at a time."""
    rng = np.random.default_rng(seed)
    step = max(1, CELLS_AT_ONCE // max(1, len(points)))
    for start in range(0, draws, step):
        many = min(step, draws - start)
        yield draw_latency(points, many, rng), draw_scores(points, many, rng)


def draw_latency(points: Points, draws: int, rng: np.random.Generator) -> Array:
    """Draw the latencies `(draws, n)` in ms; points of one graph get the same."""
    luck = rng.standard_normal((draws, _count(points.graph)))[:, points.graph]
    return np.asarray(points.latency * np.exp(points.log_error * luck))


def draw_scores(points: Points, draws: int, rng: np.random.Generator) -> Array:
    """Draw the scores `(draws, n)` in percent; exact where no spread is known."""
    if points.spread is None:
        return np.tile(points.score, (draws, 1))
    sigma = points.spread * np.sqrt(points.degrees / rng.chisquare(points.degrees, (draws, 1)))
    luck = rng.standard_normal((draws, _count(points.training)))[:, points.training]
    return np.asarray(points.score + sigma / np.sqrt(points.seeds) * luck)


def attained(points: Points, within: Array, draws: int = 1000, seed: int = 0) -> Array:
    """Return the 2.5 and 97.5 % quantiles `(2, m)` of the best score within `m` latencies in ms.

    The best that is drawn at each latency, over draws of all points: where a front drawn anew
    would run. -inf where so many draws have nothing so fast.
    """
    rng = np.random.default_rng(seed)
    latency, score = draw_latency(points, draws, rng), draw_scores(points, draws, rng)
    order = np.argsort(latency, axis=1)
    fast, good = (np.take_along_axis(one, order, axis=1) for one in (latency, score))
    best = np.full((draws, len(points) + 1), -np.inf)
    best[:, 1:] = np.maximum.accumulate(good, axis=1)
    places = np.array([np.searchsorted(row, within, side="right") for row in fast])
    found = np.sort(np.take_along_axis(best, places, axis=1), axis=0)
    ends = [int((1 - share) / 2 * (draws - 1)) for share in (SURE, -SURE)]
    return found[ends]


def on_front(latency: Array, score: Array) -> Flags:
    """Say of each point in each row `(rows, n)` if no other of the row dominates it.

    The same front as `pareto_front`, for finite points, row by row.
    """
    rows, n = latency.shape
    if n == 0:
        return np.zeros((rows, 0), dtype=np.bool_)
    order = np.lexsort((-score, latency), axis=1)
    fast, good = (np.take_along_axis(one, order, axis=1) for one in (latency, score))
    opens = np.ones((rows, n), dtype=np.bool_)
    opens[:, 1:] = fast[:, 1:] != fast[:, :-1]
    first = np.maximum.accumulate(np.where(opens, np.arange(n), 0), axis=1)
    before = np.full((rows, n + 1), -np.inf)
    before[:, 1:] = np.maximum.accumulate(good, axis=1)
    best_faster = np.take_along_axis(before, first, axis=1)
    best_as_fast = np.take_along_axis(good, first, axis=1)
    found = np.empty((rows, n), dtype=np.bool_)
    np.put_along_axis(found, order, (good == best_as_fast) & (good > best_faster), axis=1)
    return found


def _numbered(names: Sequence[object]) -> NDArray[np.int64]:
    numbers = {name: n for n, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], dtype=np.int64)


def _count(numbers: NDArray[np.int64]) -> int:
    return int(numbers.max()) + 1 if len(numbers) else 0
