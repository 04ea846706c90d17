import fcntl
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_contract import DeviceContract

from repghost.latency.devices import machine_lock, place
from repghost.latency.devices.busy import Counters
from repghost.latency.devices.contract import DeviceError
from repghost.latency.devices.local import LocalDevice
from repghost.latency.devices.machine import CoreTicks, Machine, allowed_cores
from repghost.latency.devices.machine_lock import MachineLock
from repghost.latency.devices.runner import PROCESS
from repghost.latency.devices.spec import LocalSpec
from repghost.latency.spec import LatencySpec

needs_affinity = pytest.mark.skipif(
    not allowed_cores(), reason="this system cannot pin a process to a core"
)
needs_two_cores = pytest.mark.skipif(
    len(allowed_cores()) < 2, reason="this process may use one core, or the system does not say"
)
HOLD = """
import sys
from pathlib import Path
from repghost.latency.devices.local import LocalDevice
from repghost.latency.devices.machine_lock import MachineLock
with LocalDevice(lock=MachineLock(Path(sys.argv[1]))):
    print("in", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def device() -> LocalDevice:
    return LocalDevice()


@pytest.fixture(autouse=True)
def lock(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> MachineLock:
    """A lock of the test's own: the machine's may be held by somebody else's measurement."""
    folder = tmp_path_factory.mktemp("lock")
    monkeypatch.setattr(machine_lock, "shared_folder", lambda: folder)
    return MachineLock()


class TestLocalDevice(DeviceContract):
    """This machine's CPU keeps the contract."""


def nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


@pytest.fixture
def can_raise() -> Iterator[None]:
    """Skip where a thread may not be made more urgent."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice() - 1)
    except OSError as error:
        pytest.skip(f"this system does not raise a priority: {error.strerror}")
    os.setpriority(os.PRIO_PROCESS, 0, nice() + 1)
    yield


@needs_affinity
def test_pinning_is_to_one_allowed_core_and_is_restored(device: LocalDevice) -> None:
    before = os.sched_getaffinity(0)
    with device:
        inside, state = os.sched_getaffinity(0), device.state()
    assert len(inside) == 1 and inside <= before
    assert state["pinned"] is True and {state["core"]} == inside
    assert os.sched_getaffinity(0) == before
    assert device.state()["pinned"] is False


@needs_affinity
def test_pinning_and_priority_are_restored_after_an_exception(device: LocalDevice) -> None:
    before = os.sched_getaffinity(0), nice()
    with pytest.raises(RuntimeError, match="in the middle"), device, device:
        raise RuntimeError("in the middle")
    assert (os.sched_getaffinity(0), nice()) == before


@needs_affinity
def test_all_is_restored_when_entering_fails_halfway(
    lock: MachineLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.sched_getaffinity(0)
    device = LocalDevice(lock=lock)

    def broken(self: place.Place) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(place.Place, "_raise", broken)
        with pytest.raises(KeyboardInterrupt):
            device.__enter__()
    assert os.sched_getaffinity(0) == before
    with lock.path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where it is still held
    with device:
        assert device.state()["pinned"] is True


@needs_affinity
def test_the_core_asked_for_is_the_one() -> None:
    for core in sorted(allowed_cores()):
        with LocalDevice(LocalSpec(core=core)) as device:
            assert os.sched_getaffinity(0) == {core} == {device.state()["core"]}


@needs_affinity
def test_a_core_that_there_is_not_is_refused_with_those_there_are() -> None:
    before = os.sched_getaffinity(0)
    device = LocalDevice(LocalSpec(core=4095))
    with pytest.raises(DeviceError, match=r"^device\.core=4095: this process may use core"), device:
        pass
    assert os.sched_getaffinity(0) == before
    assert [check.level for check in device.checks()] == ["fail"]


@needs_affinity
def test_threads_that_were_there_before_are_not_pinned(device: LocalDevice) -> None:
    ready, done = threading.Event(), threading.Event()
    seen: dict[str, set[int]] = {}

    def other() -> None:
        ready.set()
        done.wait(30)
        seen["other"] = os.sched_getaffinity(0)

    thread = threading.Thread(target=other)
    thread.start()
    ready.wait(30)
    before = os.sched_getaffinity(0)
    with device:
        done.set()
        thread.join(30)
    assert seen["other"] == before


def test_the_priority_is_raised_and_put_back(device: LocalDevice, can_raise: None) -> None:
    before = nice()
    with device:
        state = device.state()
        assert state["priority"] == nice() == place.NICE and state["why_not_raised"] is None
    assert nice() == before


def test_a_priority_that_may_not_be_raised_is_no_error_and_is_said(
    device: LocalDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(which: int, who: int, priority: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "setpriority", refuse)
    before = nice()
    with device:
        assert "Permission denied" in str(device.state()["why_not_raised"])
        assert device.state()["priority"] == before


def test_without_affinity_it_works_and_says_so(
    device: LocalDevice, short_mnn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sched_setaffinity", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    with device:
        assert device.load(short_mnn).time_ms(1) > 0
        state = device.state()
    assert state["pinned"] is False
    assert "cannot pin" in str(state["why_not_pinned"])


def test_without_affinity_a_core_cannot_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sched_setaffinity", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    with pytest.raises(DeviceError, match=r"device\.core=0: .*cannot pin"):
        LocalDevice(LocalSpec(core=0)).__enter__()


def test_without_the_files_of_linux_it_works_and_is_never_called_busy_by_them(
    short_mnn: Path, tmp_path: Path
) -> None:
    device = LocalDevice(machine=Machine(tmp_path))
    with device:
        assert device.load(short_mnn).time_ms(1) > 0
        state = device.state()
    assert state["governor"] is None and state["steal"] == 0


@needs_affinity
def test_a_refused_pinning_is_no_error_and_is_said(
    device: LocalDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, cores: set[int]) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    with device:
        assert device.state()["pinned"] is False
        assert "Operation not permitted" in str(device.state()["why_not_pinned"])


def runner_cores() -> list[set[int]]:
    """Return the cores of every thread of the processes in which networks run."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    children = [Path("/proc", pid) for task in tasks for pid in task.read_text().split()]
    runners = [one for one in children if PROCESS in (one / "cmdline").read_text()]
    threads = [thread.name for one in runners for thread in (one / "task").iterdir()]
    return [os.sched_getaffinity(int(thread)) for thread in threads]


@needs_two_cores
def test_two_threads_have_a_core_each_and_all_is_put_back(
    device: LocalDevice, short_mnn: Path
) -> None:
    before = os.sched_getaffinity(0)
    with device:
        assert device.load(short_mnn, threads=2).time_ms(5) > 0
        both = os.sched_getaffinity(0)
        assert len(both) == 2 and all(cores == both for cores in runner_cores())
        assert len(runner_cores()) > 1  # MNN did start a thread
        assert device.ready(lambda seconds: None) is not None
        assert device.load(short_mnn).time_ms(5) > 0
        assert len(os.sched_getaffinity(0)) == 1
        assert all(cores == os.sched_getaffinity(0) for cores in runner_cores())
    assert os.sched_getaffinity(0) == before
    assert not runner_cores()


@needs_affinity
def test_more_threads_than_cores_are_said(short_mnn: Path) -> None:
    count = len(allowed_cores()) + 1
    with LocalDevice(read=lambda: Counters(0.0)) as device:
        device.load(short_mnn, threads=count)
        words = device.ready(lambda seconds: None)
    assert re.fullmatch(rf"{count} threads share cores? [\d and]+", words[-1])


class Loaded:
    """Counters of a machine whose core 0 others use from one look to the next."""

    def __init__(self, share: float) -> None:
        self.share, self.at_s = share, 0.0

    def __call__(self) -> Counters:
        self.at_s += 1.0
        ticks = {
            core: CoreTicks(round(self.share * 100 * self.at_s), 0, round(100 * self.at_s))
            for core in range(4096)
        }
        return Counters(self.at_s, ticks)


def test_a_busy_machine_is_flagged_in_words_after_the_wait() -> None:
    naps: list[float] = []
    with LocalDevice(LocalSpec(wait_s=1.0), read=Loaded(0.63)) as device:
        flags = device.ready(naps.append)
        state = device.state()
    assert any("used 63 % of" in flag for flag in flags) and sum(naps) == pytest.approx(1.0)
    assert state["waited_s"] == 1.0 and "63 %" in str(state["busiest"])


def test_a_machine_set_to_refuse_says_what_was_found_and_what_to_do() -> None:
    device = LocalDevice(LocalSpec(busy="refuse", wait_s=0.4), read=Loaded(0.63))
    with device, pytest.raises(DeviceError) as raised:
        device.ready(lambda seconds: None)
    said = str(raised.value)
    assert said.startswith("local: this machine is busy: ") and "63 %" in said
    assert "a wait of 0.4 s" in said and "device.busy=flag" in said and "\n" not in said


def test_a_sweep_is_told_its_own_words() -> None:
    refusing, quiet = LatencySpec(busy="refuse", wait_s=0.0).local, LatencySpec(core=4096).local
    device = LocalDevice(refusing, read=Loaded(0.63))
    with device, pytest.raises(DeviceError, match=r"set latency\.core.*latency\.busy=flag$"):
        device.ready(lambda seconds: None)
    with pytest.raises(DeviceError, match=r"^latency\.core=4096: "), LocalDevice(quiet):
        pass


def test_a_quiet_machine_is_neither_flagged_nor_refused() -> None:
    with LocalDevice(LocalSpec(busy="refuse"), read=Loaded(0.0)) as device:
        assert device.ready(lambda seconds: None) == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (LocalSpec(busy="perhaps"), "device.busy=perhaps: allowed are flag, refuse"),
        (LocalSpec(wait_s=-1.0), "device.wait_s=-1.0: must be a number of seconds of at least 0"),
        (LocalSpec(wait_s=float("nan")), "device.wait_s=nan"),
        (LatencySpec(wait_s=-1.0).local, "latency.wait_s=-1.0: must be a number of seconds"),
    ],
)
def test_a_wrong_setting_is_refused(spec: LocalSpec, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        LocalDevice(spec)


@pytest.fixture
def other(lock: MachineLock) -> Iterator["subprocess.Popen[str]"]:
    """Another process that measures on this machine."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "in\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_measurement_on_the_machine_waits_for_the_first_and_logs_it(
    other: "subprocess.Popen[str]", lock: MachineLock, caplog: pytest.LogCaptureFixture
) -> None:
    killer = threading.Timer(1.0, other.kill)
    killer.start()
    with caplog.at_level(logging.WARNING), LocalDevice(lock=lock):
        assert other.wait(10) != 0  # it was killed before we came in
    who = f"process {other.pid}" if Path("/proc/locks").exists() else "another process"
    assert f"waiting for {who}, which measures on this machine" in caplog.text


def test_doctor_leaves_a_measurement_of_another_process_in_peace(
    other: "subprocess.Popen[str]", lock: MachineLock
) -> None:
    before = allowed_cores()
    checks = LocalDevice(lock=lock).checks()
    assert checks[0].what == "machine lock" and checks[0].level == "warn"
    assert "measures on this machine now" in checks[0].found
    assert "MNN" not in [check.what for check in checks] and allowed_cores() == before
    assert other.poll() is None


def test_the_checks_cover_all_that_makes_a_number_doubtful(device: LocalDevice) -> None:
    checks = {check.what: check for check in device.checks()}
    assert list(checks) == [
        *("machine lock", "threads", "pinning", "priority", "governor", "frequency", "turbo"),
        *("throttling", "SMT", "CPU quota", "clock source", "other load", "MNN", "clock"),
        *("precision path", "steadiness"),
    ]
    for check in checks.values():
        assert check.found and check.level in ("ok", "warn", "fail")
        assert check.level == "ok" or check.advice


def test_load_that_is_there_while_doctor_looks_is_said() -> None:
    checks = {check.what: check for check in LocalDevice(read=Loaded(0.63)).checks()}
    assert checks["other load"].level == "warn" and "63 %" in checks["other load"].found
    quiet = {check.what: check for check in LocalDevice(read=Loaded(0.0)).checks()}
    assert quiet["other load"].level == "ok"
