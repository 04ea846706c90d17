"""What a device must offer to be timed on; all pass `tests/latency/devices/device_contract`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from repghost.latency.record import DeviceState

BLOCKS_TOGETHER = 3  # blocks of rounds in one process, where a device can have several


class DeviceError(Exception):
    """The device cannot be timed on now: one line with what was found and what to do.

    Nothing is wrong with the network that was to be timed: it may be timed here later, or
    elsewhere. A network that is to blame raises ValueError.
    """


@dataclass(frozen=True)
class Check:
    """One line of `doctor`: what was looked at, what was found, and what to do if it is not fine.

    `level` is "ok", "warn" (numbers are doubtful) or "fail" (nothing can be timed).
    """

    what: str
    level: str
    found: str
    advice: str = ""


class TimedNetwork(Protocol):
    """A network on a device, its input filled, ready to run."""

    def time_ms(self, runs: int, settle: int = 0) -> float:
        """Run `settle` times untimed, then `runs` times in a row; return the mean of these in ms.

        Raises:
            DeviceError: the device went away, or did not say a time.
        """
        ...


class Device(Protocol):
    """A place where networks run; entered for as long as something is timed there.

    Entering makes it quiet (pins a core, wakes a phone); leaving puts everything back, also after
    an exception. It may be entered again inside. Every method may raise DeviceError.
    """

    @property
    def name(self) -> str:
        """The name by which the user asks for it, such as "local" or "pixel"."""
        ...

    @property
    def profile(self) -> str:
        """What it is, the same on every day: equal profiles share their measurements."""
        ...

    @property
    def mnn_version(self) -> str:
        """The version of the runtime that runs there, MNN's if nothing else is said."""
        ...

    @property
    def fewest_runs(self) -> int:
        """The runs of the shortest sample: many where a call costs more than a run."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def load(self, path: Path, threads: int = 1, numerics: str = "fp32") -> TimedNetwork:
        """Return the network of a file with seeded random input; each call loads it anew.

        Raises:
            ValueError: the file is missing, cannot be loaded, or has no fixed input shape.
        """
        ...

    def ready(self, sleep: Callable[[float], None]) -> list[str]:
        """Wait until a block of rounds may begin; say in words what makes its numbers doubtful.

        Raises:
            DeviceError: it is not fit for it, and did not become so in its time: hot, busy, gone.
        """
        ...

    def state(self) -> DeviceState:
        """Return what may disturb a number now, ready for JSON; has at least the key "pinned"."""
        ...

    def checks(self) -> list[Check]:
        """Look at everything that makes a number doubtful, without an exception (`doctor`)."""
        ...
