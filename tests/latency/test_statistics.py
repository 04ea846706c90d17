import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from repghost.latency.statistics import (
    MEDIAN,
    Interval,
    difference_interval,
    mean_interval,
    median_interval,
    resampled_medians,
    rounds_interval,
    shift_interval,
)

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Array]

SKEWED: Draw = lambda rng, n: rng.lognormal(sigma=0.5, size=n)  # noqa: E731
NORMAL: Draw = lambda rng, n: rng.normal(loc=1.0, size=n)  # noqa: E731


def coverage(interval_of: Callable[..., Interval], draw: Draw, n: int, true: float) -> float:
    """Return the share of 500 seeded experiments whose interval holds the true value."""
    rng = np.random.default_rng(0)
    intervals = [interval_of(draw(rng, n), rng) for _ in range(500)]
    return sum(interval.low <= true <= interval.high for interval in intervals) / 500


@pytest.mark.parametrize(("draw", "true"), [(SKEWED, 1.0), (NORMAL, 1.0)])
@pytest.mark.parametrize("n", [30, 31, 100])
def test_the_interval_of_the_median_holds_it_in_95_of_100_cases(
    draw: Draw, true: float, n: int
) -> None:
    assert 0.92 <= coverage(median_interval, draw, n, true) <= 0.98


def test_the_interval_of_the_mean_holds_it_in_95_of_100_cases() -> None:
    assert 0.92 <= coverage(mean_interval, NORMAL, 100, 1.0) <= 0.98


@pytest.mark.parametrize("n", [1, 2, 3, 30, 31])
def test_drawn_medians_are_distributed_as_those_of_real_resamples(n: int) -> None:
    rng = np.random.default_rng(n)
    samples = rng.lognormal(size=n)
    real = np.median(samples[rng.integers(n, size=(20_000, n))], axis=1)
    drawn = resampled_medians(samples, 20_000, rng)
    levels = np.unique(real)
    shares = [np.searchsorted(np.sort(x), levels, side="right") / 20_000 for x in (real, drawn)]
    assert np.abs(shares[0] - shares[1]).max() < 0.02


def test_an_interval_narrows_with_the_root_of_the_number_of_samples() -> None:
    rng = np.random.default_rng(0)
    few, many = (median_interval(rng.normal(size=n), rng) for n in (100, 10_000))
    assert 0.05 < many.half_width / few.half_width < 0.2


def test_one_sample_and_equal_samples_give_an_interval_without_width() -> None:
    rng = np.random.default_rng(0)
    assert median_interval(np.array([3.0]), rng) == Interval(3.0, 3.0, 3.0)
    assert mean_interval(np.full(10, 2.5), rng) == Interval(2.5, 2.5, 2.5)


def test_the_median_ignores_an_outlier_that_moves_the_mean() -> None:
    samples = np.array([1.0] * 60 + [1000.0])
    rng = np.random.default_rng(0)
    assert median_interval(samples, rng) == Interval(1.0, 1.0, 1.0)
    assert mean_interval(samples, rng).high > 10


@pytest.mark.parametrize("samples", [[], [1.0, float("nan")], [float("inf")]])
def test_no_samples_and_samples_that_are_not_finite_are_errors(samples: list[float]) -> None:
    for interval_of in (median_interval, mean_interval):
        with pytest.raises(ValueError, match="finite samples"):
            interval_of(np.array(samples), np.random.default_rng(0))


def test_an_interval_of_300_samples_is_computed_without_a_wait() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=300)
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        median_interval(samples, rng)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.02


def rounds(rng: np.random.Generator, n: int, likeness: float = 0.0) -> Array:
    """Return (n, 6) samples around 0: rounds differ, resemble the one before, and have tails."""
    state = rng.normal(scale=0.012, size=n)
    for i in range(1, n):
        state[i] = likeness * state[i - 1] + np.sqrt(1 - likeness**2) * state[i]
    return np.asarray(state[:, None] + 0.03 * rng.standard_t(3, size=(n, 6)))


@pytest.mark.parametrize(("n", "likeness", "least"), [(40, 0.0, 0.93), (100, 0.5, 0.91)])
def test_the_interval_of_rounds_holds_the_truth_in_95_of_100_cases(
    n: int, likeness: float, least: float
) -> None:
    rng = np.random.default_rng(0)
    intervals = [rounds_interval(rounds(rng, n, likeness), rng) for _ in range(300)]
    held = sum(interval.low <= 0 <= interval.high for interval in intervals) / 300
    assert least <= held <= 0.99


def test_more_samples_of_the_same_rounds_do_not_narrow_their_interval() -> None:
    rng = np.random.default_rng(0)
    few = rng.normal(size=(60, 1))
    many = np.repeat(few, 20, axis=1)
    widths = [rounds_interval(one, rng).half_width for one in (few, many)]
    assert widths[1] == pytest.approx(widths[0], rel=0.15)


def test_the_middle_of_rounds_is_the_mean_of_half_or_the_median_of_all_samples() -> None:
    rng = np.random.default_rng(0)
    for shape in ((7, 1), (5, 3), (10, 4), (1, 1), (2, 1)):
        samples = rng.lognormal(size=shape)
        assert rounds_interval(samples, rng, MEDIAN).value == pytest.approx(np.median(samples))
    samples = np.array([[-100.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 1000.0]])
    assert rounds_interval(samples, rng).value == pytest.approx(3.5)


def test_a_difference_is_of_the_same_band_of_both_and_common_disturbances_leave_it_alone() -> None:
    rng = np.random.default_rng(0)
    whole = rng.exponential(size=(100, 1))  # all of a round is slower
    one, other = (whole + 0.01 * rng.exponential(size=(100, 6)) for _ in range(2))
    found = difference_interval(one + 0.5, other, rng, (0.05, 0.25))
    assert found.low <= 0.5 <= found.high and found.half_width < 0.01
    alone = rounds_interval(one, rng, (0.05, 0.25))
    assert alone.half_width > 3 * found.half_width
    few = difference_interval(np.array([[3.0]]), np.array([[1.0]]), rng, (0.05, 0.25))
    assert few.value == pytest.approx(2.0)


@pytest.mark.parametrize(("n", "least"), [(60, 0.90), (100, 0.92)])
def test_the_interval_of_a_difference_holds_the_truth(n: int, least: float) -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(150):
        state = rng.exponential(0.1, size=(n, 1))
        noise = [0.01 * rng.normal(size=(n, 1)) + rng.exponential(0.05, (n, 12)) for _ in "ab"]
        one, other = (state + each for each in noise)
        found = difference_interval(one, other, rng, (0.05, 0.25))
        held += found.low <= 0 <= found.high
    assert least <= held / 150


def test_the_interval_of_rounds_that_are_equal_has_no_width() -> None:
    interval = rounds_interval(np.full((40, 6), 2.5), np.random.default_rng(0))
    assert interval == pytest.approx((2.5, 2.5, 2.5))


def test_a_shift_is_found_and_the_lack_of_one_seldom_taken_for_one() -> None:
    rng = np.random.default_rng(0)
    assert shift_interval(rounds(rng, 20), rounds(rng, 20) + 0.05, rng).low > 0
    found = [shift_interval(rounds(rng, 20), rounds(rng, 20), rng) for _ in range(200)]
    assert sum(not one.low <= 0 <= one.high for one in found) <= 12


@pytest.mark.parametrize("samples", [np.empty((0, 3)), np.array([[1.0], [np.nan]])])
def test_rounds_without_finite_samples_are_errors(samples: Array) -> None:
    rng = np.random.default_rng(0)
    for ask in (
        lambda: rounds_interval(samples, rng),
        lambda: shift_interval(samples, samples, rng),
    ):
        with pytest.raises(ValueError, match="finite samples"):
            ask()


def test_the_interval_of_600_rounds_is_computed_without_a_wait() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(600, 6))
    seconds = []
    for _ in range(5):
        start = time.process_time()
        rounds_interval(samples, rng)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.5
