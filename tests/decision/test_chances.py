import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repghost.decision.chances import Points, chances, draw_scores, front_chances, on_front
from repghost.decision.pareto import pareto_front

SMALL = st.integers(0, 4).map(float)
POINTS = st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=12)


def points(rows, spread=None, degrees=0, graph=None, training=None):
    """Make points of rows (latency, error of its logarithm, top-1, seeds)."""
    latency, error, score, seeds = (np.array(column, float) for column in zip(*rows, strict=True))
    each = np.arange(len(rows))
    return Points(
        latency,
        error,
        each if graph is None else np.array(graph),
        score,
        seeds.astype(int),
        each if training is None else np.array(training),
        spread,
        degrees,
    )


@given(st.lists(POINTS, min_size=1, max_size=5))
def test_rows_of_fronts_equal_the_exact_front_of_each_row(rows):
    n = min(map(len, rows))
    latency, score = np.array([row[:n] for row in rows]).transpose(2, 0, 1)
    found = on_front(latency, score)
    for row, flags in zip(rows, found, strict=True):
        assert set(np.flatnonzero(flags)) == set(pareto_front(row[:n]))


def test_a_hundred_thousand_points_take_about_a_second_at_most():
    source = np.random.default_rng(0)
    cloud = [tuple(row) for row in source.random((100_000, 2)).tolist()]
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        pareto_front(cloud)
        best = min(best, time.perf_counter() - start)
    assert best < 3  # 0.1 s on an idle core; shared ones are given room


def test_the_chance_of_two_points_is_that_of_the_normal_distribution():
    """One latency; top-1 differs by one standard error of the difference: 0.8413."""
    found = chances(
        points([(1, 0, 70.0, 2), (1, 0, 71.0, 2)], spread=1.0, degrees=10**6, graph=[0, 0]),
        draws=20_000,
    )
    assert found.front == pytest.approx([0.1587, 0.8413], abs=0.01)


def test_a_latency_that_is_not_sure_leaves_its_share_of_the_doubt():
    """Equal medians of latency with a better top-1: the poorer is on the front if it is faster."""
    found = chances(points([(1, 0.1, 70.0, 1), (1, 0.1, 80.0, 1)]), draws=20_000)
    assert found.front == pytest.approx([0.5, 1.0], abs=0.02)
    assert found.by_latency[0] == pytest.approx(0.5, abs=0.02) and found.by_score[0] == 0


def test_twins_share_one_latency_so_the_poorer_is_never_on_the_front_by_its_luck():
    found = chances(points([(1, 0.3, 70.0, 1), (1, 0.3, 80.0, 1)], graph=[0, 0]))
    assert list(found.front) == [0, 1]


def test_one_training_timed_twice_has_one_score():
    drawn = draw_scores(
        points([(1, 0, 70, 2), (2, 0, 70, 2)], 1.0, 4, training=[0, 0]),
        50,
        np.random.default_rng(0),
    )
    assert (drawn[:, 0] == drawn[:, 1]).all() and len(set(drawn[:, 0])) == 50


def test_few_degrees_of_freedom_give_the_tails_of_students_t():
    drawn = draw_scores(points([(1, 0, 0, 1)], 1.0, 2), 200_000, np.random.default_rng(0))
    assert (np.abs(drawn) > 4.303).mean() == pytest.approx(0.05, abs=0.005)


@given(POINTS)
@settings(deadline=None, max_examples=40)
def test_without_any_doubt_the_chances_are_the_front(cloud):
    found = chances(points([(ms + 1, 0, score, 1) for ms, score in cloud]), draws=3)
    assert set(np.flatnonzero(found.front == 1)) == set(pareto_front(cloud))
    assert set(found.front) <= {0.0, 1.0}


def test_ten_thousand_variants_are_drawn_in_pieces():
    source = np.random.default_rng(1)
    rows = [(ms, 0.01, score, 1) for ms, score in 1 + source.random((10_000, 2))]
    found = chances(points(rows), draws=210)
    assert found.front.shape == (10_000,) and 1 < found.front.sum() < 200
    assert (front_chances(points(rows), draws=210) == found.front).all()
