"""Which runs would decide most about the front: a further seed, or a longer measurement."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from repghost.decision.chances import (
    DRAWS,
    SURE,
    Array,
    Contender,
    Flags,
    Points,
    draw_latency,
    draw_scores,
    front_chances,
    on_front,
    points_of,
)

Kind = Literal["seed", "rounds"]
ROUNDS_MORE = 4  # times as many rounds give half the interval
ASSUMED_POINTS = 1.0  # standard deviation between seeds, as of `stop.points`
ASSUMED_DEGREES = 2  # that many degrees of freedom it is worth
MOST = 200  # contenders that are looked at; others are sure
BINS = 20


@dataclass(frozen=True)
class NextRun:
    """One run: a `seed` more of a contender, or more `rounds` of its graph, by its place.

    `share` is how much of the doubt about who is on the front it is expected to take, 0 to 1.
    """

    kind: Kind
    place: int
    share: float

    def words(self, contenders: Sequence[Contender]) -> str:
        """Say it in words."""
        label = contenders[self.place].label
        what = (
            f"one more seed of {label}"
            if self.kind == "seed"
            else f"{ROUNDS_MORE} times the latency rounds of {label}"
        )
        return f"{what} (expected to take {self.share:.0%} of the doubt)"


def is_undecided(chance: float) -> bool:
    """Whether a point with this chance may be on the front, or not."""
    return 1 - SURE < chance < SURE


def next_runs(
    contenders: Sequence[Contender],
    count: int,
    at_work: Sequence[NextRun] = (),
    assumed: float = ASSUMED_POINTS,
    *,
    with_rounds: bool = True,
) -> list[NextRun]:
    """Return up to `count` runs, each the one that is expected to take most of the doubt.

    Each is chosen as if those before it, and those `at_work`, had confirmed the scores as they are;
    so there are fewer where that would decide everything. Where no contender has a second seed,
    seeds are taken to differ by a standard deviation of `assumed` points. Without `with_rounds`
    latencies stay as they are, as under a protocol that has a set number of runs.
    """
    if len(contenders) < 2:
        return []
    points = known_or_assumed(points_of(contenders), assumed)
    for run in at_work:
        points = _confirmed(points, run)
    runs: list[NextRun] = []
    while len(runs) < count and (best := _best(points, with_rounds)):
        runs.append(best)
        points = _confirmed(points, best)
    return runs


def open_places(contenders: Sequence[Contender], assumed: float = ASSUMED_POINTS) -> list[int]:
    """Return the places of those that may be on the front, or not, as `next_runs` sees it."""
    if len(contenders) < 2:
        return []
    return _undecided(front_chances(known_or_assumed(points_of(contenders), assumed)))


def _undecided(front: Array) -> list[int]:
    return [i for i, chance in enumerate(front) if is_undecided(float(chance))]


def known_or_assumed(points: Points, assumed: float = ASSUMED_POINTS) -> Points:
    """Return points whose seeds have a spread: the pooled one, else the one that is assumed."""
    if points.spread is not None:
        return points
    return replace(points, spread=assumed, degrees=ASSUMED_DEGREES)


def _best(points: Points, with_rounds: bool) -> NextRun | None:
    """Return the run that is expected to take most of the doubt, None where there is none."""
    front = front_chances(points)
    doubted = _undecided(front)
    if not doubted:
        return None
    places = _in_question(front, doubted)
    few = _taken(points, places)
    here = [places.index(i) for i in doubted if i in places]
    runs = [
        NextRun(kind, places[i], share)
        for kind, i, share in _shares(few, here, np.random.default_rng(0))
        if with_rounds or kind == "seed"
    ]
    return max(runs, key=lambda run: run.share) if runs else None


def _in_question(front: Array, doubted: Sequence[int]) -> list[int]:
    """Return those who were on some front: the others have no part in it."""
    ever = [i for i, chance in enumerate(front) if chance > 0]
    ever.sort(key=lambda i: (i not in doubted, abs(front[i] - 0.5)))
    return sorted(ever[:MOST])


def _shares(
    points: Points, doubted: Sequence[int], rng: np.random.Generator
) -> Iterator[tuple[Kind, int, float]]:
    """Yield for each run the share of the doubt that its outcome explains.

    The doubt about a point is the variance of its being on the front, p (1 - p). What a run is
    expected to take of it is the variance of the chance given the run's outcome (the law of total
    variance), here over draws of the truth and of an outcome about it, cut into `BINS`.
    """
    assert points.spread is not None
    latency, score = draw_latency(points, DRAWS, rng), draw_scores(points, DRAWS, rng)
    flags = on_front(latency, score)[:, doubted]
    doubt = float(flags.var(axis=0).sum())
    if not doubt:
        return
    for i in range(len(points)):
        seen = score[:, i] + points.spread * rng.standard_normal(DRAWS)
        yield "seed", i, _explained(seen, flags) / doubt
    for graph in np.unique(points.graph):
        i = int(np.argmax(points.graph == graph))
        error = points.log_error[i] / math.sqrt(ROUNDS_MORE)
        if error > 0:
            seen = np.log(latency[:, i]) + error * rng.standard_normal(DRAWS)
            yield "rounds", i, _explained(seen, flags) / doubt


def _explained(seen: Array, flags: Flags) -> float:
    """Return the variance of the columns of `flags` that an outcome explains, summed."""
    order = np.argsort(seen, kind="stable")
    binned = flags[order].reshape(BINS, -1, flags.shape[1])
    means, size = binned.mean(axis=1), binned.shape[1]
    by_chance = (means * (1 - means)).mean(axis=0) / (size - 1)  # means of bins differ by luck too
    return max(0.0, float((means.var(axis=0) - by_chance).sum()))


def _confirmed(points: Points, run: NextRun) -> Points:
    """Return points as they would be had a run brought the means that are there now."""
    if run.kind == "seed":
        one_more = points.training == points.training[run.place]
        return replace(points, seeds=points.seeds + one_more)
    same_graph = points.graph == points.graph[run.place]
    narrower = points.log_error / math.sqrt(ROUNDS_MORE)
    return replace(points, log_error=np.where(same_graph, narrower, points.log_error))


def _taken(points: Points, places: Sequence[int]) -> Points:
    """Return some of the points."""
    some = np.array(places)
    return replace(
        points,
        latency=points.latency[some],
        log_error=points.log_error[some],
        graph=points.graph[some],
        score=points.score[some],
        seeds=points.seeds[some],
        training=points.training[some],
    )
