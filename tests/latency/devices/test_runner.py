"""The process in which networks run: another one from time to time, and what its end means."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from repghost.latency.devices import machine_lock
from repghost.latency.devices.contract import BLOCKS_TOGETHER, DeviceError
from repghost.latency.devices.local import LocalDevice
from repghost.latency.devices.runner import Runner

LONG = 10_000_000  # runs


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalDevice]:
    monkeypatch.setattr(machine_lock, "shared_folder", lambda: tmp_path)
    with LocalDevice() as entered:
        yield entered


def pid(device: LocalDevice) -> int:
    """Return the process in which the device's networks run now."""
    assert device._runner
    return device._runner._process.pid


def later(seconds: float, number: signal.Signals, process: int) -> threading.Timer:
    timer = threading.Timer(seconds, os.kill, (process, number))
    timer.start()
    return timer


def test_networks_get_another_process_after_some_blocks_and_the_old_one_ends(
    device: LocalDevice, short_mnn: Path
) -> None:
    seen = []
    for _ in range(2 * BLOCKS_TOGETHER):
        assert device.load(short_mnn).time_ms(1) > 0
        seen.append(pid(device))
        device.ready(lambda seconds: None)
    assert [seen.count(one) for one in dict.fromkeys(seen)] == [BLOCKS_TOGETHER] * 2
    for one in set(seen):
        with pytest.raises(ProcessLookupError):
            os.kill(one, 0)


def test_a_network_that_is_still_there_keeps_its_process(
    device: LocalDevice, short_mnn: Path
) -> None:
    kept = device.load(short_mnn)
    before = pid(device)
    for _ in range(BLOCKS_TOGETHER):
        device.renew()
    other = device.load(short_mnn)
    assert pid(device) != before
    assert kept.time_ms(3) > 0 and other.time_ms(3) > 0


def test_what_the_process_uses_is_not_called_another_process(
    device: LocalDevice, short_mnn: Path
) -> None:
    network = device.load(short_mnn)
    before = device._counters()
    while device._used_so_far().cpu_s < 0.5 + before.own_s:
        network.time_ms(200)
    assert device._counters().own_s - before.own_s >= 0.4


@pytest.mark.parametrize(
    ("number", "error", "said"),
    [
        (signal.SIGSEGV, ValueError, r"\.mnn: MNN crashed on this model \(SIGSEGV\)"),
        (signal.SIGKILL, DeviceError, r"the process that times networks ended \(SIGKILL\)"),
    ],
)
def test_a_crash_is_the_network_s_fault_and_a_kill_is_not(
    device: LocalDevice,
    short_mnn: Path,
    number: signal.Signals,
    error: type[Exception],
    said: str,
) -> None:
    network = device.load(short_mnn)
    later(0.3, number, pid(device))
    with pytest.raises(error, match=said):
        network.time_ms(LONG)
    assert device.load(short_mnn).time_ms(1) > 0, "the next one has another process"


def test_after_an_interrupt_no_answer_is_taken_for_that_to_another_question(
    device: LocalDevice, short_mnn: Path
) -> None:
    network = device.load(short_mnn)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            network.time_ms(LONG)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(DeviceError):
        network.time_ms(1)
    assert 0 < device.load(short_mnn).time_ms(1) < 1000


def test_memory_of_a_network_that_is_let_go_is_given_back(long_mnn: Path) -> None:
    runner = Runner()

    def resident_kb() -> int:
        status = Path(f"/proc/{runner._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    for _ in range(20):
        runner.load(long_mnn, 1, "fp32").time_ms(1)
    few = resident_kb()
    for _ in range(200):
        runner.load(long_mnn, 1, "fp32").time_ms(1)
    assert resident_kb() < 1.2 * few + 4000


def test_it_ends_when_nobody_needs_it(short_mnn: Path) -> None:
    runner = Runner()
    runner.load(short_mnn, 1, "fp32")
    process, start = runner._process, time.monotonic()
    del runner
    assert process.poll() is not None and time.monotonic() - start < 3.0


def test_handing_over_on_a_shared_core_is_no_delay(device: LocalDevice, short_mnn: Path) -> None:
    network = device.load(short_mnn)
    network.time_ms(50)
    before, start = device._counters().delayed_s, time.monotonic()
    if before is None:
        pytest.skip("this system does not say for how long a process waited")
    for _ in range(300):
        network.time_ms(5)
    after = device._counters().delayed_s
    assert after is not None
    # The thread that asks waits as well, about as often as it asks: 3 to 4 % of the time.
    assert after - before < 0.02 * (time.monotonic() - start)
