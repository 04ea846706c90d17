"""Where the calling thread runs, and how urgently, for as long as something is timed."""

import contextlib
import os
from pathlib import Path

from repghost.latency.devices.busy import named
from repghost.latency.devices.contract import DeviceError
from repghost.latency.devices.machine import Machine, allowed_cores
from repghost.latency.devices.spec import NAME

# 97 % of a core that another process of the session wants too. No real-time class: it can starve a
# core, and most kernels then stop it for 50 ms in every second, also where nobody waits.
NICE = -15
TASKS = Path("/proc/self/task")


class Place:
    """Pins the calling thread, and only it, to cores and raises its priority; puts both back.

    A process that it starts meanwhile has the same cores and priority.

    `core` is the core wanted, None for the least busy one of the fastest kind. Where the system
    does not pin, or does not raise, nothing is changed and `why_free` and `why_not_raised` say why.
    `prefix` is that of the word by which the user names the core.
    """

    def __init__(self, machine: Machine, core: int | None, prefix: str = NAME) -> None:
        self._machine, self._wanted, self._word = machine, core, f"{prefix}core"
        self.cores: frozenset[int] = frozenset()
        self.why_free = self.why_not_raised = "nothing is being timed"
        self.nice: int | None = None
        self._order: list[int] = []
        self._allowed: set[int] = set()
        self._outer_nice: int | None = None

    def take(self, shares: dict[int, float]) -> None:
        """Pin and raise; `shares` is how busy each core is, 0 to 1.

        Raises:
            DeviceError: the core that is wanted is not to be had.
        """
        self._allowed = allowed_cores()
        self._order = self._choices(shares)
        self._pin(1)
        if self._wanted is not None and not self.cores:
            raise DeviceError(
                f"{self._word}={self._wanted}: {self.why_free}; leave {self._word} out"
            )
        self._raise()

    def give_back(self) -> None:
        """Put cores and priority back as they were."""
        if self.cores:
            with contextlib.suppress(OSError):  # what was allowed may be so no more
                os.sched_setaffinity(0, self._allowed)
        if self._outer_nice is not None:
            os.setpriority(os.PRIO_PROCESS, 0, self._outer_nice)
        self.cores, self.nice, self._outer_nice = frozenset(), None, None
        self.why_free = self.why_not_raised = "nothing is being timed"

    def seat(self, threads: int) -> None:
        """Pin to one core a thread."""
        if self.cores:
            self._pin(threads)

    def _choices(self, shares: dict[int, float]) -> list[int]:
        """Return the cores that may be used, the one wanted or the least busy first."""
        if not self._allowed or self._wanted is None:
            return quietest(self._machine, self._allowed, shares)
        if self._wanted not in self._allowed:
            raise DeviceError(
                f"{self._word}={self._wanted}: this process may use {named(self._allowed)}"
            )
        rest = quietest(self._machine, self._allowed - {self._wanted}, shares)
        return [self._wanted, *rest]

    def _pin(self, threads: int) -> None:
        cores = frozenset(self._order[:threads])
        if not cores:
            self.why_free = "this system cannot pin a process to a core"
            return
        try:
            os.sched_setaffinity(0, cores)
        except OSError as error:
            self.why_free = f"this system did not pin the process: {error.strerror}"
        else:
            self.cores = cores

    def _raise(self) -> None:
        """Make this thread more urgent; on Linux a priority is a thread's own."""
        self.nice = now = os.getpriority(os.PRIO_PROCESS, 0)
        if not TASKS.exists():
            self.why_not_raised = "this system raises only whole processes"
            return
        try:
            os.setpriority(os.PRIO_PROCESS, 0, min(now, NICE))
        except OSError as error:
            self.why_not_raised = f"this system did not raise it: {error.strerror}"
        else:
            self._outer_nice, self.nice = now, min(now, NICE)


def quietest(machine: Machine, allowed: set[int], shares: dict[int, float]) -> list[int]:
    """Return the allowed cores, the fastest kind first, the least busy of a kind first.

    A core is as busy as the busiest of its hardware threads. Of equals the last comes first: the
    system puts its own work on the first cores.
    """
    fast = machine.fast(allowed)

    def rank(core: int) -> tuple[bool, float, int]:
        threads = {core} | machine.siblings(core)
        return core not in fast, max(shares.get(one, 0.0) for one in threads), -core

    return sorted(allowed, key=rank)
