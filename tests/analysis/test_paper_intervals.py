import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.paper.intervals import (
    ONE,
    difference,
    holds,
    quotient,
    spearman,
    spearman_interval,
)
from repghost.latency.statistics import Interval

FEW = st.sampled_from([0.0, 1.0, 1.5, -2.0, 7.0])
PAIRS = st.lists(st.tuples(FEW | st.floats(-9, 9), FEW | st.floats(-9, 9)), min_size=3, max_size=12)


def mean_ranks(values):
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def brute_force(x, y):
    """Pearson's correlation of mean ranks, by its definition."""
    a, b = mean_ranks(x), mean_ranks(y)
    mean = (len(x) + 1) / 2
    top = sum((p - mean) * (q - mean) for p, q in zip(a, b, strict=True))
    below = sum((p - mean) ** 2 for p in a) * sum((q - mean) ** 2 for q in b)
    return top / math.sqrt(below) if below else math.nan


@given(PAIRS, st.randoms(use_true_random=False))
def test_spearman_equals_brute_force_on_shuffled_and_tied_values(pairs, shuffler):
    shuffler.shuffle(pairs)
    x, y = zip(*pairs, strict=True)
    assert spearman(x, y) == pytest.approx(brute_force(x, y), abs=1e-12, nan_ok=True)


def test_spearman_of_distinct_values_is_the_textbook_formula():
    for order in itertools.permutations(range(5)):
        squares = sum((i - j) ** 2 for i, j in enumerate(order))
        assert spearman(range(5), order) == pytest.approx(1 - 6 * squares / (5 * 24))


def test_a_constant_has_no_rank_correlation_and_two_pairs_are_refused():
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))
    with pytest.raises(ValueError, match="2 and 2 values"):
        spearman([1, 2], [1, 2])
    with pytest.raises(ValueError, match="3 and 4 values"):
        spearman([1, 2, 3], [1, 2, 3, 4])


def test_the_interval_of_a_rank_correlation_covers_the_truth_about_as_often_as_it_says():
    random_state = np.random.default_rng(1)
    true = 6 / math.pi * math.asin(0.8 / 2)  # Spearman's of a normal pair correlated by 0.8
    hits = 0
    for _ in range(40):
        x = random_state.normal(size=40)
        y = 0.8 * x + 0.6 * random_state.normal(size=40)
        found = spearman_interval(list(x), list(y))
        assert found.low <= found.value <= found.high
        hits += found.low <= true <= found.high
    assert 33 <= hits <= 40


def log_normal(value, spread):
    return Interval(value, value * math.exp(-1.96 * spread), value * math.exp(1.96 * spread))


@pytest.mark.parametrize(("s", "t"), [(0.01, 0.01), (0.05, 0.002), (0.2, 0.3)])
def test_a_quotient_of_intervals_is_that_of_a_simulation(s, t):
    random_state = np.random.default_rng(0)
    above = 2.4 * np.exp(s * random_state.normal(size=400_000))
    below = 2.0 * np.exp(t * random_state.normal(size=400_000))
    low, high = np.quantile(above / below, [0.025, 0.975])
    found = quotient(log_normal(2.4, s), log_normal(2.0, t))
    assert found.value == pytest.approx(1.2)
    width = high - low
    assert found.low == pytest.approx(low, abs=0.02 * width)
    assert found.high == pytest.approx(high, abs=0.02 * width)


def test_a_quotient_by_one_and_its_inverse_keep_the_interval():
    interval = Interval(1.26, 1.24, 1.29)
    assert quotient(interval, ONE) == pytest.approx(interval)
    inverse = quotient(ONE, interval)
    assert inverse == pytest.approx(Interval(1 / 1.26, 1 / 1.29, 1 / 1.24))


def test_a_difference_of_intervals_is_that_of_a_simulation():
    random_state = np.random.default_rng(0)
    drawn = random_state.normal(0.2, 0.01, 400_000) - random_state.normal(0.05, 0.005, 400_000)
    low, high = np.quantile(drawn, [0.025, 0.975])
    one, other = Interval(0.2, 0.1804, 0.2196), Interval(0.05, 0.0402, 0.0598)
    assert difference(one, other) == pytest.approx(Interval(0.15, low, high), abs=2e-4)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.16, 1.24, "yes"),
        (1.14, 1.26, "yes"),
        (1.13, 1.2, "not settled"),
        (1.2, 1.3, "not settled"),
        (1.27, 1.3, "no"),
        (1.0, 1.13, "no"),
    ],
)
def test_a_claim_holds_only_with_its_whole_interval(low, high, said):
    assert holds(Interval((low + high) / 2, low, high), 1.2, 0.05) == said


def test_shuffled_rows_have_one_rank_correlation():
    source = random.Random(0)
    pairs = [(source.random(), source.randrange(4)) for _ in range(22)]
    first = spearman(*zip(*pairs, strict=True))
    source.shuffle(pairs)
    assert spearman(*zip(*pairs, strict=True)) == pytest.approx(first)
