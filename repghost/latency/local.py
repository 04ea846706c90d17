"""This machine's CPU as a device: one core, one thread, through MNN."""

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from repghost.deploy.runtime import MnnNetwork, mnn_version
from repghost.latency.record import DeviceState

INPUT_SEED = 0
WATCH_S = 0.2  # /proc/stat counts in steps of 0.01 s
CPU = Path("/sys/devices/system/cpu")


class LocalDevice:
    """This machine's CPU; entered, the calling thread is pinned to its least busy allowed core.

    Where the system has no affinity, or forbids it, nothing is pinned and `state()` says why.
    """

    name = "local"

    def __init__(self) -> None:
        self.profile = f"local: {cpu_model()}"
        self.mnn_version = mnn_version()
        self._outer: list[set[int]] = []  # the cores to give back, one entry per `with`
        self._why_free = "nothing is being timed"

    def __enter__(self) -> Self:
        if not hasattr(os, "sched_setaffinity"):
            self._why_free = "this system cannot pin a process to a core"
            return self
        allowed = os.sched_getaffinity(0)
        self._outer.append(allowed)
        try:
            os.sched_setaffinity(0, {quietest(allowed, busy_shares())})
        except OSError as error:
            self._why_free = f"this system did not pin the process: {error.strerror}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._outer:
            allowed = self._outer.pop()
            if os.sched_getaffinity(0) != allowed:
                os.sched_setaffinity(0, allowed)

    def load(self, mnn_path: Path) -> MnnNetwork:
        """Return the network of a `.mnn` file with seeded random input, on one thread.

        Raises:
            ValueError: the file is missing, cannot be loaded, or has no fixed input shape.
        """
        network = MnnNetwork(mnn_path, threads=1)
        shape = network.input_shape
        if not shape or min(shape) < 1:
            raise ValueError(f"{mnn_path}: its input is {shape}; export it with a fixed shape")
        noise = np.random.default_rng(INPUT_SEED).normal(size=shape)
        network.fill(noise.astype(np.float32))
        return network

    def state(self) -> DeviceState:
        """Return load, core, governor and frequency (None where unreadable), pinned or why not."""
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
        pinned = bool(self._outer) and len(cores) == 1
        core = min(cores) if pinned else None
        return {
            "pinned": pinned,
            "why_not_pinned": None if pinned else self._why_free,
            "core": core,
            "load_average_1min": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            "governor": _cpufreq(core, "scaling_governor"),
            "frequency_mhz": _mhz(_cpufreq(core, "scaling_cur_freq")),
            "max_frequency_mhz": _mhz(_cpufreq(core, "cpuinfo_max_freq")),
        }


def cpu_model() -> str:
    """Return the processor's (or the board's) name, such as "AMD EPYC"; the same on every day."""
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    board = _read(Path("/proc/device-tree/model"))  # Arm boards name themselves only here
    return board or platform.processor() or platform.machine() or "unknown CPU"


def quietest(allowed: set[int], busy: Mapping[int, float]) -> int:
    """Return the allowed core with the smallest busy share; the last one among equals."""
    return min(allowed, key=lambda core: (busy.get(core, 0.0), -core))


def busy_shares(watch_s: float = WATCH_S) -> dict[int, float]:
    """Watch every core for `watch_s` seconds: core -> share of it not idle; empty if unreadable."""
    before = _core_ticks()
    if before:
        time.sleep(watch_s)
    after = _core_ticks()
    shares = {}
    for core in before.keys() & after.keys():
        (busy, total), (busy_before, total_before) = after[core], before[core]
        shares[core] = (busy - busy_before) / max(total - total_before, 1)
    return shares


def _core_ticks() -> dict[int, tuple[int, int]]:
    """Return core -> (busy ticks, all ticks) since boot, from Linux's /proc/stat."""
    ticks = {}
    for line in (_read(Path("/proc/stat")) or "").splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name != "cpu":
            total, idle = sum(map(int, counts[:8])), sum(map(int, counts[3:5]))
            ticks[int(name[3:])] = (total - idle, total)
    return ticks


def _cpufreq(core: int | None, name: str) -> str | None:
    return None if core is None else _read(CPU / f"cpu{core}" / "cpufreq" / name)


def _mhz(khz: str | None) -> float | None:
    return float(khz) / 1000 if khz and khz.isdigit() else None


def _read(path: Path) -> str | None:
    """Return the text of a file of the system, None where it does not exist or is not for us."""
    try:
        return path.read_text(errors="replace").strip().strip("\0") or None
    except OSError:
        return None
