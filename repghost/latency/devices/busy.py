"""What else runs on this machine while something is timed, from the kernel's counters."""

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from repghost.latency.devices.machine import CoreTicks, Machine
from repghost.latency.record import DeviceState

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SHORTEST_S = 0.1  # below, ticks of 0.01 s say too little
GLANCE_S = 0.2  # a look of its own, where none of a block is to be had, and between two looks
# Shares from 0 to 1 above which a number is doubtful:
OURS = 0.05  # of the timed core, used by others
ELSEWHERE = 0.25  # of all other cores together, which share memory, cache and heat with it
STEAL = 0.02
DELAYED = 0.02  # of the time, in which we were ready to run and did not
STOPPED = 0.005
PRESSURE = 0.25


@dataclass(frozen=True)
class Counters:
    """What has been counted up to a moment: seconds of this clock, ticks of the cores.

    `own_s` is the calling thread's CPU time, `process_s` that of all threads of this process. What
    the system does not count is None, and then `load_average` stands for all.
    """

    at_s: float
    cores: Mapping[int, CoreTicks] = field(default_factory=dict)
    own_s: float = 0.0
    process_s: float = 0.0
    delayed_s: float | None = None
    pressure_s: float | None = None
    stopped_s: float | None = None
    load_average: float | None = None


@dataclass(frozen=True)
class Load:
    """What else ran between two moments: shares from 0 to 1 of the cores, or of the time.

    `ours` is what others used of the timed cores, `elsewhere` of all the others; without a timed
    core (`cores` is empty) all that is not our process is elsewhere. `others` has each other core.
    """

    cores: frozenset[int] = frozenset()
    ours: float = 0.0
    elsewhere: float = 0.0
    others: Mapping[int, float] = field(default_factory=dict)
    steal: float = 0.0
    delayed: float = 0.0
    pressure: float = 0.0
    stopped: float = 0.0
    crowd: float = 0.0  # load average without us, in cores' worth; only where nothing else is known

    def words(self) -> list[str]:
        """Say what of it makes a number doubtful; empty where the machine is quiet."""
        said = []
        if self.ours > OURS:
            said.append(f"another process used {percent(self.ours)} of {named(self.cores)} (timed)")
        elif self.delayed > DELAYED:
            said.append(f"the timed process waited {percent(self.delayed)} of the time for a core")
        if self.elsewhere > ELSEWHERE:
            said.append(self._elsewhere_words())
        if self.steal > STEAL:
            said.append(f"the hypervisor took {percent(self.steal)} (steal)")
        if self.stopped > STOPPED:
            said.append(f"the CPU quota stopped this container {percent(self.stopped)} of the time")
        if self.crowd > ELSEWHERE:
            said.append(f"the load average is {percent(self.crowd)} of all cores without us")
        if self.pressure > PRESSURE and not said:
            said.append(f"tasks waited {percent(self.pressure)} of the time for a core (pressure)")
        return said

    def _elsewhere_words(self) -> str:
        who = "another process" if len(self.others) == 1 else "other processes"
        which = named(self.others) if len(self.others) == 1 else f"{len(self.others)} other cores"
        if not self.cores:
            which = "all cores"
        return f"{who} used {percent(self.elsewhere)} of {which}"


def read_counters(machine: Machine, clock: Callable[[], float] = time.monotonic) -> Counters:
    """Return the counters as they stand now; takes well under a millisecond."""
    return Counters(
        at_s=clock(),
        cores=machine.core_ticks(),
        own_s=time.thread_time(),
        process_s=time.process_time(),
        delayed_s=machine.delayed_s(),
        pressure_s=machine.pressure_s(),
        stopped_s=machine.stopped_s(),
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def load_between(before: Counters, after: Counters, cores: frozenset[int]) -> Load:
    """Return what else ran between two moments, while we ran on `cores` (none: anywhere)."""
    span_s = max(after.at_s - before.at_s, 1e-9)
    ticks = _ticks_between(before, after)
    crowd = 0.0
    if not ticks and after.load_average is not None:
        crowd = max(0.0, after.load_average - 1) / (os.cpu_count() or 1)
    # Our other threads run elsewhere: on one timed core only the calling one is ours.
    alone = len(cores) == 1
    own_s = after.own_s - before.own_s if alone else after.process_s - before.process_s
    timed = [ticks[core] for core in cores & ticks.keys()]
    others = {core: _busy(ticks[core]) for core in sorted(ticks.keys() - cores)}
    rest = [ticks[core] for core in others]
    return Load(
        cores=cores,
        ours=_used_by_others(timed, own_s),
        elsewhere=_used_by_others(rest, None if cores else own_s),
        others=others,
        steal=_share([one.steal for one in timed or rest], timed or rest),
        delayed=_rate(before.delayed_s, after.delayed_s, span_s),
        pressure=_rate(before.pressure_s, after.pressure_s, span_s),
        stopped=_rate(before.stopped_s, after.stopped_s, span_s),
        crowd=crowd,
    )


class Watch:
    """Looks at what else runs from one block of a measurement to the next, and remembers it."""

    def __init__(self, read: Callable[[], Counters]) -> None:
        self._read = read
        self.start(frozenset())

    def start(self, cores: frozenset[int]) -> None:
        """Begin a measurement that runs on `cores`; none means wherever the system puts it."""
        self._cores, self._last = cores, self._read()
        self._in_vain = False
        self._seen: list[Load] = []
        self.waited_s = 0.0

    def move(self, cores: frozenset[int]) -> None:
        """Go on with the same measurement on other cores."""
        if cores != self._cores:
            self._cores, self._last = cores, self._read()

    def look(self) -> Load:
        """Return what else ran since the last look."""
        now = self._read()
        before, self._last = self._last, now
        return load_between(before, now, self._cores)

    def glance(self, sleep: Callable[[float], None]) -> Load:
        """Return what else runs now, while we sleep for a moment."""
        self._last = self._read()
        sleep(GLANCE_S)
        return self.look()

    def until_quiet(self, sleep: Callable[[float], None], wait_s: float) -> list[str]:
        """Return what disturbs now, in words; empty as soon as the machine is quiet.

        The time since the last call, with the block measured in it, costs no waiting. Waits up to
        `wait_s` otherwise, but after a wait in vain no longer than a glance until it was quiet
        once: a load that stays would cost that time before every block.
        """
        words = self._since_last(sleep).words()
        glances = math.ceil(wait_s / GLANCE_S - 1e-9)
        for _ in range(min(glances, 1) if self._in_vain else glances):
            if not words:
                break
            words = self.glance(sleep).words()
            self.waited_s += GLANCE_S
        self._in_vain = bool(words)
        return words

    def _since_last(self, sleep: Callable[[float], None]) -> Load:
        load = self._remembered()
        return load if load is not None else self.glance(sleep)

    def _remembered(self) -> Load | None:
        """Look at the time since the last look and remember it; None where that was too short."""
        if self._read().at_s - self._last.at_s < SHORTEST_S:
            return None
        self._seen.append(self.look())
        return self._seen[-1]

    def summary(self) -> DeviceState:
        """Return what was seen since the start, the time since the last look included."""
        self._remembered()
        busy = [load for load in self._seen if load.words()]
        worst = max(busy, key=lambda load: load.ours + load.elsewhere + load.steal, default=None)
        return {
            "looks": float(len(self._seen)),
            "busy_looks": float(len(busy)),
            "busiest": "; ".join(worst.words()) if worst else None,
            "others_on_core": _most(load.ours for load in self._seen),
            "others_elsewhere": _most(load.elsewhere for load in self._seen),
            "steal": _most(load.steal for load in self._seen),
            "pressure": _most(load.pressure for load in self._seen),
            "waited_s": round(self.waited_s, 1),
        }


def core_shares(before: Counters, after: Counters) -> dict[int, float]:
    """Return core -> the share of it, 0 to 1, that was not idle, what was stolen included."""
    return {core: _busy(ticks) for core, ticks in _ticks_between(before, after).items()}


def percent(share: float) -> str:
    """Return a share from 0 to 1 as "4 %"; "0.4 %" below 1 %."""
    return f"{share:.0%}".replace("%", " %") if share >= 0.01 else f"{100 * share:.1f} %"


def named(cores: Iterable[int]) -> str:
    """Return "core 1", or "cores 0 and 1"."""
    words = [str(core) for core in sorted(cores)]
    return f"core{'s' if len(words) > 1 else ''} {' and '.join(words)}"


def _ticks_between(before: Counters, after: Counters) -> dict[int, CoreTicks]:
    both = before.cores.keys() & after.cores.keys()  # a core may come or go
    return {
        core: CoreTicks(
            *(new - old for old, new in zip(before.cores[core], after.cores[core], strict=True))
        )
        for core in both
    }


def _used_by_others(ticks: list[CoreTicks], own_s: float | None) -> float:
    """Return the share of cores that was not idle and not ours (None: nothing there is ours).

    Where it is a difference of two counts, a tick a core may be in error.
    """
    own = 0.0 if own_s is None else own_s * TICKS_PER_S + len(ticks)
    return _share([*(one.busy for one in ticks), -own], ticks)


def _busy(ticks: CoreTicks) -> float:
    return min(1.0, max(0.0, (ticks.busy + ticks.steal) / max(ticks.total, 1)))


def _share(parts: Iterable[float], ticks: list[CoreTicks]) -> float:
    total = sum(one.total for one in ticks)
    return min(1.0, max(0.0, sum(parts) / total)) if total > 0 else 0.0


def _rate(before: float | None, after: float | None, span_s: float) -> float:
    if before is None or after is None:
        return 0.0
    return max(0.0, (after - before) / span_s)


def _most(shares: Iterable[float]) -> float | None:
    return round(max(shares, default=0.0), 4)
