import math
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repghost.decision.pareto import pareto_front

FEW = st.sampled_from([0.0, 1.0, 1.5, 2.0, -1.0, math.inf, -math.inf, math.nan])
POINTS = st.lists(st.tuples(FEW, FEW) | st.tuples(st.floats(), st.floats()), max_size=40)


def brute_force(points: list[tuple[float, float]]) -> set[int]:
    finite = [i for i, point in enumerate(points) if all(map(math.isfinite, point))]

    def dominates(a: int, b: int) -> bool:
        no_worse = points[a][0] <= points[b][0] and points[a][1] >= points[b][1]
        return no_worse and points[a] != points[b]

    return {i for i in finite if not any(dominates(j, i) for j in finite)}


@given(POINTS, st.randoms(use_true_random=False))
def test_front_equals_brute_force_on_shuffled_tied_and_infinite_points(points, shuffler):
    points = points + points[: len(points) // 2]
    shuffler.shuffle(points)
    front = pareto_front(points)
    assert set(front) == brute_force(points)
    assert len(front) == len(set(front))


@given(POINTS)
def test_front_runs_from_fast_to_slow_and_rises(points):
    front = [points[i] for i in pareto_front(points)]
    assert front == sorted(front)
    assert [point[1] for point in front] == sorted(point[1] for point in front)


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(1.0, 70.0)], [0]),
        ([(math.nan, 70.0), (1.0, math.inf)], []),
        ([(1.0, 70.0), (1.0, 70.0)], [0, 1]),
        ([(1.0, 70.0), (1.0, 71.0)], [1]),
        ([(2.0, 71.0), (1.0, 71.0)], [1]),
        ([(2.0, 72.0), (3.0, 71.0), (1.0, 70.0)], [2, 0]),
    ],
)
def test_front_of_small_cases(points, front):
    assert pareto_front(points) == front


def test_a_hundred_thousand_points_do_not_take_quadratic_time():
    source = random.Random(0)
    points = [(source.random(), source.random()) for _ in range(100_000)]
    start = time.perf_counter()
    assert pareto_front(points)
    assert time.perf_counter() - start < 20  # quadratic time would be hours
