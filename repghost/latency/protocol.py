"""How a latency is taken: `paired` against a reference network, or as the paper does."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repghost.latency.device import TimedNetwork
from repghost.latency.statistics import Interval, mean_interval, median_interval

Array = NDArray[np.float64]
Loader = Callable[[], TimedNetwork]  # loads the network anew at every call

SAMPLE_MS = 4.0  # a sample of one 0.2 ms run would time the clock and the cache, not the network
MOST_RUNS = 1000
SETTLING_RUNS = 10  # as many as the paper's protocol has to warm up, but for no longer than
SETTLING_MS = 60.0
MIN_ROUNDS = 30
CHECK_EVERY = 10
WARM_UP_BLOCK = 5  # samples
WARM_UP_BLOCKS = 20
WARM_UP_CHANGE = 0.02
PAPER_WARM_UP = 10
PAPER_RUNS = 100


@dataclass(frozen=True)
class Outcome:
    """What a protocol found; the samples are `(n,)`, a pair of them per round.

    Under `paper`, `ratio` is None and the reference has no samples.
    """

    latency: Interval
    ratio: Interval | None
    samples_ms: Array
    reference_samples_ms: Array
    runs_per_sample: int
    settled: bool
    ended: str
    warmed_up: bool

    @property
    def reference_median_ms(self) -> float | None:
        """The median time of the reference, None where there was none."""
        return _median(self.reference_samples_ms.tolist()) if self.ratio else None


class Sampler:
    """Takes samples of a few milliseconds each of one network, always at its steady state."""

    def __init__(self, load: Loader) -> None:
        self.load = load
        network = load()
        self._set_pace(min(network.time_ms(1) for _ in range(3)))
        self.warmed_up = self._warm_up(network)

    def _warm_up(self, network: TimedNetwork) -> bool:
        """Run until the median of a block of samples holds still; False if it never does."""
        before = float("inf")
        for _ in range(WARM_UP_BLOCKS):
            times = [network.time_ms(self.runs) for _ in range(WARM_UP_BLOCK)]
            # By the fastest: a busy spell now must not make this side's samples the shorter ones.
            self._set_pace(min(times))
            now = _median(times)
            if abs(now - before) <= WARM_UP_CHANGE * now:
                return True
            before = now
        return False

    def _set_pace(self, run_ms: float) -> None:
        """Fit runs to a sample; `run_ms` has a floor, as a coarse clock may read 0."""
        self.run_ms = max(SAMPLE_MS / MOST_RUNS, run_ms)
        self.runs = round(max(1, SAMPLE_MS / self.run_ms))

    def sample_ms(self, network: TimedNetwork) -> float:
        """Return the mean time of one sample's runs, the network settled first."""
        self.settle(network)
        return self.timed_ms(network)

    def settle(self, network: TimedNetwork) -> None:
        """Bring a network that was just loaded to its steady state.

        GhostNet 1.0x came down from 8.0 to 7.3 ms in its first ten runs, the smaller RepGhostNet
        sooner; a batch of 8, which takes ten times as long, was steady after one.
        """
        network.time_ms(max(self.runs, min(SETTLING_RUNS, math.ceil(SETTLING_MS / self.run_ms))))

    def timed_ms(self, network: TimedNetwork) -> float:
        """Return the mean time of one sample's runs of a settled network."""
        return _require_time(network.time_ms(self.runs))


def paired(
    model: Loader,
    reference: Loader,
    precision: float,
    max_rounds: int,
    seed: int,
    max_seconds: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Time the model and the reference in rounds, each of one sample of both in random order.

    Interference hits both sides of a round alike, so the median of the round-by-round ratio holds
    still where a time in milliseconds does not. Both are loaded anew for every round, because where
    a network happens to lie in memory makes it 1-2 % faster or slower for as long as it lies there:
    a network against itself, loaded once, came out at 1.02 +- 0.01. Ends when the half-width of the
    ratio's interval is at most `precision` times the ratio (looked at every 10 rounds, from 30 on),
    or after `max_rounds` or `max_seconds` of them.

    Raises:
        ValueError: `max_rounds` is below 1, or a network took no time at all.
    """
    if max_rounds < 1:
        raise ValueError(f"max_rounds={max_rounds}: must be at least 1")
    order, resampling = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    samplers = Sampler(model), Sampler(reference)
    rounds: list[list[float]] = []
    settled, end = False, clock() + max_seconds
    while not settled and len(rounds) < max_rounds and (clock() < end or not rounds):
        more = min(CHECK_EVERY, max_rounds - len(rounds))
        rounds += [_round(samplers, order) for _ in range(more)]
        times = np.array(rounds)
        ratio = median_interval(times[:, 0] / times[:, 1], resampling)
        settled = len(rounds) >= MIN_ROUNDS and ratio.half_width <= precision * ratio.value
    return Outcome(
        latency=median_interval(times[:, 0], resampling),
        ratio=ratio,
        samples_ms=times[:, 0],
        reference_samples_ms=times[:, 1],
        runs_per_sample=samplers[0].runs,
        settled=settled,
        ended=_reason(settled, len(rounds) >= max_rounds),
        warmed_up=all(sampler.warmed_up for sampler in samplers),
    )


def _reason(settled: bool, rounds_spent: bool) -> str:
    if settled:
        return "precision reached"
    return "rounds spent" if rounds_spent else "time spent"


def paper(model: TimedNetwork, seed: int) -> Outcome:
    """Time 100 runs one after another, after 10 to warm up, and take their mean.

    Source: arXiv:2211.06088, paragraph "Latency": 100 runs, their average, one thread, batch 1.

    Raises:
        ValueError: the network took no time at all.
    """
    model.time_ms(PAPER_WARM_UP)
    times = np.array([_require_time(model.time_ms(1)) for _ in range(PAPER_RUNS)])
    return Outcome(
        latency=mean_interval(times, np.random.default_rng(seed)),
        ratio=None,
        samples_ms=times,
        reference_samples_ms=np.empty(0),
        runs_per_sample=1,
        settled=True,
        ended=f"{PAPER_RUNS} runs",
        warmed_up=True,
    )


def _round(samplers: tuple[Sampler, Sampler], order: np.random.Generator) -> list[float]:
    """Return the times [model, reference] of one round, loaded and run in random order."""
    networks = {side: samplers[side].load() for side in order.permutation(2).tolist()}
    times = {
        side: samplers[side].sample_ms(networks[side]) for side in order.permutation(2).tolist()
    }
    return [times[0], times[1]]


def _median(times: list[float]) -> float:
    return float(np.median(times))


def _require_time(time_ms: float) -> float:
    if not 0 < time_ms < float("inf"):
        raise ValueError(f"the device reports {time_ms} ms for a run; its clock cannot be used")
    return time_ms
