"""What is read of a machine, and what `doctor` makes of it, on machines written as files."""

from pathlib import Path

import numpy as np
import pytest

from repghost.latency.devices.contract import Check
from repghost.latency.devices.machine import CPU, CoreTicks, Machine, core_list
from repghost.latency.devices.machine_checks import machine_checks
from repghost.latency.devices.place import quietest
from repghost.latency.devices.runtime_checks import (
    clock_check,
    precision_check,
    runtime_checks,
    steadiness_check,
)

SMT, FREQ, HOT = "topology/thread_siblings_list", "cpufreq", "thermal_throttle/core_throttle_count"


class Files:
    """A machine made of files."""

    def __init__(self, root: Path) -> None:
        self.root, self.machine = root, Machine(root)

    def write(self, path: str, text: object) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"{text}\n")

    def core(self, core: int, **texts: object) -> None:
        for name, text in texts.items():
            self.write(f"{CPU}/cpu{core}/{FREQ}/{name}", text)

    def check(self, what: str, core: int | None = 0) -> Check:
        (found,) = [check for check in machine_checks(self.machine, core) if check.what == what]
        return found


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_system_without_such_files_says_nothing_and_nothing_fails(files: Files) -> None:
    machine = files.machine
    assert machine.core_ticks() == {} and machine.siblings(0) == set()
    nothing = (machine.quota_cores(), machine.stopped_s(), machine.pressure_s())
    assert nothing == (None, None, None) and machine.delayed_s() is None
    assert machine.fast({0, 1}) == {0, 1} and machine.cpu_model()
    checks = machine_checks(machine, None)
    assert {check.level for check in checks} == {"ok", "warn"}
    assert [check.what for check in checks if check.level == "warn"] == ["governor"]


def test_ticks_are_split_into_busy_stolen_and_all(files: Files) -> None:
    files.write("proc/stat", "cpu  9 9 9 9\ncpu0 10 1 5 70 4 2 3 5 9 9\ncpu10 1 0 0 9 0 0 0 0\nx 1")
    assert files.machine.core_ticks() == {0: CoreTicks(21, 5, 100), 10: CoreTicks(1, 0, 10)}


def test_waiting_is_read_in_seconds(files: Files) -> None:
    files.write("proc/pressure/cpu", "some avg10=1.00 avg60=1 total=2500000\nfull avg10=0 total=7")
    files.write("proc/thread-self/schedstat", "277049 124000000 2")
    assert files.machine.pressure_s() == 2.5 and files.machine.delayed_s() == 0.124


def test_a_list_of_cores_is_read_as_linux_writes_it() -> None:
    assert core_list("0,2-4,7") == {0, 2, 3, 4, 7} and core_list("") == set()


def test_the_processor_is_named_or_else_the_board(files: Files) -> None:
    files.write("proc/device-tree/model", "Raspberry Pi 5 Model B\0")
    assert files.machine.cpu_model() == "Raspberry Pi 5 Model B"
    files.write("proc/cpuinfo", "processor : 0\nmodel name\t: AMD EPYC\nflags : fpu hypervisor")
    assert files.machine.cpu_model() == "AMD EPYC" and files.machine.is_virtual()


def test_big_cores_come_before_small_ones_however_busy(files: Files) -> None:
    for core, capacity in enumerate((400, 400, 1024, 1024)):
        files.write(f"{CPU}/cpu{core}/cpu_capacity", capacity)
    order = quietest(files.machine, {0, 1, 2, 3}, {0: 0.0, 1: 0.1, 2: 0.9, 3: 0.5})
    assert order == [3, 2, 0, 1]


def test_a_favoured_core_of_the_same_kind_is_not_another_kind(files: Files) -> None:
    for core, khz in enumerate((5200000, 5100000, 3900000)):
        files.core(core, cpuinfo_max_freq=khz)
    assert files.machine.fast({0, 1, 2}) == {0, 1}
    assert files.machine.fast({2}) == {2}


def test_the_quietest_core_is_first_and_the_last_of_equals(files: Files) -> None:
    shares = {0: 0.0, 1: 0.7, 2: 0.2, 3: 0.2}
    assert quietest(files.machine, {1, 2, 3}, shares) == [3, 2, 1]
    assert quietest(files.machine, {0, 3}, {}) == [3, 0]
    assert quietest(files.machine, set(), shares) == []


def test_a_core_is_as_busy_as_the_thread_it_shares_its_units_with(files: Files) -> None:
    for core, pair in enumerate(("0,2", "1,3", "0,2", "1,3")):
        files.write(f"{CPU}/cpu{core}/{SMT}", pair)
    assert quietest(files.machine, {0, 1}, {0: 0.1, 1: 0.0, 2: 0.0, 3: 1.0}) == [0, 1]


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        (
            {"sys/fs/cgroup/a/b/cpu.max": "max 100000", "sys/fs/cgroup/a/cpu.max": "50000 100000"},
            0.5,
        ),
        ({"sys/fs/cgroup/a/b/cpu.max": "150000 100000", "sys/fs/cgroup/cpu.max": "max 1"}, 1.5),
        ({"sys/fs/cgroup/a/b/cpu.max": "max 100000"}, None),
        ({}, None),
    ],
)
def test_the_tightest_quota_around_us_counts(
    files: Files, limits: dict[str, str], cores: float | None
) -> None:
    files.write("proc/self/cgroup", "0::/a/b")
    for path, text in limits.items():
        files.write(path, text)
    assert files.machine.quota_cores() == cores


def test_the_quota_of_older_control_groups_is_found(files: Files) -> None:
    files.write("proc/self/cgroup", "4:memory:/m\n1:cpu,cpuacct:/job\n0::/")
    files.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", 120000)
    files.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", 100000)
    files.write(
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.stat", "nr_throttled 3\nthrottled_time 2500000000"
    )
    assert files.machine.quota_cores() == 1.2 and files.machine.stopped_s() == 2.5
    assert files.check("CPU quota").level == "warn"
    files.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", -1)
    assert files.machine.quota_cores() is None and files.check("CPU quota").level == "ok"


def test_a_governor_that_moves_is_warned_of_and_a_steady_one_is_not(files: Files) -> None:
    files.core(1, scaling_governor="schedutil")
    check = files.check("governor", 1)
    assert check.level == "warn" and "schedutil" in check.found and "cpupower" in check.advice
    files.core(1, scaling_governor="performance")
    assert files.check("governor", 1) == Check("governor", "ok", "performance")


@pytest.mark.parametrize(
    ("now", "allowed", "level"),
    [(3600000, 3600000, "ok"), (1200000, 3600000, "warn"), (1800000, 1800000, "warn")],
)
def test_a_core_below_its_highest_frequency_is_warned_of(
    files: Files, now: int, allowed: int, level: str
) -> None:
    files.core(0, scaling_cur_freq=now, cpuinfo_max_freq=3600000, scaling_max_freq=allowed)
    check = files.check("frequency")
    assert check.level == level and f"{now // 1000} of 3600 MHz" in check.found
    assert ("held at 1800 MHz" in check.advice) == (allowed < 3600000)


@pytest.mark.parametrize(
    ("path", "on", "off"),
    [(f"{CPU}/intel_pstate/no_turbo", "0", "1"), (f"{CPU}/cpufreq/boost", "1", "0")],
)
def test_turbo_is_warned_of_with_the_command_that_ends_it(
    files: Files, path: str, on: str, off: str
) -> None:
    files.write(path, on)
    check = files.check("turbo")
    assert check.level == "warn" and f"echo {off} | sudo tee /{path}" in check.advice
    files.write(path, off)
    assert files.check("turbo") == Check("turbo", "ok", "off")


def test_heat_that_slowed_the_core_is_warned_of(files: Files) -> None:
    files.write(f"{CPU}/cpu2/{HOT}", 0)
    assert files.check("throttling", 2) == Check("throttling", "ok", "none since the start")
    files.write(f"{CPU}/cpu2/{HOT}", 12)
    assert "12 times" in files.check("throttling", 2).found
    files.write("sys/class/thermal/cooling_device0/type", "cpufreq-cpu0")
    files.write("sys/class/thermal/cooling_device0/cur_state", 3)
    assert "now" in files.check("throttling", 2).found


def test_a_fan_that_turns_is_no_throttling(files: Files) -> None:
    files.write("sys/class/thermal/cooling_device0/type", "pwm-fan")
    files.write("sys/class/thermal/cooling_device0/cur_state", 3)
    assert files.check("throttling").level == "ok"


def test_a_shared_core_is_warned_of_with_the_name_of_its_neighbour(files: Files) -> None:
    files.write(f"{CPU}/cpu1/{SMT}", "1,5")
    check = files.check("SMT", 1)
    assert check.level == "warn" and "core 5" in check.found and "core 5" in check.advice


def test_a_slow_clock_source_is_warned_of(files: Files) -> None:
    path = "sys/devices/system/clocksource/clocksource0/current_clocksource"
    files.write(path, "hpet")
    assert files.check("clock source").level == "warn"
    files.write(path, "tsc")
    assert files.check("clock source") == Check("clock source", "ok", "tsc")


def test_a_coarse_clock_and_a_dear_one_are_warned_of() -> None:
    def ticking(step_ns: int, readings_a_step: int):  # type: ignore[no-untyped-def]
        counted = iter(range(10**9))
        return lambda: next(counted) // readings_a_step * step_ns

    assert clock_check(ticking(100, 1)).level == "ok"
    assert clock_check(ticking(15_000_000, 150_000)).level == "warn"
    assert "costs 5.00 µs" in clock_check(ticking(5_000, 1)).found
    assert clock_check(ticking(5_000, 1)).level == "warn"


def test_the_precision_is_judged_by_the_error_of_the_output() -> None:
    assert "fp16 runs as fp32" in precision_check(2e-7, 2e-7).found
    assert "half precision" in precision_check(2e-7, 8e-4).found
    assert precision_check(8e-4, 8e-4).level == "fail"
    assert precision_check(float("nan"), 0.0).level == "fail"


def test_samples_that_spread_are_warned_of() -> None:
    steady = np.linspace(1.0, 1.02, 60)
    assert steadiness_check(steady).level == "ok"
    check = steadiness_check(np.linspace(1.0, 1.3, 60))
    assert check.level == "warn" and "ratios" in check.advice


def test_mnn_computes_the_probe_exactly_here_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    levels = {check.what: check.level for check in runtime_checks("3.6.1")}
    assert levels["MNN"] == levels["precision path"] == "ok"
    assert {"clock", "steadiness"} <= levels.keys()
    assert list(tmp_path.iterdir()) == []
