"""Who holds a claim or stands beside a device, as hosts tell each other."""

import os
import platform
from typing import NamedTuple, Self


class Process(NamedTuple):
    """A process of some host."""

    host: str
    pid: int

    @classmethod
    def this(cls) -> Self:
        """Return the process that asks."""
        return cls(platform.node(), os.getpid())

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_dead(self) -> bool:
        """Whether it is known to be gone: only of this host can that be told."""
        if self.host != platform.node():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # somebody else's
            return False
        return False
