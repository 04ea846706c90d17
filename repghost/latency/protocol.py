"""What taking a latency is made of: samples, their outcome, and the paper's way to take them.

The other way, beside a reference network, is `repghost.latency.session`.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repghost.latency.devices.contract import TimedNetwork
from repghost.latency.statistics import Interval, mean_interval

Array = NDArray[np.float64]
Loader = Callable[[], TimedNetwork]  # loads the network anew at every call

SAMPLE_MS = 4.0  # a sample of one 0.2 ms run would time the clock and the cache, not the network
MOST_RUNS = 1000
SETTLING_RUNS = 10  # after a load, but for no longer than
SETTLING_MS = 15.0
REFILL_SHARE = 0.25  # of a sample's runs
NOISE_RATIO = 9.0  # variance of one sample's ratio within a load, over that between loads
MOST_VISITS = 12
WARM_UP_BLOCK = 5  # samples
WARM_UP_BLOCKS = 20
WARM_UP_CHANGE = 0.02
WARM_UP_S = 30.0  # no third block or later one begins after so long: a detector's run takes seconds
PAPER_WARM_UP = 10
PAPER_RUNS = 100


@dataclass(frozen=True)
class Outcome:
    """What a protocol found; the samples are `(n,)`, round after round.

    A round has `samples_per_round` samples of the model, and as many of the reference that were
    taken beside them; the ratio is that of `rounds_counted` of them, None: of all. Under `paper`,
    `ratio` is None and the reference has no samples. `flags` say in words what makes the numbers
    doubtful.
    """

    latency: Interval
    ratio: Interval | None
    samples_ms: Array
    reference_samples_ms: Array
    runs_per_sample: int
    settled: bool
    ended: str
    warmed_up: bool
    samples_per_round: int = 1
    rounds_counted: int | None = None
    flags: tuple[str, ...] = ()

    @property
    def reference_median_ms(self) -> float | None:
        """The median time of the reference, None where there was none."""
        return _median(self.reference_samples_ms.tolist()) if self.ratio else None


class Sampler:
    """Takes samples of a few milliseconds each of one network, always at its steady state.

    A sample is `fewest_runs` runs or more. `load_s` is what a load took, `call_s` what a sample.

    Raises:
        ValueError: the network cannot be loaded, or took no time at all.
    """

    def __init__(
        self, load: Loader, fewest_runs: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.load, self.fewest_runs = load, fewest_runs
        network = load()  # the first one has a process started, and its file read from disk
        start = clock()
        network = load()
        self.load_s = clock() - start
        self._set_pace(min(network.time_ms(fewest_runs) for _ in range(3)))
        start = clock()
        blocks, self.warmed_up = self._warm_up(network, clock)
        self.call_s = (clock() - start) / (blocks * WARM_UP_BLOCK)

    def _warm_up(self, network: TimedNetwork, clock: Callable[[], float]) -> tuple[int, bool]:
        """Run until the median of a block of samples holds still; False if it never does."""
        before, end = float("inf"), clock() + WARM_UP_S
        for block in range(WARM_UP_BLOCKS):
            if block > 1 and clock() > end:
                return block, False
            times = [network.time_ms(self.runs) for _ in range(WARM_UP_BLOCK)]
            # By the fastest: a busy spell now must not make this side's samples the shorter ones.
            self._set_pace(min(times))
            now = _median(times)
            if abs(now - before) <= WARM_UP_CHANGE * now:
                return block + 1, True
            before = now
        return WARM_UP_BLOCKS, False

    def _set_pace(self, run_ms: float) -> None:
        """Fit runs to a sample; `run_ms` has a floor, as a coarse clock may read 0."""
        self.run_ms = max(SAMPLE_MS / MOST_RUNS, run_ms)
        self.runs = round(max(1, self.fewest_runs, SAMPLE_MS / self.run_ms))

    def visits_per_load(self, samples: int) -> int:
        """Return how many visits of so many samples a load is worth.

        What n rounds of v visits leave is b / n + w / (n v), and they cost n (load + v visit): the
        best v is the root of w / b times load / visit. It is a flat optimum.
        """
        if self.call_s <= 0:  # a clock that stands still says nothing
            return 1
        load_s = self.load_s + self.settling_runs * self.run_ms / 1e3
        visit_s = samples * self.call_s + self.refill_runs * self.run_ms / 1e3
        best = round(math.sqrt(NOISE_RATIO * load_s / visit_s))
        return max(1, min(MOST_VISITS, best))

    @property
    def settling_runs(self) -> int:
        """The runs that bring a network that was just loaded to its steady state.

        At 224 pixels the first run after a load takes 7-11 % longer, the second no longer.
        """
        return max(1, min(SETTLING_RUNS, math.ceil(SETTLING_MS / self.run_ms)))

    @property
    def refill_runs(self) -> int:
        """The untimed runs that bring a network's data back to caches that another one had."""
        return math.ceil(REFILL_SHARE * self.runs)

    def visit_ms(self, network: TimedNetwork, samples: int, first: bool) -> list[float]:
        """Return the mean times of the runs of some samples in a row, the network settled before.

        `first` is the first visit after the load. At a later one another network ran in between:
        the next run takes up to 3 % longer than the one after it.
        """
        settle = [self.settling_runs if first else self.refill_runs, *[0] * (samples - 1)]
        return [require_time(network.time_ms(self.runs, untimed)) for untimed in settle]

    def settle(self, network: TimedNetwork) -> None:
        """Bring a network that was just loaded to its steady state."""
        network.time_ms(self.settling_runs)

    def timed_ms(self, network: TimedNetwork) -> float:
        """Return the mean time of one sample's runs of a settled network."""
        return require_time(network.time_ms(self.runs))


def paper(model: TimedNetwork, seed: int, flags: tuple[str, ...] = ()) -> Outcome:
    """Time 100 runs one after another, after 10 to warm up, and take their mean.

    `flags` say in words what was found before that makes the number doubtful.

    Source: arXiv:2211.06088, paragraph "Latency": 100 runs, their average, one thread, batch 1.

    Raises:
        ValueError: the network took no time at all.
    """
    model.time_ms(PAPER_WARM_UP)
    times = np.array([require_time(model.time_ms(1)) for _ in range(PAPER_RUNS)])
    return Outcome(
        latency=mean_interval(times, np.random.default_rng(seed)),
        ratio=None,
        samples_ms=times,
        reference_samples_ms=np.empty(0),
        runs_per_sample=1,
        settled=True,
        ended=f"{PAPER_RUNS} runs",
        warmed_up=True,
        flags=flags,
    )


def require_time(time_ms: float) -> float:
    """Return a time in ms.

    Raises:
        ValueError: it is none that a run can take: 0, negative, not finite.
    """
    if not 0 < time_ms < float("inf"):
        raise ValueError(f"the device reports {time_ms} ms for a run; its clock cannot be used")
    return time_ms


def _median(times: list[float]) -> float:
    return float(np.median(times))
