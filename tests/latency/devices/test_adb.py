"""A phone behind the real adb server, when all goes well."""

import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from adb_phone import no_wait, spec_of, write_build
from device_contract import DeviceContract
from services.phone import KHZ, Phone

from repghost.latency.devices.adb import AdbDevice
from repghost.latency.devices.contract import DeviceError
from repghost.latency.devices.opening import open_device

pytestmark = pytest.mark.adb
HOSTILE = "/data/local/tmp/a b; touch x $(touch y) `touch z` 'q' \"r\" & touch w #"


class TestAdbDevice(DeviceContract):
    """A phone keeps the contract."""


def test_its_profile_is_the_kind_of_phone_without_its_serial_number(
    phone: Phone, build: tuple[str, list[str]]
) -> None:
    device = open_device(spec_of(phone, build, name="pixel"))
    assert device.name == "pixel" and phone.serial not in device.profile
    assert device.profile == "adb: Google Pixel 6 (GS101)"
    assert device.fewest_runs == 10


def test_without_a_serial_number_the_only_phone_is_meant_and_no_other_one_later(
    own_adb: Callable[[str], None],
    phone: Phone,
    make_phone: Callable[[str], Phone],
    build: tuple[str, list[str]],
) -> None:
    device = AdbDevice(spec_of(phone, build, serial=""))
    assert device.profile.startswith("adb: Google")  # asks the phone: from now on it is this one
    other = make_phone("other")
    other.plug_in()
    with device:
        assert phone.pushed and not other.pushed
    phone.remove()
    with pytest.raises(DeviceError, match=f"phone {phone.serial} is not attached"), device:
        pass


def test_it_runs_mnn_s_benchmark_in_one_call_on_the_fastest_core(
    device: AdbDevice, phone: Phone, short_mnn: Path
) -> None:
    with device:
        network = device.load(short_mnn)
        heard = len(phone.heard)
        network.time_ms(10, settle=3)
        calls = phone.heard[heard:]
    assert len(calls) == 1
    assert "LD_LIBRARY_PATH=. taskset 80 ./benchmark.out" in calls[0] and "10 3 0 1 1;" in calls[0]
    assert set(phone.noted("masks")) == {"80"}


@pytest.mark.parametrize(
    ("settings", "threads", "numerics", "mask", "counts"),
    [
        ({}, 1, "fp16", "80", "10 0 0 1 2;"),
        ({}, 2, "fp32", "c0", "10 0 0 2 1;"),
        ({"core": 4}, 1, "fp32", "10", "10 0 0 1 1;"),
        ({"core": 4}, 2, "fp32", "90", "10 0 0 2 1;"),
    ],
)
def test_threads_numerics_and_core_are_those_asked_for(
    settings: dict[str, object],
    threads: int,
    numerics: str,
    mask: str,
    counts: str,
    phone: Phone,
    build: tuple[str, list[str]],
    short_mnn: Path,
) -> None:
    with AdbDevice(spec_of(phone, build, **settings)) as device:
        device.load(short_mnn, threads, numerics).time_ms(10)
    (*_, call) = [
        command for command in phone.heard if "benchmark.out" in command and "taskset" in command
    ]
    assert counts in call
    assert phone.noted("masks")[-1] == mask


def test_unknown_numerics_are_an_error_that_names_the_known_ones(
    device: AdbDevice, short_mnn: Path
) -> None:
    with device, pytest.raises(ValueError, match="numerics=int8: allowed are fp32, fp16"):
        device.load(short_mnn, numerics="int8")


def test_a_model_is_pushed_once_and_lies_alone_in_its_folder(
    device: AdbDevice, phone: Phone, short_mnn: Path, long_mnn: Path
) -> None:
    with device:
        for path in (short_mnn, long_mnn, short_mnn):
            device.load(path)
        models = list(phone.storage.rglob("*.mnn"))
        assert phone.pushed.count("model.mnn") == 2
        assert [len(list(model.parent.iterdir())) for model in models] == [1, 1]


def test_leaving_removes_everything_from_the_phone_also_after_an_exception(
    device: AdbDevice, phone: Phone, short_mnn: Path
) -> None:
    with pytest.raises(RuntimeError, match="in the middle"), device:
        device.load(short_mnn)
        assert list(phone.storage.rglob("*.mnn"))
        raise RuntimeError("in the middle")
    assert list(phone.storage.iterdir()) == []


def test_folders_of_killed_sessions_are_removed_after_a_day_and_no_others(
    device: AdbDevice, phone: Phone
) -> None:
    above = phone.storage / "repghost-lab"
    ages = {"session-old": 2.5, "session-young": 0.5, "somebody's photographs": 2.5}
    for name, days in ages.items():
        (above / name).mkdir(parents=True)
        (above / name / "model.mnn").write_bytes(b"left behind")
        then = time.time() - days * 86_400
        os.utime(above / name, (then, then))
    with device:
        pass
    left = {folder.name for folder in above.iterdir()}
    assert left == {"session-young", "somebody's photographs"}


def test_a_hostile_folder_and_file_name_are_only_names(
    phone: Phone, short_mnn: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "a b; touch x $(touch y) 'q'"
    build = write_build(odd)
    (odd / "m; touch v.mnn").write_bytes(short_mnn.read_bytes())
    before = set(phone.root.rglob("*"))
    with AdbDevice(spec_of(phone, build, folder=HOSTILE)) as device:
        assert device.load(odd / "m; touch v.mnn").time_ms(10) > 0
        inside = {path.relative_to(phone.root).parts[3] for path in phone.storage.rglob("*")}
        assert inside == {HOSTILE.rpartition("/")[2]}
    assert set(phone.root.rglob("*")) == before
    assert all(shlex.split(command) for command in phone.heard)


def test_a_library_with_a_hostile_name_is_only_a_file(phone: Phone, tmp_path: Path) -> None:
    program, libraries = write_build(tmp_path / "built")
    other = tmp_path / "lib$(touch x); touch y.so"
    other.write_bytes(Path(libraries[0]).read_bytes())
    before = set(phone.root.rglob("*"))
    with AdbDevice(spec_of(phone, (program, [*libraries, str(other)]))):
        assert other.name in phone.pushed
    assert set(phone.root.rglob("*")) == before


@pytest.mark.parametrize("folder", ["/", "/data", "tmp/x", "/data/local/../..", "/data/a\nb", ""])
def test_a_folder_that_is_not_its_own_is_refused(
    folder: str, phone: Phone, build: tuple[str, list[str]]
) -> None:
    with pytest.raises(DeviceError, match=r"device\.folder=.*must be a folder of its own"):
        AdbDevice(spec_of(phone, build, folder=folder))


def test_two_phones_and_two_sessions_on_one_phone_do_not_disturb_each_other(
    make_phone: Callable[[str], Phone], build: tuple[str, list[str]], short_mnn: Path
) -> None:
    phones = [make_phone("one"), make_phone("two")]
    for phone in phones:
        phone.plug_in()
    first, second = (AdbDevice(spec_of(phone, build)) for phone in phones)
    again = AdbDevice(spec_of(phones[0], build))
    with first:
        network = first.load(short_mnn)
        with second, again:
            second.load(short_mnn)
            assert second.profile == first.profile
        assert list(phones[1].storage.iterdir()) == []
        assert network.time_ms(10) > 0
        assert phones[0].noted("fixed_performance") == ["true", "true"]
    assert list(phones[0].storage.iterdir()) == []
    assert phones[0].noted("fixed_performance") == ["true", "true", "false"]


def test_fixed_performance_mode_is_set_inside_and_put_back(device: AdbDevice, phone: Phone) -> None:
    with device:
        assert phone.noted("fixed_performance") == ["true"]
        assert device.state()["fixed_performance_mode"] is True
    assert phone.noted("fixed_performance") == ["true", "false"]
    assert device.state()["fixed_performance_mode"] is False


def test_an_older_android_is_not_asked_for_fixed_performance_mode(
    device: AdbDevice, phone: Phone
) -> None:
    phone.note("prop/ro.build.version.sdk", "29\n")
    with device:
        assert device.state()["fixed_performance_mode"] is False
    assert phone.noted("fixed_performance") == []


def test_a_phone_without_fixed_performance_mode_is_timed_without(
    device: AdbDevice, phone: Phone, short_mnn: Path
) -> None:
    phone.note("no_fixed_performance", "")
    with device:
        assert device.load(short_mnn).time_ms(10) > 0
        assert device.state()["fixed_performance_mode"] is False


def test_the_line_ends_of_old_androids_are_understood(
    device: AdbDevice, phone: Phone, short_mnn: Path
) -> None:
    phone.old_line_ends = True
    with device:
        assert device.load(short_mnn).time_ms(10) > 0
    assert device.profile == "adb: Google Pixel 6 (GS101)"


def test_its_state_is_what_the_phone_tells(device: AdbDevice, phone: Phone) -> None:
    phone.battery([31.4], level=55, charging=True)
    phone.heat(1)
    phone.screen("ON")
    phone.clocks(KHZ, [2_000_000] * 8)
    with device:
        state = device.state()
    assert state["pinned"] is True and (state["core"], state["mask"]) == (7, "80")
    assert (state["battery_c"], state["battery_percent"]) == (31.4, 55.0)
    assert (state["thermal_status"], state["screen"], state["charging"]) == ("light", "on", True)
    assert (state["allowed_frequency_mhz"], state["max_frequency_mhz"]) == (2000.0, 2802.0)
    assert (state["frequency_mhz"], state["governor"]) == (1000.0, "sched_pixel")
    assert device.state()["pinned"] is False


def test_what_makes_a_number_doubtful_is_said_before_a_block(
    device: AdbDevice, phone: Phone
) -> None:
    with device:
        assert device.ready(no_wait) == []
        phone.battery([31.4], charging=True)
        phone.screen("ON")
        phone.clocks(KHZ, [1_800_000] * 8)
        words = device.ready(no_wait)
    assert words == [
        "the screen is on",
        "the battery is being charged",
        "core 7 is capped at 1800 of 2802 MHz",
    ]


def test_a_hot_phone_is_waited_for_until_it_is_cool(device: AdbDevice, phone: Phone) -> None:
    slept: list[float] = []
    with device:
        phone.battery([41.0, 40.0, 39.0, 37.9])
        assert device.ready(slept.append) == []
    assert slept == [5.0, 5.0, 5.0]


def test_a_throttling_phone_is_waited_for(device: AdbDevice, phone: Phone) -> None:
    phone.heat(2)
    with device:
        assert device.ready(lambda seconds: phone.heat(0)) == []
