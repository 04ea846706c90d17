"""Samples and the paper's protocol on networks with a scripted clock: nothing here is by chance."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import numpy as np
import pytest

from repghost.latency.protocol import Sampler, paper


class ScriptedNetwork:
    """A network that takes `base_ms` a run, times what its script says for this call."""

    def __init__(self, base_ms: float, script: Iterator[float]) -> None:
        self.base_ms, self.script = base_ms, script
        self.calls: list[tuple[int, int]] = []

    def time_ms(self, runs: int, settle: int = 0) -> float:
        self.calls.append((runs, settle))
        return self.base_ms * next(self.script)


def steady(base_ms: float) -> Callable[[], ScriptedNetwork]:
    return lambda: ScriptedNetwork(base_ms, repeat(1.0))


@pytest.mark.parametrize(("run_ms", "runs"), [(0.2, 20), (3.0, 1), (60.0, 1), (1e-9, 1000)])
def test_a_sample_has_so_many_runs_that_it_takes_a_few_milliseconds(
    run_ms: float, runs: int
) -> None:
    assert Sampler(steady(run_ms)).runs == runs


@pytest.mark.parametrize(("run_ms", "runs"), [(0.2, 20), (3.0, 10)])
def test_a_sample_has_as_many_runs_as_the_device_needs(run_ms: float, runs: int) -> None:
    network = ScriptedNetwork(run_ms, repeat(1.0))
    assert Sampler(lambda: network, fewest_runs=10).runs == runs
    assert min(runs for runs, _ in network.calls) == 10  # also while it warms up


@pytest.mark.parametrize(("run_ms", "first", "later"), [(0.2, 10, 5), (4.0, 4, 1), (60.0, 1, 1)])
def test_untimed_runs_settle_a_loaded_network_longer_than_one_that_lost_the_caches(
    run_ms: float, first: int, later: int
) -> None:
    sampler, network = Sampler(steady(run_ms)), steady(run_ms)()
    assert sampler.visit_ms(network, 1, first=True) == [run_ms]
    assert sampler.visit_ms(network, 3, first=False) == [run_ms] * 3
    runs = sampler.runs
    assert network.calls == [(runs, first), (runs, later), (runs, 0), (runs, 0)]


def test_warming_up_ends_when_the_median_holds_still() -> None:
    cooling = chain([5.0] * 3 + [4.0] * 5 + [2.0] * 5 + [1.0] * 10)
    sampler = Sampler(lambda: ScriptedNetwork(1.0, cooling))
    assert sampler.warmed_up and sampler.runs == 4
    assert next(cooling, None) is None  # every scripted call was made


def test_a_network_that_never_holds_still_is_said_to_be_so() -> None:
    growing = (1.05**call for call in range(1000))
    assert not Sampler(lambda: ScriptedNetwork(1.0, growing)).warmed_up


def test_a_network_of_seconds_a_run_does_not_warm_up_for_minutes() -> None:
    now = 0.0

    class Detector(ScriptedNetwork):
        def time_ms(self, runs: int, settle: int = 0) -> float:
            nonlocal now
            taken = super().time_ms(runs, settle)
            now += taken / 1e3
            return taken

    sampler = Sampler(lambda: Detector(5000.0, (1.05**n for n in range(100))), clock=lambda: now)
    assert not sampler.warmed_up and now < 100
    still = Sampler(lambda: Detector(5000.0, repeat(1.0)), clock=lambda: now)
    assert still.warmed_up


class Slow:
    """A clock, and networks that make it go on: a load takes `load_s`, a run 4 ms."""

    def __init__(self, load_s: float) -> None:
        self.load_s, self.now = load_s, 0.0

    def __call__(self) -> "Slow":
        self.now += self.load_s
        return self

    def time_ms(self, runs: int, settle: int = 0) -> float:
        self.now += 0.004 * (runs + settle)
        return 4.0


@pytest.mark.parametrize(("load_s", "visits"), [(0.0, 4), (0.012, 6), (0.9, 12)])
def test_a_slow_load_is_used_for_more_samples(load_s: float, visits: int) -> None:
    network = Slow(load_s)
    sampler = Sampler(network, clock=lambda: network.now)
    assert sampler.visits_per_load(1) == visits
    assert sampler.visits_per_load(3) < visits or visits == 12


def test_a_call_that_takes_longer_than_a_load_gives_one_sample() -> None:
    network = Slow(0.0)
    sampler = Sampler(network, fewest_runs=100, clock=lambda: network.now)
    assert sampler.visits_per_load(1) == 1


def test_paper_is_the_mean_of_100_runs_after_10_to_warm_up() -> None:
    network = ScriptedNetwork(1.0, chain([50.0] + [1.0] * 50 + [3.0] * 50))
    outcome = paper(network, seed=0, flags=("busy",))
    assert [runs for runs, _ in network.calls] == [10] + [1] * 100
    assert outcome.latency.value == pytest.approx(2.0)
    assert outcome.latency.low < 2.0 < outcome.latency.high
    assert len(outcome.samples_ms) == 100 and outcome.ended == "100 runs"
    assert outcome.ratio is None and outcome.reference_median_ms is None
    assert outcome.flags == ("busy",)


@pytest.mark.parametrize("time_ms", [0.0, float("nan"), -1.0, np.inf])
def test_a_clock_that_cannot_be_used_is_an_error(time_ms: float) -> None:
    network, sampler = steady(time_ms)(), Sampler(steady(1.0))
    for take in (
        lambda: paper(network, seed=0),
        lambda: sampler.visit_ms(network, 1, first=True),
        lambda: sampler.timed_ms(network),
    ):
        with pytest.raises(ValueError, match="clock"):
            take()
