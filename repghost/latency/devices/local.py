"""This machine's CPU as a device: pinned, raised, alone, through MNN in processes of its own."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from repghost.deploy.runtime import mnn_version
from repghost.latency.devices.busy import Counters, Watch, core_shares, named, read_counters
from repghost.latency.devices.contract import BLOCKS_TOGETHER, Check, DeviceError
from repghost.latency.devices.entering import Reentrant
from repghost.latency.devices.machine import Machine
from repghost.latency.devices.machine_lock import MachineLock, Say, log
from repghost.latency.devices.place import Place
from repghost.latency.devices.runner import Runner, RunnerNetwork, Used
from repghost.latency.devices.spec import BUSY, LocalSpec
from repghost.latency.record import DeviceState

WATCH_S = 0.2  # for how long cores are looked at before one is chosen


class LocalDevice(Reentrant):
    """This machine's CPU; entered, the calling thread is pinned to one core and more urgent.

    So are the processes that it starts, in which networks run: another one after every few blocks
    (see `runner`), on as many cores as threads are asked for. One measurement runs on a machine at
    a time: entering waits for that of another process or thread, and says so through `say`. Where
    the system has no affinity, or forbids it, nothing is pinned and `state()` says why. `read`
    takes the counters by which the machine is quiet or busy.

    Raises:
        ValueError: a setting is none of those allowed.
    """

    fewest_runs = 1

    def __init__(
        self,
        spec: LocalSpec | None = None,
        *,
        machine: Machine | None = None,
        lock: MachineLock | None = None,
        read: Callable[[], Counters] | None = None,
        say: Say = log.warning,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._spec = _checked(spec or LocalSpec())
        self._machine = machine or Machine()
        self.name = self._spec.name
        self.profile = f"local: {self._machine.cpu_model()}"
        self.mnn_version = mnn_version()
        self.lock = lock or MachineLock()
        self._say, self._sleep = say, sleep
        self._place = Place(self._machine, self._spec.core, self._spec.prefix)
        self._threads, self._blocks = 1, 0
        self._runner: Runner | None = None
        self._used = Used()  # by the runners before this one
        self._watch = Watch(read or self._counters)

    def _enter(self, stack: ExitStack) -> None:
        stack.enter_context(self.lock.held(self._say, self._sleep))
        stack.callback(self._place.give_back)
        stack.callback(self._end_runner)
        self._end_runner()  # one that was started outside runs anywhere
        self._place.take(self._busy_now())
        self._watch.start(self._place.cores)
        self._threads = 1

    def load(self, path: Path, threads: int = 1, numerics: str = "fp32") -> RunnerNetwork:
        """Return the network of a `.mnn` file with seeded random input.

        Raises:
            ValueError: the file is missing, cannot be loaded, or has no fixed input shape.
        """
        if threads != self._threads:
            self._end_runner()
            self._place.seat(threads)
            self._threads = threads
            self._watch.move(self._place.cores)
        if self._runner and self._runner.has_ended:
            self._end_runner()
        self._runner = self._runner or Runner()
        return self._runner.load(path, threads, numerics)

    def renew(self) -> None:
        """Begin a block of rounds: after every few of them networks get another process."""
        self._blocks += 1
        if self._blocks % BLOCKS_TOGETHER == 0:
            self._end_runner()

    def _end_runner(self) -> None:
        if self._runner:
            self._used = self._used_so_far()
            self._runner = None

    def _used_so_far(self) -> Used:
        now = self._runner.used if self._runner else Used()
        return Used(*map(sum, zip(self._used, now, strict=True)))

    def _counters(self) -> Counters:
        """Return the machine's counters; what the runners use is ours."""
        found, used = read_counters(self._machine), self._used_so_far()
        return replace(
            found,
            own_s=found.own_s + used.cpu_s,
            process_s=found.process_s + used.cpu_s,
            delayed_s=None if found.delayed_s is None else used.delayed_s,
        )

    def ready(self, sleep: Callable[[float], None]) -> list[str]:
        """Wait until nothing else runs here, for at most `wait_s`; say in words what does.

        Raises:
            DeviceError: others use the machine, and the device is set to refuse that.
        """
        self.renew()
        own = self._spec.prefix
        words = self._watch.until_quiet(sleep, self._spec.wait_s)
        if words and self._spec.busy == "refuse":
            raise DeviceError(
                f"{self.name}: this machine is busy: {'; '.join(words)}, after a wait of"
                f" {self._spec.wait_s:g} s; end what runs here, or set {own}core, a longer"
                f" {own}wait_s or {own}busy=flag"
            )
        if 0 < len(self._place.cores) < self._threads:
            words.append(f"{self._threads} threads share {named(self._place.cores)}")
        return words

    def checks(self) -> list[Check]:
        """Look at everything that makes a number doubtful; takes about two seconds of one core."""
        from repghost.latency.devices.local_checks import local_checks

        return local_checks(self, self._machine)

    def busy_words(self, sleep: Callable[[float], None] = time.sleep) -> list[str]:
        """Return what else runs on this machine now, in words."""
        return self._watch.glance(sleep).words()

    def state(self) -> DeviceState:
        """Return place, priority, frequency (None where unreadable), and how busy it was here."""
        place = self._place
        core = min(place.cores) if place.cores else None
        raised = place.nice is not None and place.nice < 0
        return {
            "pinned": bool(place.cores),
            "why_not_pinned": None if place.cores else place.why_free,
            "core": core,
            "cores": ",".join(map(str, sorted(place.cores))) or None,
            "priority": place.nice,
            "why_not_raised": None if raised else place.why_not_raised,
            "load_average_1min": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            "governor": self._machine.cpufreq(core, "scaling_governor"),
            "frequency_mhz": self._machine.mhz(core, "scaling_cur_freq"),
            "max_frequency_mhz": self._machine.mhz(core, "cpuinfo_max_freq"),
        } | self._watch.summary()

    def _busy_now(self) -> dict[int, float]:
        """Return how busy each core is; nothing is waited for where it does not matter."""
        before = read_counters(self._machine)
        if self._spec.core is not None or not before.cores:
            return {}
        time.sleep(WATCH_S)
        return core_shares(before, read_counters(self._machine))


def _checked(spec: LocalSpec) -> LocalSpec:
    if spec.busy not in BUSY:
        raise ValueError(f"{spec.prefix}busy={spec.busy}: allowed are {', '.join(BUSY)}")
    if not 0 <= spec.wait_s < float("inf"):
        raise ValueError(
            f"{spec.prefix}wait_s={spec.wait_s}: must be a number of seconds of at least 0"
        )
    return spec
