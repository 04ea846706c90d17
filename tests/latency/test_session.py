"""Sessions of several networks beside a reference: scripted clocks, and real networks in MNN."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from repghost.latency.devices.contract import DeviceError
from repghost.latency.devices.local import LocalDevice
from repghost.latency.protocol import Outcome
from repghost.latency.record import Budget
from repghost.latency.session import paired, paired_session
from repghost.latency.subject import BY_RUNS

Noise = Callable[[], float]
Found = list[tuple[int, Outcome | ValueError]]


class Bench:
    """A clock that runs on with every run and load, and a machine that may slow down meanwhile."""

    def __init__(self, load_s: float = 0.01, slow: Callable[[float], float] = lambda now: 1.0):
        self.now, self.load_s, self.slow = 0.0, load_s, slow
        self.loads: list[str] = []
        self.samples: list[str] = []

    def network(self, name: str, run_ms: float, noise: Noise = lambda: 1.0, fails_at: int = -1):
        def load() -> Network:
            self.loads.append(name)
            self.now += self.load_s
            if self.loads.count(name) == fails_at:
                raise ValueError(f"{name}: MNN cannot load this model")
            return Network(self, name, run_ms, noise)

        return load

    def session(self, *models, reference=None, budget=None, seed=0, **knobs) -> Iterator:
        reference, budget = reference or self.network("reference", 3.0), budget or Budget()
        knobs = {"fewest_runs": 1, "before_block": list, "check": lambda: None} | knobs
        return paired_session(models, reference, budget, seed=seed, clock=lambda: self.now, **knobs)


class Network:
    def __init__(self, bench: Bench, name: str, run_ms: float, noise: Noise) -> None:
        self.bench, self.name, self.run_ms, self.noise = bench, name, run_ms, noise

    def time_ms(self, runs: int, settle: int = 0) -> float:
        self.bench.samples.append(self.name)
        took = self.run_ms * self.noise() * self.bench.slow(self.bench.now)
        self.bench.now += took * (runs + settle) / 1e3
        return took


def lognormal(sigma: float, seed: int) -> Noise:
    rng = np.random.default_rng(seed)
    return lambda: float(rng.lognormal(sigma=sigma))


def outcomes(found: Found) -> dict[int, Outcome]:
    assert all(isinstance(one, Outcome) for _, one in found), found
    return dict(found)  # type: ignore[arg-type]


def rounds_of(outcome: Outcome) -> int:
    assert len(outcome.samples_ms) == len(outcome.reference_samples_ms)
    return len(outcome.samples_ms) // outcome.samples_per_round


def test_a_steady_network_is_done_after_the_least_rounds() -> None:
    bench = Bench()
    (outcome,) = outcomes(list(bench.session(bench.network("a", 6.0)))).values()
    assert (outcome.settled, outcome.ended, outcome.flags) == (True, "precision reached", ())
    assert rounds_of(outcome) == BY_RUNS.rounds
    assert outcome.ratio == pytest.approx((2.0, 2.0, 2.0))
    assert outcome.latency == pytest.approx((6.0, 6.0, 6.0))
    assert outcome.reference_median_ms == pytest.approx(3.0)


def test_the_noisier_network_stays_longer_and_the_others_are_yielded_at_once() -> None:
    bench = Bench()
    session = bench.session(
        bench.network("noisy", 6.0, lognormal(0.3, 1)), bench.network("steady", 3.0)
    )
    index, first = next(session)
    taken = bench.samples.count("noisy")
    assert index == 1 and rounds_of(first) == BY_RUNS.rounds
    ((index, last),) = session
    assert index == 0 and last.settled and rounds_of(last) > BY_RUNS.rounds
    assert bench.samples.count("noisy") > taken  # it was not finished before the first was given
    assert last.ratio.half_width <= 0.01 * last.ratio.value
    fast = np.exp(0.3 * -1.09)  # between the 5 % and the 25 % quantile of its noise
    assert last.ratio.low < 2.0 * fast < last.ratio.high


@pytest.mark.parametrize(
    ("budget", "ended", "rounds"),
    [
        (Budget(1e-4, max_rounds=43), "rounds spent", 43),
        (Budget(1e-4, max_rounds=1), "rounds spent", 1),
        (Budget(0.5, max_rounds=7), "rounds spent", 7),  # too few to be called precise
        (Budget(1e-4, max_seconds=1e-3), "time spent", 1),
    ],
)
def test_a_budget_that_ends_is_named(budget: Budget, ended: str, rounds: int) -> None:
    bench = Bench()
    model = bench.network("a", 6.0, lognormal(0.1, 1))
    (outcome,) = outcomes(list(bench.session(model, budget=budget))).values()
    assert (outcome.settled, outcome.ended) == (False, ended)
    assert rounds_of(outcome) == rounds


def test_seconds_are_those_of_each_network_not_of_the_session() -> None:
    budget = Budget(1e-9, max_seconds=5.0)
    alone, together = Bench(), Bench()
    for bench, count in ((alone, 1), (together, 4)):
        models = [bench.network(f"{i}", 6.0, lognormal(0.1, i)) for i in range(count)]
        found = outcomes(list(bench.session(*models, budget=budget)))
        assert {one.ended for one in found.values()} == {"time spent"}
    assert 5.0 < alone.now < 7.0
    assert 20.0 < together.now < 24.0


def test_ten_networks_that_wait_together_cost_less_than_ten_alone() -> None:
    seconds = []
    for count in (10, 1):
        bench = Bench()
        models = [bench.network(f"{i}", 3.0) for i in range(count)]
        assert len(outcomes(list(bench.session(*models)))) == count
        seconds.append(bench.now)
    assert seconds[0] < 0.75 * 10 * seconds[1]


def test_no_more_than_four_networks_lie_in_memory_beside_the_reference() -> None:
    bench = Bench()
    models = [bench.network(f"{i}", 3.0) for i in range(10)]
    list(bench.session(*models, budget=Budget(max_rounds=5)))
    loads = bench.loads[2 * 11 :]  # after those of the warm-up
    assert loads.count("reference") == 5 * 3  # 4, 4 and 2 networks beside it
    assert all(loads.count(f"{i}") == 5 for i in range(10))


def test_interference_that_hits_both_alike_leaves_the_ratio_alone() -> None:
    """The machine takes up to three times as long, for spells of about two seconds."""
    bench = Bench(slow=lambda now: 2.0 + np.sin(3.0 * now))
    (outcome,) = outcomes(list(bench.session(bench.network("a", 6.0)))).values()
    assert outcome.settled and outcome.ratio.value == pytest.approx(2.0, rel=0.01)
    assert outcome.latency.half_width > 0.1 * outcome.latency.value


def test_a_slower_machine_at_the_end_is_said_and_does_not_move_the_ratio() -> None:
    bench = Bench(slow=lambda now: 1.0 if now < 16.0 else 1.25)
    noisy = partial(bench.network, noise=lognormal(0.01, 2))
    found = list(bench.session(noisy("a", 6.0), reference=noisy("reference", 3.0)))
    (outcome,) = outcomes(found).values()
    (flag,) = outcome.flags
    assert re.fullmatch(r"the reference became 2[45]\.\d % slower during the session", flag), flag
    assert outcome.ratio.low < 2.0 < outcome.ratio.high


def test_a_ratio_that_moves_between_the_halves_of_a_session_is_said() -> None:
    bench, noise = Bench(), lognormal(0.01, 1)
    model = bench.network(
        "a", 6.0, lambda: noise() * (1.0 if bench.loads.count("a") < 50 else 1.05)
    )
    session = bench.session(model, budget=Budget(1e-9, max_rounds=100))
    (outcome,) = outcomes(list(session)).values()
    (flag,) = outcome.flags
    assert re.match(r"the ratio moved by (4\.[6-9]|5\.[0-4]) % between the halves", flag), flag


def test_a_session_without_drift_is_seldom_flagged() -> None:
    flagged = 0
    for seed in range(40):
        bench = Bench()
        noisy = partial(bench.network, noise=lognormal(0.02, seed))
        budget = Budget(1e-9, max_rounds=40)
        session = bench.session(noisy("a", 6.0), reference=noisy("r", 3.0), budget=budget)
        flagged += bool(outcomes(list(session))[0].flags)
    assert flagged <= 3


def test_every_round_loads_all_anew_and_takes_turns_forth_and_back() -> None:
    bench = Bench()
    budget = Budget(max_rounds=30)
    (outcome,) = outcomes(list(bench.session(bench.network("a", 3.0), budget=budget))).values()
    loads, visits = bench.loads[2 * 2 :], outcome.samples_per_round // 3
    pairs = {tuple(loads[i : i + 2]) for i in range(0, len(loads), 2)}
    assert len(loads) == 60 and pairs == {("a", "reference"), ("reference", "a")}
    assert visits > 2
    in_a_row = np.array(bench.samples[-180 * visits :]).reshape(30, visits, 2, 3)
    assert (in_a_row == in_a_row[..., :1]).all()
    turns = in_a_row[..., 0]
    assert {tuple(first) for first in turns[:, 0]} == pairs
    assert (turns[:, 0] == turns[:, 1, ::-1]).all()


def test_the_same_seed_gives_the_same_outcome_and_another_another_order() -> None:
    def taken(seed: int) -> tuple[list[str], Outcome]:
        bench = Bench()
        model = bench.network("a", 6.0, lognormal(0.02, 1))
        (found,) = outcomes(list(bench.session(model, seed=seed))).values()
        return bench.samples, found

    (order, first), (same, second), (other, _) = taken(3), taken(3), taken(4)
    assert order == same != other
    assert first.ratio == second.ratio and first.latency == second.latency
    assert (first.samples_ms == second.samples_ms).all()


@pytest.mark.parametrize("fails_at", [1, 2, 20])
def test_a_network_that_cannot_be_loaded_is_an_error_and_the_others_go_on(fails_at: int) -> None:
    bench = Bench()
    broken = bench.network("broken", 3.0, fails_at=fails_at)
    found = dict(bench.session(broken, bench.network("sound", 6.0)))
    assert isinstance(found[0], ValueError) and "broken" in str(found[0])
    assert isinstance(found[1], Outcome) and rounds_of(found[1]) == BY_RUNS.rounds
    assert found[1].ratio.value == pytest.approx(2.0)


@pytest.mark.parametrize("time_ms", [0.0, float("nan"), -1.0])
def test_a_clock_that_cannot_be_used_is_that_networks_error(time_ms: float) -> None:
    bench = Bench()
    ((index, error),) = bench.session(bench.network("a", time_ms))
    assert index == 0 and isinstance(error, ValueError) and "clock" in str(error)


@pytest.mark.parametrize("fails_at", [1, 7])
def test_without_its_reference_no_network_is_measured(fails_at: int) -> None:
    bench = Bench()
    reference = bench.network("reference", 3.0, fails_at=fails_at)
    models = [bench.network(name, 3.0) for name in "ab"]
    found = dict(bench.session(*models, reference=reference))
    assert found.keys() == {0, 1}
    assert all("the reference network: reference" in str(error) for error in found.values())


def test_a_device_that_goes_away_ends_the_session() -> None:
    bench = Bench()

    def gone() -> float:
        if bench.now > 1.0:
            raise DeviceError("pixel: unplugged")
        return 1.0

    with pytest.raises(DeviceError, match="unplugged"):
        list(bench.session(bench.network("a", 3.0, gone)))


@pytest.mark.parametrize("allowed", [0, 3, 100])
def test_a_wish_to_stop_is_heard_before_the_next_sample(allowed: int) -> None:
    class Stopped(Exception):
        pass

    bench = Bench()

    def check() -> None:
        if len(bench.samples) == allowed:
            raise Stopped

    with pytest.raises(Stopped):
        list(bench.session(bench.network("a", 3.0, lognormal(0.02, 1)), check=check))
    assert len(bench.samples) == allowed


def test_what_is_said_before_the_blocks_is_flagged_once() -> None:
    bench, said = Bench(), iter([["busy"], [], ["busy", "hot"]])
    session = bench.session(bench.network("a", 3.0), before_block=lambda: next(said, []))
    (outcome,) = outcomes(list(session)).values()
    busy, hot = outcome.flags
    assert busy.startswith("busy (in 2 of ") and hot.startswith("hot (in 1 of ")


def test_flags_are_of_the_time_that_a_network_was_there() -> None:
    bench = Bench()
    blocks = iter(range(1000))
    session = bench.session(
        bench.network("steady", 3.0),
        bench.network("noisy", 3.0, lognormal(0.3, 1)),
        before_block=lambda: ["late"] if next(blocks) == 45 else [],
    )
    found = outcomes(list(session))
    assert not found[0].flags and "late (in 1 of " in found[1].flags[0]


def test_a_phone_takes_one_long_sample_a_load() -> None:
    bench = Bench(load_s=0.0)
    budget = Budget(max_rounds=30)
    session = bench.session(bench.network("a", 3.0), fewest_runs=50, budget=budget)
    (outcome,) = outcomes(list(session)).values()
    assert outcome.samples_per_round == 1 and outcome.runs_per_sample == 50


def placed_noise(bench: Bench, name: str, seed: int) -> Noise:
    """Return noise of each run, of each load, and of spells that hit this network alone."""
    rng = np.random.default_rng([seed, len(name)])
    spells, noise = rng.normal(scale=0.01, size=10_000), lognormal(0.04, seed + len(name))
    placed = {"place": 1.0, "loads": 0.0}

    def take() -> float:
        if bench.loads.count(name) != placed["loads"]:
            placed.update(loads=bench.loads.count(name), place=rng.lognormal(sigma=0.015))
        return placed["place"] * noise() * float(np.exp(spells[int(bench.now / 0.3)]))

    return take


def test_intervals_hold_the_truth_although_rounds_resemble_each_other() -> None:
    """Where a network lies makes a round 1.5 % faster or slower; spells of 0.3 s hit one side."""
    held = 0
    for seed in range(60):
        bench = Bench()
        a, b = (bench.network(n, 3.0, placed_noise(bench, n, seed)) for n in ("a", "reference"))
        session = bench.session(a, reference=b, budget=Budget(0.01))
        held += (found := outcomes(list(session))[0]).ratio.low < 1.0 < found.ratio.high
    assert held >= 52


@pytest.mark.parametrize("value", [0, -1])
def test_a_budget_without_rounds_time_or_precision_is_an_error(value: int) -> None:
    for name in ("precision", "max_rounds", "max_seconds"):
        with pytest.raises(ValueError, match=f"{name}={value}"):
            Budget(**{name: value})


def test_real_networks_have_the_ratio_of_their_layers(short_mnn: Path, long_mnn: Path) -> None:
    with LocalDevice() as device:
        short, long = (partial(device.load, path) for path in (short_mnn, long_mnn))
        found = outcomes(list(paired_session([long, short], short, Budget(0.05), seed=0)))
    assert 1.3 < found[0].ratio.value < 3.0  # 8 convs against 4
    assert found[1].ratio.value == pytest.approx(1.0, abs=0.1)


def test_one_network_alone_is_measured_or_raises(short_mnn: Path, tmp_path: Path) -> None:
    device = LocalDevice()
    load, missing = partial(device.load, short_mnn), partial(device.load, tmp_path / "no.mnn")
    assert rounds_of(paired(load, load, Budget(max_rounds=2), seed=0)) == 2
    with pytest.raises(ValueError, match=r"no\.mnn: no such MNN model"):
        paired(missing, load, Budget(max_rounds=2), seed=0)


@pytest.mark.slow
def test_the_benchmark_of_noise_prints_its_figures() -> None:
    words = [sys.executable, "-m", "benchmarks.latency_noise", "--quick"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("paired", "paper", "benchmark.out", "quiet"):
        assert said in done.stdout
    assert '"commit"' in done.stdout.splitlines()[-1]
