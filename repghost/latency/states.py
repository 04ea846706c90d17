"""The states of a machine: what of a session was taken while it ran as it usually does.

Neighbours, clocks and shared caches keep a machine in one state for seconds to minutes, and a ratio
is another one in each: GhostNet 0.5x / RepGhostNet 0.5x stood at 1.37 while the reference took 2.2
to 2.4 ms, at 1.32 to 1.34 above 2.45 ms, and at 1.32 to 1.36 below 2.1 ms, on one machine within
half an hour. The reference's usual time on a device tells which state is the one to compare in.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from repghost.latency.protocol import Array
from repghost.latency.statistics import FEWEST_GROUPS

ALIKE = 0.06  # how far from its usual time the reference may be, relatively
RECENT = 5  # sessions that tell how a device usually is: it may have changed since the older
FEWEST_SESSIONS = 3  # with which that is known


def usual_ms(medians: Sequence[float]) -> float | None:
    """Return the reference's usual time from its medians in the latest sessions; None of few."""
    return float(np.median(medians)) if len(medians) >= FEWEST_SESSIONS else None


class Usual:
    """The state in which a device usually is, by the median time of the reference; None: unknown.

    Rounds are judged by those of which so many were taken `together`, in one process.
    """

    def __init__(self, reference_ms: float | None, together: int) -> None:
        self.reference_ms = reference_ms if together > 1 else None
        self._together = together

    def rounds(self, reference: Array) -> NDArray[np.bool_]:
        """Say which rounds `(rounds,)` of a reference's times `(rounds, samples)` count.

        Where too few were taken in the usual state for an interval, all do.
        """
        usual = self._alike(reference)
        return usual if self._suffice(usual) else np.ones(len(reference), np.bool_)

    def is_met(self, reference: Array) -> bool:
        """Whether rounds enough were taken in the usual state."""
        return self._suffice(self._alike(reference))

    def doubt(self, reference: Array) -> list[str]:
        """Say what tells against a ratio that was not taken in the usual state."""
        if self.reference_ms is None or self.is_met(reference):
            return []
        change = float(np.median(reference)) / self.reference_ms - 1
        much = f"{abs(100 * change):.0f} % {'slower' if change > 0 else 'faster'} than usual"
        return [f"the reference ran {much}: the machine was in another state, with other ratios"]

    def _alike(self, reference: Array) -> NDArray[np.bool_]:
        if self.reference_ms is None:
            return np.ones(len(reference), np.bool_)
        starts = range(0, len(reference), self._together)
        medians = [float(np.median(reference[at : at + self._together])) for at in starts]
        near = [abs(math.log(median / self.reference_ms)) <= ALIKE for median in medians]
        return np.repeat(near, self._together)[: len(reference)]

    def _suffice(self, rounds: NDArray[np.bool_]) -> bool:
        return self.reference_ms is None or int(rounds.sum()) >= FEWEST_GROUPS * self._together
