"""A network on a phone: one model, timed by calls of benchmark.out."""

import importlib.util
from pathlib import Path

from repghost.latency.devices import benchmark_out
from repghost.latency.devices.adb_link import PhoneLink, Said
from repghost.latency.devices.contract import DeviceError

CALL_S = 60.0  # what a call may take beside the runs
SLOWER = 20  # by how much the runs may be slower than the first one was


class PhoneNetwork:
    """One model in a folder of its own on the phone."""

    def __init__(
        self,
        phone: PhoneLink,
        path: Path,
        folder: str,
        models: str,
        threads: int,
        numerics: str,
        mask: str,
    ) -> None:
        self._phone, self._path = phone, path
        self._folder, self._models = folder, models
        self._threads, self._numerics, self._mask = threads, numerics, mask
        self._first_ms = 0.0

    def try_out(self) -> None:
        """Run it once.

        Raises:
            ValueError: benchmark.out started and crashed: it is the network's fault.
            DeviceError: the phone is gone, the call took too long, or no time was said.
        """
        said = self._call(1, 0)
        if crash := benchmark_out.crash(said):
            words = benchmark_out.last_words(said)
            raise ValueError(
                f"{self._path}: crashes MNN on {self._phone}: {crash}; it said: {words}"
            )
        self._first_ms = self._average_ms(said)

    def time_ms(self, runs: int, settle: int = 0) -> float:
        """Run `settle` times, then `runs` times in one call of benchmark.out; the mean in ms.

        Raises:
            DeviceError: the phone is gone, the call took too long, or no time was said.
        """
        return self._average_ms(self._call(runs, settle))

    def _call(self, runs: int, settle: int) -> Said:
        line = benchmark_out.command(
            self._folder, self._models, runs, settle, self._threads, self._numerics, self._mask
        )
        return self._phone.run(line, CALL_S + SLOWER * (runs + settle) * self._first_ms / 1000)

    def _average_ms(self, said: Said) -> float:
        average_ms = benchmark_out.average_ms(said)
        if average_ms is None:
            words = benchmark_out.last_words(said)
            name = self._path.name
            raise DeviceError(f"{self._phone}: benchmark.out said no time for {name}: {words}")
        return average_ms


def check_network(path: Path) -> None:
    """Load it in this machine's MNN where there is one: a phone is not sent what cannot run.

    Raises:
        ValueError: the file is missing, cannot be loaded, or has no fixed input shape.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such MNN model")
    if importlib.util.find_spec("MNN") is None:
        return
    from repghost.deploy.runtime import MnnNetwork

    shape = MnnNetwork(path).input_shape
    if not shape or min(shape) < 1:
        raise ValueError(f"{path}: its input is {shape}; export it with a fixed shape")
