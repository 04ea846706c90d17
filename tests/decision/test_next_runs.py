import math

import numpy as np
import pytest
from scipy.stats import norm

from repghost.decision.chances import Contender
from repghost.decision.next_runs import ASSUMED_POINTS, NextRun, _explained, next_runs


def one(label, score, ms=1.0, error=0.0, graph=None):
    return Contender(label, tuple(score), ms, error, graph or label, label)


def what(contenders, count=1, **more):
    return [(run.kind, contenders[run.place].label) for run in next_runs(contenders, count, **more)]


def test_what_an_outcome_explains_is_the_variance_of_the_chance_that_it_leaves():
    """Truth x ~ N(0, 1), outcome y = x + N(0, 1); P(x > 0 | y) = Phi(y / sqrt(2))."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(400_000)
    y = x + rng.standard_normal(x.size)
    exact = norm.cdf(math.sqrt(2) * rng.standard_normal(10**6) / math.sqrt(2)).var()  # y ~ N(0, 2)
    assert _explained(y, (x > 0)[:, None]) == pytest.approx(exact, rel=0.02)
    assert _explained(rng.standard_normal(x.size), (x > 0)[:, None]) < 1e-4


def test_of_two_with_one_graph_the_one_with_fewer_seeds_is_trained_again():
    many = one("many", [70.0, 71.0, 70.4, 70.6, 70.2, 70.8], graph="g")
    few = one("few", [70.4, 70.9], graph="g")
    assert what([many, few]) == [("seed", "few")] == what([few, many])


def test_a_contender_that_is_beaten_for_sure_gets_nothing():
    pair = [one("a", [70, 71], graph="g"), one("b", [70.2, 71.1], graph="g")]
    poor = one("poor", [50, 51], ms=9.0, error=0.2)
    assert {label for _, label in what([*pair, poor], 4)} == {"a", "b"}


def test_a_latency_in_doubt_is_measured_longer():
    fast = one("fast", [70.0, 70.1], 1.0, error=0.03)
    good = one("good", [90.0, 90.1], 1.0, error=0.001)
    assert what([good, fast]) == [("rounds", "fast")]


def test_the_rounds_of_a_graph_are_asked_for_once():
    twins = [one(n, [70.0, 70.1], 1.0, 0.03, graph="g") for n in ("a", "b")]
    good = one("good", [90.0, 90.1], 1.0, error=0.001)
    assert what([good, *twins], 2)[0] == ("rounds", "a")
    asked = NextRun("rounds", 1, 0.5)
    assert ("rounds", "b") not in what([good, *twins], 1, at_work=[asked])


def test_what_is_decided_asks_for_nothing():
    assert next_runs([one("a", [70, 70.1], 1.0), one("b", [90, 90.1], 0.5)], 5) == []
    assert next_runs([one("alone", [70, 80])], 5) == [] == next_runs([], 5)


def test_with_one_seed_everywhere_a_spread_is_assumed():
    near = [one("a", [70.0], graph="g"), one("b", [70.0 + ASSUMED_POINTS], graph="g")]
    assert [kind for kind, _ in what(near)] == ["seed"]
    assert what(near, assumed=1e-3) == []


def test_runs_at_work_count_as_if_they_had_confirmed_the_scores():
    pair = [one("a", [70, 71], graph="g"), one("b", [70.6, 71.6], graph="g")]
    first = next_runs(pair, 9)
    assert first and first == next_runs(pair, 1) + next_runs(pair, 8, at_work=first[:1])


def test_more_seeds_are_spread_over_a_pair_that_ties():
    pair = [one("a", [70, 71], graph="g"), one("b", [70.05, 71.05], graph="g")]
    labels = [label for _, label in what(pair, 6)]
    assert labels.count("a") == labels.count("b") == 3


def test_two_seeds_that_agree_to_the_last_digit_are_no_spread_of_0():
    assert [
        kind for kind, _ in what([one("a", [70.0], graph="g"), one("b", [70.3] * 2, graph="g")])
    ] == ["seed"]
