"""What else runs: from counters to words, to waiting, and to what is remembered."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from repghost.latency.devices.busy import (
    GLANCE_S,
    Counters,
    Load,
    Watch,
    core_shares,
    load_between,
    named,
    percent,
    read_counters,
)
from repghost.latency.devices.machine import CoreTicks, Machine, allowed_cores

TIMED = frozenset({1})
BURN = (
    "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nprint(flush=True)\nwhile 1: pass"
)
needs_counters = pytest.mark.skipif(
    not Machine().core_ticks() or len(allowed_cores()) < 2,
    reason="needs Linux's /proc/stat, affinity and two cores",
)


class Script:
    """A machine whose counters advance with `sleep`, at rates that the test sets.

    `busy` and `steal` are shares of each core, 0 to 1; `own` is our own share of core 1.
    """

    def __init__(self, cores: int = 2) -> None:
        self.busy, self.steal = [0.0] * cores, [0.0] * cores
        self.own = self.delayed = self.pressure = self.stopped = 0.0
        self.sleeps: list[float] = []
        self.now = Counters(
            0.0, {core: CoreTicks(0, 0, 0) for core in range(cores)}, 0.0, 0.0, 0.0, 0.0, 0.0
        )

    def read(self) -> Counters:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.measure(seconds, own=0.0)

    def measure(self, seconds: float, own: float | None = None) -> None:
        """Let time pass in which we use `own` of core 1."""
        own, now = self.own if own is None else own, self.now
        loads = [share + (own if core == 1 else 0.0) for core, share in enumerate(self.busy)]
        self.now = Counters(
            now.at_s + seconds,
            {core: self._ticks(core, loads[core], seconds) for core in now.cores},
            now.own_s + own * seconds,
            now.process_s + own * seconds,
            (now.delayed_s or 0) + self.delayed * seconds,
            (now.pressure_s or 0) + self.pressure * seconds,
            (now.stopped_s or 0) + self.stopped * seconds,
        )

    def _ticks(self, core: int, load: float, seconds: float) -> CoreTicks:
        ticks, before = 100 * seconds, self.now.cores[core]
        return CoreTicks(
            before.busy + round(load * ticks),
            before.steal + round(self.steal[core] * ticks),
            before.total + round(ticks),
        )


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def watch(script: Script) -> Watch:
    watch = Watch(script.read)
    watch.start(TIMED)
    return watch


def between(script: Script, seconds: float = 1.0) -> Load:
    before = script.read()
    script.measure(seconds)
    return load_between(before, script.read(), TIMED)


def test_our_own_work_on_the_timed_core_is_not_called_load(script: Script) -> None:
    script.own = 0.98
    load = between(script)
    assert load.words() == [] and load.ours == 0


def test_another_process_on_the_timed_core_is_named_with_its_share(script: Script) -> None:
    script.own, script.busy[1] = 0.36, 0.64
    assert between(script).words() == ["another process used 63 % of core 1 (timed)"]


def test_another_process_on_another_core_is_named_with_its_share(script: Script) -> None:
    script.own, script.busy[0] = 0.98, 0.63
    assert between(script).words() == ["another process used 63 % of core 0"]


def test_load_that_cannot_be_told_from_an_error_of_the_ticks_is_not_said(script: Script) -> None:
    script.own, script.busy[1] = 0.9, 0.05
    assert between(script, 0.2).words() == []


def test_one_busy_core_of_many_is_quiet_and_a_third_of_them_is_not() -> None:
    many = Script(cores=16)
    many.busy[5] = 1.0
    assert between(many).words() == []
    many.busy[6:11] = [1.0] * 5
    assert between(many).words() == ["other processes used 40 % of 15 other cores"]


@pytest.mark.parametrize(
    ("name", "share", "said"),
    [
        ("delayed", 0.03, "the timed process waited 3 % of the time for a core"),
        ("stopped", 0.12, "the CPU quota stopped this container 12 % of the time"),
        ("pressure", 0.4, "tasks waited 40 % of the time for a core (pressure)"),
    ],
)
def test_each_counter_of_the_system_is_said(
    script: Script, name: str, share: float, said: str
) -> None:
    assert between(script).words() == []
    setattr(script, name, share)
    assert between(script).words() == [said]


def test_what_the_hypervisor_takes_of_the_timed_core_is_said(script: Script) -> None:
    script.steal = [0.5, 0.04]
    load = between(script)
    assert load.words()[-1] == "the hypervisor took 4 % (steal)" and load.ours == 0


def test_without_a_timed_core_all_that_is_not_our_process_is_elsewhere(script: Script) -> None:
    script.own = 1.0
    before = script.read()
    script.measure(1.0)
    assert load_between(before, script.read(), frozenset()).words() == []
    script.busy[0] = 1.0
    before = script.read()
    script.measure(1.0)
    said = load_between(before, script.read(), frozenset()).words()
    assert said == ["other processes used 49 % of all cores"]


def test_where_nothing_but_the_load_average_is_known_it_decides() -> None:
    cores = os.cpu_count() or 1
    quiet = Counters(0.0, load_average=1.0)
    assert load_between(quiet, replace(quiet, at_s=1.0), frozenset()).words() == []
    busy = Counters(1.0, load_average=1.0 + cores / 2)
    said = load_between(quiet, busy, frozenset()).words()
    assert said == ["the load average is 50 % of all cores without us"]


def test_a_quiet_block_costs_no_waiting(script: Script, watch: Watch) -> None:
    script.own = 0.98
    for _ in range(5):
        script.measure(0.9)
        assert watch.until_quiet(script.sleep, 10.0) == []
    assert script.sleeps == [] and watch.summary()["busy_looks"] == 0


def test_the_first_block_is_preceded_by_a_look_of_its_own(script: Script, watch: Watch) -> None:
    script.busy[0] = 1.0
    assert watch.until_quiet(script.sleep, 0.0) == ["another process used 100 % of core 0"]
    assert script.sleeps == [GLANCE_S]


def test_it_waits_until_the_machine_is_quiet_and_remembers_the_disturbed_block(
    script: Script, watch: Watch
) -> None:
    script.own, script.busy[0] = 0.98, 1.0
    script.measure(1.0)

    def sleep(seconds: float) -> None:
        if len(script.sleeps) == 4:
            script.busy[0] = 0.0
        script.sleep(seconds)

    assert watch.until_quiet(sleep, 10.0) == []
    assert len(script.sleeps) == 5
    seen = watch.summary()
    assert (seen["looks"], seen["busy_looks"], seen["waited_s"]) == (1, 1, 1.0)
    assert seen["busiest"] == "another process used 100 % of core 0"
    assert seen["others_elsewhere"] == 1


def test_a_load_that_stays_is_waited_for_once_and_again_after_a_quiet_spell(
    script: Script, watch: Watch
) -> None:
    def block() -> tuple[bool, int]:
        script.measure(1.0)
        before = len(script.sleeps)
        return bool(watch.until_quiet(script.sleep, 10 * GLANCE_S)), len(script.sleeps) - before

    script.busy[0] = 1.0
    assert block() == (True, 10)
    assert block() == (True, 1)
    script.busy[0] = 0.0
    assert block() == (False, 0)
    script.busy[0] = 1.0
    assert block() == (True, 10)


def test_a_start_forgets_what_was_seen_before(script: Script, watch: Watch) -> None:
    script.busy[0] = 1.0
    script.measure(1.0)
    watch.until_quiet(script.sleep, 1.0)
    assert watch.summary()["busiest"] is not None
    script.busy[0] = 0.0
    watch.start(TIMED)
    assert watch.summary()["looks"] == 0 and watch.summary()["busiest"] is None


def test_what_came_after_the_last_block_began_is_in_the_summary(
    script: Script, watch: Watch
) -> None:
    watch.until_quiet(script.sleep, 0.0)
    script.busy[0] = 1.0
    script.measure(1.0)
    assert watch.summary()["busy_looks"] == 1


def test_a_core_that_appears_meanwhile_is_left_out(script: Script) -> None:
    before = script.read()
    script.busy[0] = 0.5
    script.measure(1.0)
    after = script.read()
    with_new = replace(after, cores={**after.cores, 2: CoreTicks(900, 0, 1000)})
    assert core_shares(before, with_new) == {0: 0.5, 1: 0.0}


def test_shares_and_cores_read_well() -> None:
    assert [percent(0.634), percent(0.004), percent(1.0)] == ["63 %", "0.4 %", "100 %"]
    assert [named({3}), named({2, 0})] == ["core 3", "cores 0 and 2"]


@pytest.fixture
def burning() -> Iterator[Callable[[int], None]]:
    """Return a function that keeps a core busy with another process until the test ends."""
    processes = []

    def burn(core: int) -> None:
        command = [sys.executable, "-c", BURN, str(core)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout and process.stdout.readline()

    yield burn
    for process in processes:
        process.kill()
        process.wait()


@needs_counters
def test_a_real_busy_loop_on_the_other_core_is_flagged(burning: Callable[[int], None]) -> None:
    timed, other = sorted(allowed_cores())[:2]
    machine = Machine()
    burning(other)
    watch = Watch(lambda: read_counters(machine))
    watch.start(frozenset({timed}))
    load = watch.glance(time.sleep)
    assert load.others[other] > 0.5
    if len(load.others) == 1:
        assert any(f"of core {other}" in words for words in load.words())


@needs_counters
def test_our_own_real_busy_loop_is_not_taken_for_another_process() -> None:
    """The machine may be shared: only what we add to the timed core must not show."""
    machine, core, outer = Machine(), max(allowed_cores()), allowed_cores()
    os.sched_setaffinity(0, {core})
    try:
        before = read_counters(machine)
        while time.thread_time() < before.own_s + 0.4:
            pass
        after = read_counters(machine)
    finally:
        os.sched_setaffinity(0, outer)
    load = load_between(before, after, frozenset({core}))
    delayed = (after.delayed_s or 0) - (before.delayed_s or 0)
    away = 1 - (after.own_s - before.own_s) / (after.at_s - before.at_s)  # we did not run
    assert load.ours <= away + 0.1 and delayed >= 0
