"""A ratio is that of the rounds in which the machine ran as it usually does."""

import numpy as np
import pytest
from test_session import Bench, outcomes, rounds_of

from repghost.latency.states import ALIKE, Usual
from repghost.latency.subject import BY_RUNS, PATIENCE

TOGETHER = 5
USUAL_MS, OTHER_STATE, OTHER_RATIO = 3.0, 0.8, 0.9  # in that state all is faster, the model more


def reference(*medians: float) -> np.ndarray:
    """Return times `(rounds, 3)` of a reference, a process of five rounds for each median."""
    return np.repeat(np.array(medians), TOGETHER)[:, None] * np.array([0.9, 1.0, 1.3])


def test_processes_count_whose_median_is_near_the_usual_time() -> None:
    times = reference(1.0, 1 + 2 * ALIKE, 1 + ALIKE / 2, 1.0, 1.0, 1 - 2 * ALIKE, 1.0)[:-2]
    counted = Usual(1.0, TOGETHER).rounds(times)
    assert counted.tolist() == [True] * 5 + [False] * 5 + [True] * 15 + [False] * 5 + [True] * 3


@pytest.mark.parametrize("usual_ms", [None, 1.0])
def test_all_count_where_the_usual_time_is_not_known_or_too_few_are_near_it(usual_ms) -> None:
    usual, times = Usual(usual_ms, TOGETHER), reference(1.0, 1.5, 1.5, 1.5, 1.5)
    assert usual.rounds(times).all()
    assert usual.is_met(times) == (usual_ms is None)
    assert usual.doubt(times) == (
        []
        if usual_ms is None
        else [
            "the reference ran 50 % slower than usual: the machine was in another state, with"
            " other ratios"
        ]
    )


def test_calls_of_a_program_are_not_judged_one_by_one() -> None:
    assert Usual(1.0, together=1).rounds(reference(9.0)).all()


def measured(fast_until: float, usual_ms: float | None):
    """Time a network of 6 ms on a machine that is in another state up to some time in seconds."""
    bench = Bench(slow=lambda now: OTHER_STATE if now < fast_until else 1.0)
    model = bench.network("a", 6.0, lambda: OTHER_RATIO if bench.now < fast_until else 1.0)
    (outcome,) = outcomes(list(bench.session(model, usual_ms=usual_ms))).values()
    return outcome, bench.now


def test_rounds_of_another_state_are_left_out_of_the_ratio_and_kept_as_samples() -> None:
    whole, seconds = measured(0.0, USUAL_MS)
    assert whole.rounds_counted == rounds_of(whole)
    outcome, _ = measured(seconds / 3, USUAL_MS)
    assert outcome.ratio == pytest.approx((2.0, 2.0, 2.0))
    assert (outcome.settled, outcome.flags) == (True, ())
    assert 0 < outcome.rounds_counted < rounds_of(outcome)
    unaware, _ = measured(seconds / 3, None)
    assert unaware.ratio.value < 1.99


def test_a_session_goes_on_until_the_machine_is_as_usual() -> None:
    whole, seconds = measured(0.0, USUAL_MS)
    outcome, _ = measured(0.8 * seconds, USUAL_MS)
    assert outcome.settled is True, "JSON has no numpy.bool"
    assert outcome.ratio.value == pytest.approx(2.0)
    assert rounds_of(outcome) > 1.2 * rounds_of(whole)


def test_a_session_in_another_state_alone_has_not_settled_and_says_why() -> None:
    outcome, _ = measured(float("inf"), USUAL_MS)
    assert (outcome.settled, outcome.ended) == (False, "the machine is not as usual")
    assert rounds_of(outcome) == PATIENCE * BY_RUNS.rounds
    assert outcome.ratio.value == pytest.approx(2.0 * OTHER_RATIO)
    (flag,) = outcome.flags
    assert flag.startswith("the reference ran 20 % faster than usual")
