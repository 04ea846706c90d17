"""What the system says of this machine: its cores, their speed, what is counted of them."""

import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

CPU = "sys/devices/system/cpu"
ALIKE = 0.95  # favoured cores of one kind differ by a few percent, small cores by far more


class CoreTicks(NamedTuple):
    """What a core did since the start, in ticks (mostly 0.01 s): `steal` is not in `busy`."""

    busy: int
    steal: int
    total: int


class Machine:
    """The files of Linux below `root` in which it says what it is and does.

    Where there is no such file (macOS, boards, containers) the answer is None or empty.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def read(self, path: str) -> str | None:
        """Return the text of a file, None where it does not exist or is not for us."""
        try:
            return (self.root / path).read_text(errors="replace").strip().strip("\0") or None
        except OSError:
            return None

    def number(self, path: str) -> float | None:
        """Return the number that a file begins with."""
        text = (self.read(path) or "").split()
        try:
            return float(text[0]) if text else None
        except ValueError:
            return None

    def paths(self, pattern: str) -> list[str]:
        """Return the files that a glob pattern finds, relative to the root."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.glob(pattern))

    def cpu_model(self) -> str:
        """Return the processor's (or the board's) name, such as "AMD EPYC"; the same every day."""
        for line in (self.read("proc/cpuinfo") or "").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
        board = self.read("proc/device-tree/model")  # Arm boards name themselves only here
        return board or platform.processor() or platform.machine() or "unknown CPU"

    def is_virtual(self) -> bool:
        """Say whether a hypervisor stands below; False also where it hides."""
        flags = re.search(r"^flags\s*:.*\bhypervisor\b", self.read("proc/cpuinfo") or "", re.M)
        return flags is not None

    def core_ticks(self) -> dict[int, CoreTicks]:
        """Return core -> what it did since the start; empty where that is not counted."""
        ticks = {}
        for line in (self.read("proc/stat") or "").splitlines():
            name, *counts = line.split()
            if re.fullmatch(r"cpu\d+", name):
                numbers = [int(count) for count in counts[:8]]  # guests are within user
                total, idle, steal = sum(numbers), sum(numbers[3:5]), sum(numbers[7:])
                ticks[int(name[3:])] = CoreTicks(total - idle - steal, steal, total)
        return ticks

    def cpufreq(self, core: int | None, name: str) -> str | None:
        """Return what a core's frequency scaling says, such as its `scaling_governor`."""
        return None if core is None else self.read(f"{CPU}/cpu{core}/cpufreq/{name}")

    def mhz(self, core: int | None, name: str) -> float | None:
        """Return a frequency of a core in MHz, such as its `cpuinfo_max_freq`."""
        khz = self.cpufreq(core, name)
        return float(khz) / 1000 if khz and khz.isdigit() else None

    def siblings(self, core: int) -> set[int]:
        """Return the hardware threads of the same physical core, itself left out."""
        listed = self.read(f"{CPU}/cpu{core}/topology/thread_siblings_list") or ""
        return core_list(listed) - {core}

    def fast(self, cores: Iterable[int]) -> set[int]:
        """Return the cores of the fastest kind: a small core's number is another number."""
        speeds = {core: self._speed(core) for core in cores}
        best = max(speeds.values(), default=0.0)
        return {core for core, speed in speeds.items() if speed >= ALIKE * best}

    def _speed(self, core: int) -> float:
        capacity = self.number(f"{CPU}/cpu{core}/cpu_capacity")
        return capacity or self.mhz(core, "cpuinfo_max_freq") or 0.0

    def quota_cores(self) -> float | None:
        """Return how many cores' worth of time the container may use; None where unlimited."""
        quotas = [quota for quota in map(self._quota, self._cpu_groups()) if quota is not None]
        return min(quotas, default=None)

    def _quota(self, folder: str) -> float | None:
        unified = (self.read(f"{folder}/cpu.max") or "").split()
        if len(unified) == 2 and unified[0].isdigit():
            return int(unified[0]) / int(unified[1])
        quota = self.number(f"{folder}/cpu.cfs_quota_us")
        period = self.number(f"{folder}/cpu.cfs_period_us")
        return quota / period if quota and quota > 0 and period else None

    def stopped_s(self) -> float | None:
        """Return for how long the container's quota has stopped its processes, in seconds."""
        for folder in self._cpu_groups():
            said = self.read(f"{folder}/cpu.stat") or ""
            if found := re.search(r"^throttled_(usec|time) (\d+)$", said, re.M):
                return int(found[2]) / (1e6 if found[1] == "usec" else 1e9)
        return None

    def _cpu_groups(self) -> list[str]:
        """Return the control groups that limit us, ours first, then those around it."""
        found = []
        for line in (self.read("proc/self/cgroup") or "").splitlines():
            _, kinds, group = line.split(":", 2)
            if kinds and "cpu" not in kinds.split(","):
                continue
            base = "sys/fs/cgroup" if not kinds else f"sys/fs/cgroup/{kinds}"
            parts = [part for part in group.split("/") if part and part != ".."]
            found += ["/".join([base, *parts[:depth]]) for depth in range(len(parts), -1, -1)]
        return found

    def pressure_s(self) -> float | None:
        """Return for how long some task has waited for a core, in seconds since the start."""
        found = re.search(r"^some .*total=(\d+)", self.read("proc/pressure/cpu") or "", re.M)
        return int(found[1]) / 1e6 if found else None

    def delayed_s(self) -> float | None:
        """Return for how long the calling thread was ready to run and waited for a core."""
        fields = (self.read("proc/thread-self/schedstat") or "").split()
        return int(fields[1]) / 1e9 if len(fields) == 3 else None


def core_list(text: str) -> set[int]:
    """Return the cores that Linux writes as "0,2-3"."""
    cores: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        cores |= set(range(int(first), int(last or first) + 1))
    return cores


def allowed_cores() -> set[int]:
    """Return the cores that the calling thread may use; empty where the system has no affinity."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
