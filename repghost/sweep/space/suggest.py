"""Optuna's samplers, asked for points and told of results, within a few milliseconds each."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from repghost.sweep.space.dimensions import Choice, Dimension
from repghost.sweep.space.exclude import Scalar, same, scalar
from repghost.sweep.space.points import SamplerSpec

POPULATION = 50  # of a generation of NSGA-II
STARTUP = 4  # random points a dimension before TPE: better fronts than Optuna's 10 in all


def _tpe(seed: int, dimensions: int) -> BaseSampler:
    startup = max(10, STARTUP * dimensions)
    return TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=startup)


MAKERS: dict[str, Callable[[int, int], BaseSampler]] = {  # from a seed and how many dimensions
    "tpe": _tpe,
    "nsga2": lambda seed, _: NSGAIISampler(seed=seed, population_size=POPULATION),
    "random": lambda seed, _: RandomSampler(seed=seed),
}
# What a sampler is shown; see `Suggester`.
FRONT = 100
LATEST = 300
BROKEN = 100
AT_WORK = 100
REFRESH = 200  # questions and results until it is chosen anew

Params = dict[str, Any]  # a point as Optuna has it, by key: a choice's index, an interval's number


@dataclass(frozen=True)
class Score:
    """What is known of a point: `score` in %, and by how much it breaks a limit (0: it does not).

    What is not known stays at its default: no accuracy counts as none.
    """

    score: float = 0.0
    latency_ms: float = 0.0
    violation: float = 0.0


@dataclass(frozen=True, eq=False)
class Suggestion:
    """A point that somebody is at work on: one value a dimension, by its key."""

    values: dict[str, Scalar]
    params: Params = field(repr=False)


class Suggester:
    """A sampler over all that it is told: the score is maximised, latency minimised.

    It works on a study in memory, beside the ledger, and shows the sampler a part of what it was
    told, because TPE's time grows with every result (116 ms at 10,000): `FRONT` points along the
    Pareto front, the `LATEST` results that keep the limits, and `BROKEN` that do not. What is left
    out is old and mostly dominated, and TPE uses little of that: it seeks where the best tenth is
    denser than the rest, and the rest weighs the less the older it is. On a space of 8 dimensions
    the front found in 1,500 trials was as good as with everything shown. NSGA-II breeds from its
    last generations alone.

    A point that breaks a limit is a result with a constraint violated: the samplers compare by how
    much, never by its scores, and prefer every point that keeps the limits. Points at work repel
    TPE (its constant liar), so that many at once are not all the same. Equal seed and history give
    equal suggestions.
    """

    def __init__(self, dimensions: Sequence[Dimension], sampler: SamplerSpec) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._dimensions, self._sampler = dimensions, sampler
        self._distributions = {one.key: _distribution(one) for one in dimensions}
        self._told: list[tuple[Params, Score]] = []
        self._at_work: dict[Suggestion, int | None] = {}  # with the number of its trial, if shown
        self._study: optuna.Study | None = None
        self._changes = self._results = 0  # in this study

    def ask(self) -> Suggestion:
        """Return a point to try; it is at work until it is told or dropped."""
        self._study = study = self._study or self._refreshed()
        trial = study.ask(self._distributions)
        suggestion = self._suggestion(trial.params)
        self._at_work[suggestion] = trial.number
        self._count()
        return suggestion

    def adopt(self, values: Mapping[str, Scalar]) -> Suggestion | None:
        """Return a point chosen elsewhere as one at work; None where it is not in this space.

        `values` are by key; its leading + may be missing, as in `Point.swept`.
        """
        given = {key.lstrip("+"): value for key, value in values.items()}
        if any(one.key.lstrip("+") not in given for one in self._dimensions):
            return None
        params = {one.key: _param(one, given[one.key.lstrip("+")]) for one in self._dimensions}
        if None in params.values():
            return None
        suggestion = self._suggestion(params)
        self._at_work[suggestion] = self._show(self._study, params)
        self._count()
        return suggestion

    def tell(self, suggestion: Suggestion, score: Score) -> None:
        """Learn what became of a point that was at work.

        A known point may be told again whenever it is suggested again. The samplers then look
        elsewhere: without it TPE found half as many points of a front of 37 in 200 trials.
        """
        self.drop(suggestion)
        self._told.append((suggestion.params, score))
        self._show(self._study, suggestion.params, score)
        self._count()

    def drop(self, suggestion: Suggestion) -> None:
        """Forget a point that was at work; nothing is learnt from it."""
        number = self._at_work.pop(suggestion)
        if self._study is not None and number is not None:
            self._study.tell(number, state=TrialState.FAIL)

    def _count(self) -> None:
        """Give up a study that has grown by `REFRESH`; the next question makes another."""
        self._changes += 1
        if self._changes >= REFRESH:
            self._study = None

    def _refreshed(self) -> optuna.Study:
        """Return a study of what the sampler is to see from now on."""
        known = len(self._told) + len(self._at_work)  # no sampler should begin as an earlier one
        seed = random.Random(f"{self._sampler.seed} {known}").getrandbits(32)
        sampler = MAKERS[self._sampler.name](seed, len(self._dimensions))
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        self._changes = self._results = 0
        for place in _worth_showing([score for _, score in self._told]):
            self._show(study, *self._told[place])
        self._at_work = dict.fromkeys(self._at_work)
        for suggestion in list(self._at_work)[-AT_WORK:]:
            self._at_work[suggestion] = self._show(study, suggestion.params)
        return study

    def _show(
        self, study: optuna.Study | None, params: Params, score: Score | None = None
    ) -> int | None:
        """Add a result, or a point at work, to a study, if there is one; return its number."""
        if study is None:
            return None
        study.add_trial(self._running(params) if score is None else self._ended(params, score))
        return len(study.get_trials(deepcopy=False)) - 1

    def _running(self, params: Params) -> FrozenTrial:
        state, distributions = TrialState.RUNNING, self._distributions
        return create_trial(state=state, params=params, distributions=distributions)

    def _ended(self, params: Params, score: Score) -> FrozenTrial:
        attrs = {}
        if self._sampler.name == "nsga2":  # it looks for its parents by this
            attrs[NSGAIISampler._get_generation_key()] = self._results // POPULATION
        self._results += 1
        return create_trial(
            params=params,
            distributions=self._distributions,
            values=[score.score, score.latency_ms],
            constraints={"limits": score.violation} if score.violation else None,
            system_attrs=attrs,
        )

    def _suggestion(self, params: Params) -> Suggestion:
        values = {one.key: _value(one, params[one.key]) for one in self._dimensions}
        return Suggestion(values, params)


def _worth_showing(scores: Sequence[Score]) -> list[int]:
    """Return which results a sampler is shown, oldest first."""
    kept = [i for i, score in enumerate(scores) if not score.violation]
    broken = [i for i, score in enumerate(scores) if score.violation]
    front: list[int] = []
    for i in sorted(kept, key=lambda i: (scores[i].latency_ms, -scores[i].score)):
        if not front or scores[i].score > scores[front[-1]].score:
            front.append(i)
    every = max(1.0, (len(front) - 1) / (FRONT - 1))
    along = [front[round(i * every)] for i in range(min(len(front), FRONT))]
    return sorted({*along, *kept[-LATEST:], *broken[-BROKEN:]})


def _distribution(dimension: Dimension) -> BaseDistribution:
    """Return what Optuna is to sample from; of a choice the index, as 1 and true are equal."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(range(len(dimension.values)))
    low, high, log = dimension.low, dimension.high, dimension.log
    if dimension.integer:
        return IntDistribution(int(low), int(high), log=log, step=int(dimension.step or 1))
    return FloatDistribution(low, high, log=log, step=dimension.step)


def _value(dimension: Dimension, param: Any) -> Scalar:
    """Return the value that a parameter stands for; of a number as the interval writes it."""
    if isinstance(dimension, Choice):
        return dimension.values[int(param)][0]
    return scalar(dimension.text(param))


def _param(dimension: Dimension, value: Scalar) -> Any | None:
    """Return the parameter that stands for a value; None where there is no such value."""
    if isinstance(dimension, Choice):
        places = (i for i, (known, _) in enumerate(dimension.values) if same(known, value))
        return next(places, None)
    try:
        number = scalar(dimension.text(value))
    except ValueError:
        return None
    return number if same(number, value) else None
