"""How far apart the sessions of a device stand, which no interval of one session knows."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from repghost.words import counted

FEWEST_FREE = 2  # repeats beyond the first of each graph; with one, the bounds would be tenfold


@dataclass(frozen=True)
class Spread:
    """95 % of a device's sessions give a ratio within `half_width` (relative) of their mean.

    By so many sessions, of so many graphs that were measured in several.
    """

    half_width: float
    sessions: int
    graphs: int

    @classmethod
    def of(cls, repeats: Iterable[Sequence[float]]) -> "Spread | None":
        """Return it from each graph's ratios, one a session; None where too few were repeated."""
        logs = [np.log(ratios) for ratios in repeats if len(ratios) > 1]
        sessions = sum(map(len, logs))
        free = sessions - len(logs)
        if free < FEWEST_FREE:
            return None
        squares = sum(float(np.square(one - one.mean()).sum()) for one in logs)
        return cls(student(free) * math.sqrt(squares / free), sessions, len(logs))

    def __str__(self) -> str:
        return (
            f"95 % of sessions give a ratio within ± {100 * self.half_width:.1f} % (by"
            f" {self.sessions} of {counted(self.graphs, 'network')} measured again); an interval is"
            " of one session"
        )


def student(free: int) -> float:
    """Return the 97.5 % quantile of Student's t, to 3 % from two degrees of freedom on.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    return 1.96 + 2.372 / free + 2.822 / free**2 + 2.556 / free**3
