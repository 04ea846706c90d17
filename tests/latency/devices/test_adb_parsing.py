"""What is read from a phone's tools, from benchmark.out and from the files built for it."""

import importlib.util
from pathlib import Path

import pytest
from services.phone import elf

from repghost.deploy.runtime import mnn_version
from repghost.latency.devices import benchmark_out, phone
from repghost.latency.devices.adb_build import Build, elf_abi, mnn_versions
from repghost.latency.devices.adb_link import Said
from repghost.latency.devices.contract import DeviceError
from repghost.latency.devices.phone import PART, Core, Reading, parse_properties, parse_reading
from repghost.latency.devices.phone_fitness import doubts, unfit
from repghost.latency.devices.spec import AdbSpec

SAID = """MNN benchmark
Forward type: **CPU** thread=1** precision=1** sparsity=0** sparseBlockOC=1
--------> Benchmarking... loop = 10, warmup = 0
The device supports: i8sdot:1, fp16:1, i8mm: 0, sve2: 0, sme2: 0
{}
"""
LINE = "[ - ] model.mnn                   max =   12.345 ms  min =    3.001 ms  avg =    3.210 ms"
SAMSUNG = f"""{PART}battery
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 0
  Charge counter: 3180000
  status: 5
  health: 2
  present: true
  level: 45
  scale: 50
  voltage: 4310
  temperature: 305
  technology: Li-ion
  LED Charging: true
{PART}thermal
Thermal Status: 4
{PART}power
  mWakefulness=Dozing
Display Power: state=DOZE
{PART}cpus
/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq:1950000
/sys/devices/system/cpu/cpu10/cpufreq/cpuinfo_max_freq:2730000
/sys/devices/system/cpu/cpu10/cpufreq/scaling_max_freq:2000000
/sys/devices/system/cpu/cpu10/cpufreq/scaling_governor:schedutil
{PART}fp16
1
"""


def test_the_average_is_the_sample() -> None:
    assert benchmark_out.average_ms(Said(SAID.format(LINE), 0)) == 3.21


@pytest.mark.parametrize(
    "text",
    [
        "",
        SAID.format(""),
        SAID.format(LINE.replace("avg", "av")),
        SAID.format(LINE.replace("3.210", "3.2.10")),
        SAID.format(LINE.replace("3.210", "nan")),
        SAID.format(LINE.replace("3.210", "0.000")),  # of no run at all
        SAID.format(f"{LINE}\n{LINE}"),  # a second model in the folder
        SAID.format(f"noise {LINE}"),
    ],
)
def test_anything_but_one_result_of_some_time_is_none(text: str) -> None:
    assert benchmark_out.average_ms(Said(text, 0)) is None


@pytest.mark.parametrize(
    ("text", "status", "word"),
    [
        (SAID.format(""), 139, "segmentation fault"),
        (SAID.format(""), 134, "abort"),
        (SAID.format(""), 137, None),  # killed, as for want of memory: not the network's fault
        (SAID.format(""), 0, None),
        ("Segmentation fault", 139, None),  # before the program said its name
    ],
)
def test_only_a_crash_after_it_began_is_the_network_s(
    text: str, status: int, word: str | None
) -> None:
    assert benchmark_out.crash(Said(text, status)) == word


def test_a_reading_tells_battery_heat_screen_and_clocks() -> None:
    reading = parse_reading(SAMSUNG)
    assert (reading.battery_percent, reading.battery_c, reading.charging) == (90.0, 30.5, False)
    assert (reading.thermal, reading.screen, reading.fp16) == ("critical", "on", True)
    assert reading.cores[0] == Core(max_mhz=1950.0)
    assert reading.cores[10] == Core(2730.0, 2000.0, None, "schedutil")


@pytest.mark.parametrize(
    ("power", "screen"),
    [
        ("Display Power: state=OFF\n", "off"),
        ("  mWakefulness=Awake\n", "on"),
        ("  mWakefulness=Asleep\n", "off"),
        ("", None),
    ],
)
def test_the_screen_is_told_by_old_and_new_androids(power: str, screen: str | None) -> None:
    assert parse_reading(f"{PART}power\n{power}").screen == screen


@pytest.mark.parametrize("text", ["", f"{PART}battery\n{PART}thermal\nThermal Status: ?\n"])
def test_what_a_phone_does_not_tell_is_none(text: str) -> None:
    assert parse_reading(text) == Reading()


def test_a_device_without_battery_has_no_temperature() -> None:
    reading = parse_reading(f"{PART}battery\n  present: false\n  level: 0\n  temperature: 0\n")
    assert (reading.battery_c, reading.battery_percent, reading.charging) == (None, None, None)


def test_frost_is_no_missing_temperature() -> None:
    assert parse_reading(f"{PART}battery\n  level: 9\n  temperature: -35\n").battery_c == -3.5


def test_an_old_phone_s_properties_stand_in_for_the_new_ones() -> None:
    text = f"""{PART}ro.product.manufacturer
samsung
{PART}ro.product.model
SM-G973F
{PART}ro.soc.model

{PART}ro.board.platform
exynos9820
{PART}ro.product.cpu.abilist

{PART}ro.product.cpu.abi
arm64-v8a
"""
    assert parse_properties(text) == {
        "maker": "samsung",
        "model": "SM-G973F",
        "soc": "exynos9820",
        "abis": "arm64-v8a",
        "sdk": "",
    }


@pytest.mark.parametrize(
    ("count", "first", "chosen"),
    [
        (1, None, (5,)),
        (2, None, (5, 3)),
        (1, 0, (0,)),
        (3, 0, (0, 5, 3)),
        (9, None, (5, 3, 4, 1, 0)),
    ],
)
def test_the_fastest_cores_are_taken_and_the_last_among_equals(
    count: int, first: int | None, chosen: tuple[int, ...]
) -> None:
    speeds = {3: 2800.0, 0: 1800.0, 5: 2800.0, 1: 1800.0, 4: 2200.0}
    cores = {core: Core(max_mhz=mhz) for core, mhz in speeds.items()}
    assert Reading(cores=cores).fastest(count, first) == chosen


def test_a_mask_is_hex() -> None:
    assert [phone.mask(cores) for cores in ([0], [7], [4, 7], [10])] == ["1", "80", "90", "400"]


def test_a_busy_core_is_seen_between_two_looks() -> None:
    twice = "cpu1 9 0 0 9 0 0 0 0\ncpu 5 0 0 5 0 0 0 0\ncpu1 39 0 0 69 10 0 0 0\n"
    assert phone.busy_share(twice, 1) == pytest.approx(0.3)
    assert phone.busy_share(twice, 2) is None


def test_a_reason_to_wait_comes_before_doubts_and_has_a_limit() -> None:
    spec = AdbSpec(max_battery_c=38.0, min_battery_percent=20.0)
    assert unfit(Reading(battery_c=38.0, battery_percent=20.0, thermal="none"), spec) == ""
    assert "38.1 C" in unfit(Reading(battery_c=38.1), spec)
    assert "light" in unfit(Reading(thermal="light"), spec)
    assert "19 %" in unfit(Reading(battery_percent=19.0), spec)
    assert doubts(Reading(cores={3: Core(2.0, 2.0)}, thermal="none", screen="off"), 3) == []


@pytest.mark.parametrize(
    ("content", "abi"),
    [
        (elf(183), "arm64-v8a"),
        (elf(40), "armeabi-v7a"),
        (elf(8), "ELF machine 8"),
        (b"#!/bin/sh\necho not a program", None),
        (b"\x7fELF", None),
    ],
)
def test_the_abi_is_read_from_the_elf_header(content: bytes, abi: str | None) -> None:
    assert elf_abi(content) == abi


def test_the_version_in_mnn_s_own_library_is_found() -> None:
    library = importlib.util.find_spec("_mnncengine")
    assert library and library.origin
    assert mnn_versions(Path(library.origin).read_bytes()) == {mnn_version()}


def test_without_a_version_it_is_a_digest_that_changes_with_the_files(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("benchmark.out", "libMNN.so")]
    for path in paths:
        path.write_bytes(elf(183))
    first, again = (Build(str(paths[0]), [str(paths[1])]).version for _ in "ab")
    paths[1].write_bytes(elf(183, "other"))
    changed = Build(str(paths[0]), [str(paths[1])]).version
    assert first == again != changed
    assert first.startswith("sha-") and len(first) == 12


def test_two_possible_versions_are_none(tmp_path: Path) -> None:
    (tmp_path / "benchmark.out").write_bytes(elf(183, "\x003.6.1\x00x\x002.9.0\x00"))
    assert Build(str(tmp_path / "benchmark.out"), []).version.startswith("sha-")


def test_a_library_that_is_missing_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "benchmark.out").write_bytes(elf(183))
    build = Build(str(tmp_path / "benchmark.out"), [str(tmp_path / "libMNN.so")])
    with pytest.raises(DeviceError, match=r"device\.libraries: .*libMNN\.so: No such file.*build"):
        build.check_abi(["arm64-v8a"])
