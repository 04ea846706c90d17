"""The protocols on networks with a scripted clock: everything here is determined by the seeds."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from repghost.latency.protocol import Sampler, paired, paper


class ScriptedNetwork:
    """A network that takes `base_ms` a run, times what its script says for this call."""

    def __init__(self, base_ms: float, script: Iterator[float]) -> None:
        self.base_ms, self.script = base_ms, script

    def time_ms(self, runs: int) -> float:
        return self.base_ms * next(self.script)


class ScriptedLoader:
    """Loads scripted networks that share one script; counts the loads and notes every call."""

    def __init__(self, name: str, base_ms: float, script: Iterator[float], log: list[str]) -> None:
        self.name, self.base_ms, self.script, self.log = name, base_ms, script, log

    def __call__(self) -> ScriptedNetwork:
        self.log.append(self.name)
        return ScriptedNetwork(self.base_ms, self.script)


def noise(sigma: float, seed: int) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    while True:
        yield float(rng.lognormal(sigma=sigma))


def loader(
    base_ms: float, sigma: float, seed: int, log: list[str] | None = None
) -> Callable[[], ScriptedNetwork]:
    name = f"{base_ms}"
    return ScriptedLoader(name, base_ms, noise(sigma, seed), [] if log is None else log)


def test_a_steady_pair_ends_by_precision_after_30_rounds() -> None:
    outcome = paired(loader(2.0, 0.001, 1), loader(1.0, 0.001, 2), 0.01, 300, seed=0)
    assert outcome.settled and outcome.ended == "precision reached"
    assert len(outcome.samples_ms) == len(outcome.reference_samples_ms) == 30
    assert outcome.ratio is not None
    assert outcome.ratio.value == pytest.approx(2.0, rel=1e-3)
    assert outcome.latency.value == pytest.approx(2.0, rel=1e-3)
    assert outcome.reference_median_ms == pytest.approx(1.0, rel=1e-3)


def test_a_noisy_pair_takes_more_rounds_until_its_interval_is_narrow_enough() -> None:
    outcome = paired(loader(2.0, 0.03, 1), loader(1.0, 0.03, 2), 0.01, 300, seed=0)
    assert outcome.settled and outcome.ratio is not None
    assert 30 < len(outcome.samples_ms) < 300 and len(outcome.samples_ms) % 10 == 0
    assert outcome.ratio.half_width <= 0.01 * outcome.ratio.value
    assert outcome.ratio.low <= 2.0 <= outcome.ratio.high


def test_a_pair_too_noisy_for_the_budget_ends_by_it_and_says_so() -> None:
    outcome = paired(loader(2.0, 0.5, 1), loader(1.0, 0.5, 2), 0.001, 45, seed=0)
    assert not outcome.settled and outcome.ended == "rounds spent"
    assert len(outcome.samples_ms) == 45
    assert outcome.ratio is not None
    assert outcome.ratio.half_width > 0.001 * outcome.ratio.value


def test_fewer_than_30_rounds_never_count_as_precise() -> None:
    outcome = paired(loader(2.0, 0.0, 1), loader(1.0, 0.0, 2), 0.01, 7, seed=0)
    assert len(outcome.samples_ms) == 7 and not outcome.settled


def test_interference_that_hits_both_alike_leaves_the_ratio_alone() -> None:
    """The machine slows down by up to 3x for whole rounds; a round is two calls of each side."""

    def slow_rounds(calls_a_round: int) -> Iterator[float]:
        rng = np.random.default_rng(5)
        while True:
            factor = float(rng.uniform(1, 3))
            yield from [factor] * calls_a_round

    steady = [1.0] * 13  # 3 to count the runs, 2 blocks of 5 to warm up
    model = ScriptedLoader("model", 2.0, chain(steady, slow_rounds(2)), [])
    reference = ScriptedLoader("reference", 1.0, chain(steady, slow_rounds(2)), [])
    outcome = paired(model, reference, 0.01, 300, seed=0)
    assert outcome.ratio is not None and outcome.ratio == pytest.approx((2.0, 2.0, 2.0))
    assert outcome.latency.half_width > 0.1 * outcome.latency.value


def chain(first: list[float], then: Iterator[float]) -> Iterator[float]:
    yield from first
    yield from then


def test_every_round_loads_both_networks_anew_in_changing_order() -> None:
    log: list[str] = []
    paired(loader(2.0, 0.0, 1, log), loader(1.0, 0.0, 2, log), 0.01, 40, seed=0)
    rounds = [tuple(log[i : i + 2]) for i in range(2, len(log), 2)]
    assert len(rounds) == 30
    assert set(rounds) == {("1.0", "2.0"), ("2.0", "1.0")}


def test_the_same_seed_gives_the_same_outcome() -> None:
    first, second = (
        paired(loader(2.0, 0.05, 1), loader(1.0, 0.05, 2), 0.01, 60, seed=3) for _ in range(2)
    )
    assert first.ratio == second.ratio and first.latency == second.latency
    assert (first.samples_ms == second.samples_ms).all()


@pytest.mark.parametrize(("run_ms", "runs"), [(0.2, 20), (3.0, 1), (60.0, 1), (1e-9, 1000)])
def test_a_sample_has_so_many_runs_that_it_takes_a_few_milliseconds(
    run_ms: float, runs: int
) -> None:
    assert Sampler(loader(run_ms, 0.0, 1)).runs == runs


def test_warming_up_ends_when_the_median_holds_still() -> None:
    cooling = chain([5.0] * 3 + [4.0] * 5 + [2.0] * 5 + [1.0] * 10, iter(()))
    sampler = Sampler(ScriptedLoader("cold", 1.0, cooling, []))
    assert sampler.warmed_up and sampler.runs == 4
    assert next(cooling, None) is None  # every scripted call was made


def test_a_network_that_never_holds_still_is_measured_and_said_to_be_so() -> None:
    def growing() -> Iterator[float]:
        factor = 1.0
        while True:
            factor *= 1.05
            yield factor

    model = ScriptedLoader("restless", 1.0, growing(), [])
    outcome = paired(model, loader(1.0, 0.0, 2), 0.01, 30, seed=0)
    assert not outcome.warmed_up


def test_paper_is_the_mean_of_100_runs_after_10_to_warm_up() -> None:
    script = chain([50.0] + [1.0] * 50 + [3.0] * 50, iter(()))
    outcome = paper(ScriptedNetwork(1.0, script), seed=0)
    assert outcome.latency.value == pytest.approx(2.0)
    assert outcome.latency.low < 2.0 < outcome.latency.high
    assert len(outcome.samples_ms) == 100 and outcome.ended == "100 runs"
    assert outcome.ratio is None and outcome.reference_median_ms is None


@pytest.mark.parametrize("time_ms", [0.0, float("nan"), -1.0])
def test_a_clock_that_cannot_be_used_is_an_error(time_ms: float) -> None:
    broken, sound = loader(time_ms, 0.0, 1), loader(1.0, 0.0, 2)
    with pytest.raises(ValueError, match="clock"):
        paired(broken, sound, 0.01, 30, seed=0)
    with pytest.raises(ValueError, match="clock"):
        paper(broken(), seed=0)


def test_no_rounds_are_an_error() -> None:
    with pytest.raises(ValueError, match="max_rounds=0"):
        paired(loader(1.0, 0.0, 1), loader(1.0, 0.0, 2), 0.01, 0, seed=0)
