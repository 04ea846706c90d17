"""What repeats tell of a device: how far apart its sessions stand."""

import numpy as np
import pytest
from scipy import stats

from repghost.latency.spread import Spread, student


@pytest.mark.parametrize("free", [2, 3, 5, 20, 1000])
def test_students_quantile_is_that_of_the_tables(free: int) -> None:
    assert student(free) == pytest.approx(stats.t.ppf(0.975, free), rel=0.035)


def test_nine_of_ten_sessions_and_more_lie_within_the_spread_whatever_the_networks() -> None:
    rng, within = np.random.default_rng(0), []
    for _ in range(400):
        level = rng.uniform(0.2, 3.0, 4)
        repeats = [one * rng.lognormal(sigma=0.01, size=3) for one in level]
        spread = Spread.of([list(one) for one in repeats])
        assert spread is not None
        new = level * rng.lognormal(sigma=0.01, size=4)
        within += list(abs(np.log(new / level)) <= spread.half_width)
    assert np.mean(within) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("repeats", [[], [[1.0], [2.0]], [[1.0, 1.1], [2.0]]])
def test_one_repeat_is_too_few(repeats: list[list[float]]) -> None:
    assert Spread.of(repeats) is None


def test_it_says_in_a_line_what_it_is_and_of_what() -> None:
    spread = Spread.of([[1.0, 1.01, 0.99], [2.0]])
    assert str(spread) == (
        "95 % of sessions give a ratio within ± 4.2 % (by 3 of 1 network measured again);"
        " an interval is of one session"
    )
