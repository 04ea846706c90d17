"""One network in a session: its loads and samples round by round, and what they say so far."""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np

from repghost.latency.devices.contract import BLOCKS_TOGETHER, TimedNetwork
from repghost.latency.doubts import doubts, exp_interval
from repghost.latency.flags import Flags
from repghost.latency.protocol import Array, Loader, Outcome, Sampler
from repghost.latency.record import Budget
from repghost.latency.states import Usual
from repghost.latency.statistics import (
    MEDIAN,
    MIDDLE,
    Band,
    Interval,
    difference_interval,
    rounds_interval,
)

LOOK_AGAIN = 1.1  # times the rounds of the last look at an interval, which takes a while
PATIENCE = 2  # times the fewest rounds, for the usual state of the machine
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


class Watched:
    """A network that is asked before every sample whether it may still be taken."""

    def __init__(self, network: TimedNetwork, check: Callable[[], None]) -> None:
        self._network, self._check = network, check

    def time_ms(self, runs: int, settle: int = 0) -> float:
        self._check()
        return self._network.time_ms(runs, settle)


class Side:
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


class Subject(Side):
    """A network that is to be measured: all its rounds beside those of the reference."""

    def __init__(
        self,
        index: int,
        load: Loader,
        sample: Callable[[Loader], Sampler],
        resampling: np.random.SeedSequence,
        pace: Pace,
        usual: Usual,
    ) -> None:
        super().__init__(load, sample)
        self.index, self.seconds, self.flags = index, 0.0, Flags()
        self.rounds: list[tuple[list[float], list[float]]] = []
        self._resampling, self._pace, self._usual = resampling, pace, usual
        self._next_look = pace.rounds

    def times(self) -> tuple[Array, Array]:
        """Return the times of the network and of the reference, each `(rounds, samples)`."""
        both = np.array(self.rounds)
        return both[:, 0], both[:, 1]

    def counted(self) -> tuple[Array, Array]:
        """Return those of its `times` that the ratio is taken from."""
        model, reference = self.times()
        rounds = self._usual.rounds(reference)
        return model[rounds], reference[rounds]

    def ratio(self) -> Interval:
        """Return the ratio to the reference; the same rounds always give the same interval."""
        model, reference = map(np.log, self.counted())
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
            rounds_counted=len(self.counted()[0]),
            flags=(*self.flags.words(), *self._doubts(ratio)),
        )

    def _doubts(self, ratio: Interval) -> list[str]:
        within = doubts(*self.counted(), ratio, self._rng(), self._pace.band)
        return [*self._usual.doubt(self.times()[1]), *within]

    def is_settled(self, budget: Budget, ratio: Interval) -> bool:
        """Whether the ratio is known to the precision that was asked for, in the usual state."""
        is_known = ratio.half_width <= budget.precision * ratio.value
        return self.is_long_enough and is_known and self._usual.is_met(self.times()[1])

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
        """Whether the budget is at its end, or waiting in vain is; every network has one round."""
        return bool(self.rounds) and (
            len(self.rounds) >= budget.max_rounds
            or self.seconds >= budget.max_seconds
            or self._waits_in_vain
        )

    @property
    def _waits_in_vain(self) -> bool:
        """Whether the machine was hardly ever as usual, for as long again as a session takes."""
        fewest = PATIENCE * self._pace.rounds
        return len(self.rounds) >= fewest and not self._usual.is_met(self.times()[1])

    def _reason(self, settled: bool, budget: Budget) -> str:
        if settled:
            return "precision reached"
        if len(self.rounds) >= budget.max_rounds:
            return "rounds spent"
        return "time spent" if self.seconds >= budget.max_seconds else "the machine is not as usual"

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self._resampling)
