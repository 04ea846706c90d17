"""What the times of a session themselves tell against its ratio."""

import math

import numpy as np

from repghost.latency.protocol import Array
from repghost.latency.statistics import Band, Interval, difference_interval, shift_interval

DRIFT = 0.01
FEWEST_TO_COMPARE = 12  # rounds; a third of them is what a drift is judged by
SHIFT_LIMIT = 2.5  # half-widths between the halves of a session, beyond which they disagree


def doubts(
    model: Array, reference: Array, ratio: Interval, rng: np.random.Generator, band: Band
) -> list[str]:
    """Say what the times `(rounds, samples)` of a session themselves tell against its ratio.

    The reference that drifted, from the first to the last third; and halves of the session whose
    ratios differ by more than its interval allows, which therefore promises too much.
    """
    rounds = len(model)
    if rounds < FEWEST_TO_COMPARE:
        return []
    found, third, log = [], rounds // 3, np.log(reference)
    drift = exp_interval(shift_interval(log[:third], log[-third:], rng))
    if abs(drift.value - 1) > DRIFT and not drift.low <= 1 <= drift.high:
        word = "slower" if drift.value > 1 else "faster"
        percent = 100 * abs(drift.value - 1)
        found.append(f"the reference became {percent:.1f} % {word} during the session")
    halves = slice(None, rounds // 2), slice(rounds // 2, None)
    logs = [
        difference_interval(np.log(model[half]), np.log(reference[half]), rng, band).value
        for half in halves
    ]
    shift = math.expm1(logs[1] - logs[0])
    if abs(shift) * ratio.value > SHIFT_LIMIT * ratio.half_width:
        found.append(
            f"the ratio moved by {100 * abs(shift):.1f} % between the halves of the session, more"
            " than its interval allows"
        )
    return found


def exp_interval(logs: Interval) -> Interval:
    """Return an interval of logarithms as one of what they are of."""
    return Interval(*(math.exp(value) for value in logs))
