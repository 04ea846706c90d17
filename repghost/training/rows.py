"""Which part of every batch is whose, where several processes train one network."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rows:
    """The rows of process `rank` of `world`: contiguous, disjoint, and together the whole batch.

    A batch is made, or at least its order drawn, as if there were one process; each takes its part
    of it. So the images of a step do not depend on how many processes there are.
    """

    rank: int = 0
    world: int = 1

    def of(self, count: int) -> slice:
        """Return which of `count` rows are this process's; parts differ by at most one row."""
        return slice(
            count * self.rank // self.world,
            count * (self.rank + 1) // self.world,
        )


ALL = Rows()
