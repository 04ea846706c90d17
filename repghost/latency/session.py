"""Networks timed side by side with one reference network, each until its ratio is known."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from repghost.latency.devices.contract import BLOCKS_TOGETHER, TimedNetwork
from repghost.latency.doubts import doubts, exp_interval
from repghost.latency.flags import Flags
from repghost.latency.protocol import Array, Loader, Outcome, Sampler
from repghost.latency.record import Budget
from repghost.latency.statistics import (
    MEDIAN,
    MIDDLE,
    Band,
    Interval,
    difference_interval,
    rounds_interval,
)

GROUP = 4  # networks in memory at a time beside the reference, and between two samples of it
LOOK_AGAIN = 1.1  # times the rounds of the last look at an interval, which takes a while
BLOCK = 5  # rounds; a phone is warm after 15-20 s, so that it must be looked at more often
T = TypeVar("T")


class Pace(NamedTuple):
    """How a kind of device is sampled.

    So many samples in a row at each visit; a network is done after so many rounds at the earliest;
    its time is the mean of the samples between two quantiles. So many rounds `together` are taken
    in one process.
    """

    samples: int
    rounds: int
    band: Band
    together: int


# Where a run is timed alone: the fast ones are those that nothing disturbed. The ratio of all runs
# moved with the neighbours of a shared machine, which slow one network down more than another:
# GhostNet 0.5x / RepGhostNet 0.5x gave 1.30 to 1.34 (cv 1.0 % where the interval promised 0.6 %);
# that of the fast ones was as steady as its interval (0.6 %).
BY_RUNS = Pace(samples=3, rounds=120, band=(0.05, 0.25), together=BLOCK * BLOCKS_TOGETHER)
# Of a program that starts anew for some runs.
BY_CALLS = Pace(samples=1, rounds=30, band=MIDDLE, together=1)


def paired_session(
    models: Sequence[Loader],
    reference: Loader,
    budget: Budget,
    *,
    seed: int,
    fewest_runs: int = 1,
    before_block: Callable[[], list[str]] = list,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[int, Outcome | ValueError]]:
    """Time networks in rounds beside the reference; yield (place in `models`, outcome) when done.

    In a round up to 4 of them, chosen at random, and the reference are loaded anew, and then take
    short samples in turn, in random order forth and back, so that the states of the machine are
    those of all; where a network lies in memory makes it 1-2 % faster or slower for as long as it
    lies there, so every round draws that anew. The ratio is that of the fast samples: see `Pace`.

    A network is done when the half-width of its ratio's interval is at most `precision` times the
    ratio (from the rounds of its `Pace` on), or its budget ends. One that cannot be loaded or timed
    is yielded as that error, and the others go on; without a reference all are. `before_block` is
    called before every 5 rounds and says in words what makes the numbers doubtful; `check` before
    every sample. What they raise, and a DeviceError, goes through.
    """
    session = _Session(models, reference, budget, seed, fewest_runs, check, clock)
    while session.waiting:
        yield from session.leaving()  # first those that could not be loaded at all
        if session.waiting:
            session.block(before_block)


def paired(
    model: Loader,
    reference: Loader,
    budget: Budget,
    *,
    seed: int,
    before_block: Callable[[], list[str]] = list,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Time one network beside the reference, see `paired_session`.

    Raises:
        ValueError: one of them cannot be loaded or timed.
    """
    ((_, found),) = paired_session(
        [model], reference, budget, seed=seed, before_block=before_block, clock=clock
    )
    if isinstance(found, ValueError):
        raise found
    return found


class _Watched:
    """A network that is asked before every sample whether it may still be taken."""

    def __init__(self, network: TimedNetwork, check: Callable[[], None]) -> None:
        self._network, self._check = network, check

    def time_ms(self, runs: int, settle: int = 0) -> float:
        self._check()
        return self._network.time_ms(runs, settle)


class _Side:
    """One network in a session: loaded or not, the samples of this round, or why there are none."""

    def __init__(self, load: Loader, sample: Callable[[Loader], Sampler]) -> None:
        self.error: ValueError | None = None
        self.taken: list[float] = []
        self._network: TimedNetwork | None = None
        self._attempt(lambda: self._begin(sample(load)))

    def _begin(self, sampler: Sampler) -> None:
        self.sampler = sampler

    def load(self) -> None:
        """Load the network anew for a round; it lies elsewhere in memory then."""
        self.taken = []
        self._network = self._attempt(lambda: self.sampler.load())

    def visit(self, samples: int) -> None:
        """Take some samples in a row, unless the network failed before."""
        network, first = self._network, not self.taken
        if network is not None:
            self.taken += (
                self._attempt(lambda: self.sampler.visit_ms(network, samples, first)) or []
            )

    def unload(self) -> None:
        """Give the network's memory back."""
        self._network = None

    def _attempt(self, step: Callable[[], T]) -> T | None:
        """Return what a step gives; None, and the error kept, where it or one before fails."""
        if self.error is None:
            try:
                return step()
            except ValueError as error:
                self.error = error
        return None


class _Subject(_Side):
    """A network that is to be measured: all its rounds beside those of the reference."""

    def __init__(
        self,
        index: int,
        load: Loader,
        sample: Callable[[Loader], Sampler],
        resampling: np.random.SeedSequence,
        pace: Pace,
    ) -> None:
        super().__init__(load, sample)
        self.index, self.seconds, self.flags = index, 0.0, Flags()
        self.rounds: list[tuple[list[float], list[float]]] = []
        self._resampling, self._pace = resampling, pace
        self._next_look = pace.rounds

    def times(self) -> tuple[Array, Array]:
        """Return the times of the network and of the reference, each `(rounds, samples)`."""
        both = np.array(self.rounds)
        return both[:, 0], both[:, 1]

    def ratio(self) -> Interval:
        """Return the ratio to the reference; the same rounds always give the same interval."""
        model, reference = map(np.log, self.times())
        pace = self._pace
        logs = difference_interval(model, reference, self._rng(), pace.band, pace.together)
        return exp_interval(logs)

    def outcome(self, budget: Budget, warmed_up: bool) -> Outcome:
        """Return what the rounds say."""
        (model, reference), ratio = self.times(), self.ratio()
        settled = self.is_settled(budget, ratio)
        return Outcome(
            latency=rounds_interval(model, self._rng(), MEDIAN, self._pace.together),
            ratio=ratio,
            samples_ms=model.ravel(),
            reference_samples_ms=reference.ravel(),
            runs_per_sample=self.sampler.runs,
            settled=settled,
            ended=self._reason(settled, budget),
            warmed_up=warmed_up and self.sampler.warmed_up,
            samples_per_round=model.shape[1],
            flags=(*self.flags.words(), *self._doubts(ratio)),
        )

    def _doubts(self, ratio: Interval) -> list[str]:
        return doubts(*self.times(), ratio, self._rng(), self._pace.band)

    def is_settled(self, budget: Budget, ratio: Interval) -> bool:
        """Whether the ratio is known to the precision that was asked for."""
        return self.is_long_enough and ratio.half_width <= budget.precision * ratio.value

    @property
    def is_long_enough(self) -> bool:
        """Whether there are rounds enough to believe an interval."""
        return len(self.rounds) >= self._pace.rounds

    def is_known(self, budget: Budget) -> bool:
        """Whether it is settled; looked at only when a tenth more rounds are there than before."""
        if len(self.rounds) < self._next_look:
            return False
        self._next_look = math.ceil(LOOK_AGAIN * len(self.rounds))
        return self.is_settled(budget, self.ratio())

    def is_spent(self, budget: Budget) -> bool:
        """Whether the budget is at its end; every network has one round."""
        return bool(self.rounds) and (
            len(self.rounds) >= budget.max_rounds or self.seconds >= budget.max_seconds
        )

    def _reason(self, settled: bool, budget: Budget) -> str:
        if settled:
            return "precision reached"
        return "rounds spent" if len(self.rounds) >= budget.max_rounds else "time spent"

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self._resampling)


class _Session:
    """The reference, the networks that still wait, and the order in which they take turns."""

    def __init__(
        self,
        models: Sequence[Loader],
        reference: Loader,
        budget: Budget,
        seed: int,
        fewest_runs: int,
        check: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        order, *resampling = np.random.SeedSequence(seed).spawn(1 + len(models))
        self.budget, self.clock, self.order = budget, clock, np.random.default_rng(order)

        def sample(load: Loader) -> Sampler:
            return Sampler(lambda: _Watched(load(), check), fewest_runs, clock)

        self.pace = BY_RUNS if fewest_runs == 1 else BY_CALLS
        self.reference = _Side(reference, sample)
        self.waiting = [
            _Subject(index, load, sample, words, self.pace)
            for index, (load, words) in enumerate(zip(models, resampling, strict=True))
        ]
        failed = self.reference.error is not None
        samples = self.pace.samples
        self.visits = 1 if failed else self.reference.sampler.visits_per_load(samples)

    def block(self, before_block: Callable[[], list[str]]) -> None:
        """Take some rounds of all that wait."""
        flags = before_block()
        for subject in self.waiting:
            subject.flags.add(flags)
        for _ in range(BLOCK):
            active = [one for one in self.waiting if not (one.error or one.is_spent(self.budget))]
            shuffled = [active[i] for i in self.order.permutation(len(active)).tolist()]
            for first in range(0, len(shuffled), GROUP):
                self._round(shuffled[first : first + GROUP])

    def leaving(self) -> Iterator[tuple[int, Outcome | ValueError]]:
        """Let those go that are done, and say how."""
        for subject in list(self.waiting):
            found = self._found(subject)
            if found is not None:
                self.waiting.remove(subject)
                yield subject.index, found

    def _found(self, subject: _Subject) -> Outcome | ValueError | None:
        if self.reference.error:
            return ValueError(f"the reference network: {self.reference.error}")
        if subject.error:
            return subject.error
        if not subject.rounds:
            return None
        if subject.is_spent(self.budget) or subject.is_known(self.budget):
            return subject.outcome(self.budget, self.reference.sampler.warmed_up)
        return None

    def _round(self, group: list[_Subject]) -> None:
        """Load some networks and the reference anew and let them take samples in turn."""
        start, sides = self.clock(), [self.reference, *group]
        for i in self.order.permutation(len(sides)).tolist():
            sides[i].load()
        turns: list[int] = []
        for _ in range(self.visits):
            turns = turns[::-1] if turns else self.order.permutation(len(sides)).tolist()
            for i in turns:
                sides[i].visit(self.pace.samples)
        for side in sides:
            side.unload()
        for subject in group:
            subject.seconds += (self.clock() - start) / len(group)
            if not (subject.error or self.reference.error):
                subject.rounds.append((subject.taken, self.reference.taken))
