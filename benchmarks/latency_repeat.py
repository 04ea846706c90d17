"""One repeat of `benchmarks.latency_noise`, in a process of its own as on another day.

All protocols one after another, each with as many runs of both networks, warm-up and settling
included, as `paired` took. Reads what to do as JSON from its argument, prints the figures as JSON.
"""

import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.latency_load import busy
from repghost.latency.devices.contract import TimedNetwork
from repghost.latency.devices.local import LocalDevice
from repghost.latency.protocol import Loader, paper
from repghost.latency.record import Budget
from repghost.latency.session import paired, paired_session

WARM_UP, LOOP = 10, 100  # of benchmark.out as the paper calls it: `models 100 10 0 1 1`


@dataclass(frozen=True)
class Order:
    """What a repeat does: files to be timed against the reference's, and how.

    `together` of the model are timed in one session, instead of one by all protocols. `usual_ms` is
    what the reference took in the repeats before, as a device's database would know it.
    """

    model: str
    reference: str
    seed: int
    loaded: bool = False
    others: bool = True
    together: int = 1
    precision: float = 0.01
    max_rounds: int = 600
    max_seconds: float = 120.0
    usual_ms: float | None = None


@dataclass(frozen=True)
class Found:
    """The ratio that a protocol gave and what it cost; interval and reference are of `paired`."""

    ratio: float
    seconds: float
    runs: int
    reference_ms: float | None = None
    low: float | None = None
    high: float | None = None
    settled: bool = True
    flags: tuple[str, ...] = ()


class Counted:
    """A network whose runs are counted, untimed ones too."""

    def __init__(self, network: TimedNetwork, count: Callable[[int], None]) -> None:
        self.network, self.count = network, count

    def time_ms(self, runs: int, settle: int = 0) -> float:
        """Run and count."""
        self.count(runs + settle)
        return self.network.time_ms(runs, settle)


class Counter:
    """Loads a network and counts the runs of all that it loaded."""

    def __init__(self, load: Loader) -> None:
        self.load, self.runs = load, 0

    def __call__(self) -> Counted:
        """Load it anew."""
        return Counted(self.load(), self._count)

    def _count(self, runs: int) -> None:
        self.runs += runs


def repeat(order: Order) -> dict[str, Any]:
    """Return the figures of each protocol by its name."""
    with LocalDevice() as device, contextlib.ExitStack() as stack:
        if order.loaded:
            stack.enter_context(busy(other_core(device), order.seed))
            time.sleep(1.0)  # until it has started
        load = partial(partial, device.load)
        model, reference = load(Path(order.model)), load(Path(order.reference))
        if order.together > 1:
            return {"together": asdict(_together(order, model, reference, device))}
        found = {"paired": _paired(order, model, reference, device)}
        if order.others:
            calls = max(1, round(found["paired"].runs / (2 * (WARM_UP + LOOP))))
            rest: dict[str, Callable[[], Found]] = {
                "paper": lambda: _in_a_row(model, reference, 1),
                "paper, as many runs": lambda: _in_a_row(model, reference, calls),
                "benchmark.out, as many runs": lambda: _benchmark(model, reference, calls),
            }
            names = list(rest)
            random.Random(order.seed).shuffle(names)
            found |= {name: rest[name]() for name in names}
    return {name: asdict(one) for name, one in found.items()}


def other_core(device: LocalDevice) -> int:
    """Return a core that the device is not pinned to.

    Raises:
        ValueError: there is none, or the device is not pinned.
    """
    core = device.state().get("core")
    others = set(range(os.cpu_count() or 1)) - {core}
    if core is None or not others:
        raise ValueError("a load on the other core needs two cores and a pinned process")
    return min(others)


def _renewing(device: LocalDevice) -> Callable[[], list[str]]:
    """Return what is done before a block; without the wait for quiet, which others do not have."""

    def renew() -> list[str]:
        device.renew()
        return []

    return renew


def _paired(order: Order, model: Loader, reference: Loader, device: LocalDevice) -> Found:
    budget = Budget(order.precision, order.max_rounds, order.max_seconds)
    counters = Counter(model), Counter(reference)
    start = time.perf_counter()
    found = paired(
        *counters,
        budget,
        seed=order.seed,
        usual_ms=order.usual_ms,
        before_block=_renewing(device),
    )
    seconds = time.perf_counter() - start
    assert found.ratio is not None
    runs = sum(counter.runs for counter in counters)
    beside = found.reference_median_ms
    bounds = found.ratio[1:]
    return Found(found.ratio.value, seconds, runs, beside, *bounds, found.settled, found.flags)


def _together(order: Order, model: Loader, reference: Loader, device: LocalDevice) -> Found:
    budget = Budget(order.precision, order.max_rounds, order.max_seconds)
    counters = [Counter(model) for _ in range(order.together)], Counter(reference)
    start = time.perf_counter()
    session = paired_session(
        *counters,
        budget,
        seed=order.seed,
        usual_ms=order.usual_ms,
        before_block=_renewing(device),
    )
    found = [one for _, one in session]
    seconds = time.perf_counter() - start
    ratios = [one.ratio for one in found if not isinstance(one, ValueError) and one.ratio]
    runs = sum(counter.runs for counter in (*counters[0], counters[1]))
    settled = all(not isinstance(one, ValueError) and one.settled for one in found)
    return Found(fmean(ratio.value for ratio in ratios), seconds, runs, settled=settled)


def _in_a_row(model: Loader, reference: Loader, calls: int) -> Found:
    """Take all calls of the one network, then all of the other, as tables of means are made."""
    start = time.perf_counter()
    means = [
        fmean(paper(load(), 0).latency.value for _ in range(calls)) for load in (model, reference)
    ]
    return _quotient(means, calls, start)


def _benchmark(model: Loader, reference: Loader, calls: int) -> Found:
    """Do as `benchmark.out` called again and again: a call goes through the folder's two files."""
    start = time.perf_counter()
    times = [
        [load().time_ms(LOOP, settle=WARM_UP) for load in (model, reference)] for _ in range(calls)
    ]
    return _quotient([fmean(one) for one in zip(*times, strict=True)], calls, start)


def _quotient(means: Sequence[float], calls: int, start: float) -> Found:
    runs = 2 * calls * (WARM_UP + LOOP)
    return Found(means[0] / means[1], time.perf_counter() - start, runs)


if __name__ == "__main__":
    print(json.dumps(repeat(Order(**json.loads(sys.argv[1])))))
