"""What a device must offer to be timed on; every device passes `tests/latency/device_contract`."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from repghost.latency.record import DeviceState
from repghost.latency.spec import DEVICES


class TimedNetwork(Protocol):
    """A network on a device, its input filled, ready to run."""

    def time_ms(self, runs: int) -> float:
        """Run `runs` times in a row; return the mean in milliseconds."""
        ...


class Device(Protocol):
    """A place where networks run; entered for as long as something is timed there.

    Entering makes it quiet (pins a core, waits for a phone to cool down); leaving puts everything
    back, also after an exception. It may be entered again inside.
    """

    @property
    def name(self) -> str:
        """The name by which the user asks for it, such as "local"."""
        ...

    @property
    def profile(self) -> str:
        """What it is, the same on every day: equal profiles share their measurements."""
        ...

    @property
    def mnn_version(self) -> str:
        """The version of the MNN runtime that runs there."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def load(self, mnn_path: Path) -> TimedNetwork:
        """Return the network of a `.mnn` file with seeded random input, on one thread.

        Raises:
            ValueError: the file is missing, cannot be loaded, or has no fixed input shape.
        """
        ...

    def state(self) -> DeviceState:
        """Return what may disturb a number now, ready for JSON; has at least the key "pinned"."""
        ...


def open_device(name: str) -> Device:
    """Return the device of that name.

    Raises:
        ValueError: there is no such device.
    """
    from repghost.latency.local import LocalDevice

    devices: dict[str, Callable[[], Device]] = {"local": LocalDevice}
    if name not in devices:
        raise ValueError(f"latency.devices={name}: allowed are {', '.join(DEVICES)}")
    return devices[name]()
