"""A phone behind the real adb server, when something goes wrong while it is in use."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from adb_phone import enter, failure, no_wait, spec_of
from services import adb_server
from services.phone import Phone

from repghost.latency.devices import adb_network
from repghost.latency.devices.adb import AdbDevice
from repghost.latency.devices.contract import DeviceError

pytestmark = pytest.mark.adb


def test_a_phone_that_is_unplugged_in_the_middle_of_a_call_is_an_error_and_comes_back(
    device: AdbDevice, phone: Phone, short_mnn: Path
) -> None:
    with pytest.raises(DeviceError, match=r"is offline|not attached|not found"), device:
        network = device.load(short_mnn)
        phone.unplugs_at = "./benchmark.out"
        network.time_ms(10)
    phone.unplugs_at = ""
    phone.plug_in()
    with device:
        assert device.load(short_mnn).time_ms(10) > 0


def test_a_phone_that_vanished_does_not_hide_another_error(device: AdbDevice, phone: Phone) -> None:
    with pytest.raises(ZeroDivisionError), device:
        phone.unplug()
        raise ZeroDivisionError


@pytest.mark.parametrize("at", ["mkdir -p", "sha256sum", "cmd power", "getprop", "dumpsys"])
def test_a_phone_that_is_unplugged_while_it_is_entered_is_an_error_in_one_line(
    at: str, device: AdbDevice, phone: Phone
) -> None:
    phone.unplugs_at = at
    assert phone.serial in enter(device)


def test_every_door_tells_a_phone_that_is_gone(
    device: AdbDevice, phone: Phone, short_mnn: Path, long_mnn: Path
) -> None:
    def fail_all() -> None:
        for door in (
            lambda: device.ready(no_wait),
            lambda: device.load(long_mnn),  # the other one is there already
            lambda: network.time_ms(10),
            device.state,
        ):
            with pytest.raises(DeviceError):
                door()

    with device:
        network = device.load(short_mnn)
        phone.unplug()
        fail_all()
    assert failure(device).what in ("phone", "which phone")


def test_output_that_cannot_be_parsed_is_an_error_that_quotes_it(
    device: AdbDevice, phone: Phone, short_mnn: Path
) -> None:
    with device:
        network = device.load(short_mnn)
        phone.note("garble", "yes")
        with pytest.raises(DeviceError, match=r"said no time for chain4\.mnn.*max ="):
            network.time_ms(10)
        phone.forget("garble")
        assert network.time_ms(10) > 0


def test_a_model_that_vanished_from_the_phone_is_an_error_though_the_status_is_0(
    device: AdbDevice, phone: Phone, short_mnn: Path
) -> None:
    with device:
        network = device.load(short_mnn)
        (model,) = phone.storage.rglob("model.mnn")
        model.unlink()
        model.parent.rmdir()
        with pytest.raises(DeviceError, match=r"open .* failed: No such file.*status 0"):
            network.time_ms(10)


def test_a_model_that_crashes_mnn_on_the_phone_is_the_model_s_fault(
    device: AdbDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.mnn").write_bytes(b"this is no network" * 40)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # as without MNN here
    with device, pytest.raises(ValueError, match=r"broken\.mnn: crashes MNN.*segmentation fault"):
        device.load(tmp_path / "broken.mnn")


def test_a_call_that_does_not_end_is_given_up_and_killed_on_the_phone(
    device: AdbDevice, phone: Phone, short_mnn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adb_network, "CALL_S", 1.0)
    with device:
        network = device.load(short_mnn)
        phone.note("hang", "3600")
        began = time.monotonic()
        with pytest.raises(DeviceError, match="did not end within"):
            network.time_ms(10)
        assert time.monotonic() - began < 20  # a few milliseconds above a second on a quiet machine
        phone.forget("hang")
        assert network.time_ms(10) > 0
    end = time.monotonic() + 5
    while phone.running() and time.monotonic() < end:
        time.sleep(0.05)
    assert phone.running() == []


def test_a_phone_that_stays_hot_is_given_up_with_the_reason(
    phone: Phone, build: tuple[str, list[str]]
) -> None:
    phone.battery([45.2])
    slept: list[float] = []
    with AdbDevice(spec_of(phone, build, wait_s=12.0)) as device:
        with pytest.raises(DeviceError, match=r"after 15 s .*battery is at 45\.2 C.* 38\.0 C"):
            device.ready(slept.append)
        assert failure(device).what == "battery temperature"
    assert sum(slept) == 15.0


def test_a_phone_that_keeps_throttling_is_given_up_with_the_reason(
    phone: Phone, build: tuple[str, list[str]]
) -> None:
    phone.heat(3)
    with AdbDevice(spec_of(phone, build, wait_s=0.0)) as device:
        with pytest.raises(DeviceError, match=r"throttles for heat \(thermal status severe\)"):
            device.ready(no_wait)
        assert failure(device).what == "thermal status"


def test_an_empty_battery_is_waited_for_only_while_it_charges(
    device: AdbDevice, phone: Phone
) -> None:
    with device:
        phone.battery([25.0], level=15)
        with pytest.raises(DeviceError, match=r"after 0 s .*charged to 15 %"):
            device.ready(no_wait)
        phone.battery([25.0], level=15, charging=True)
        words = device.ready(lambda seconds: phone.battery([25.0], level=20, charging=True))
    assert words == ["the battery is being charged"]


def test_a_board_without_battery_screen_and_clocks_is_timed_on_the_core_named(
    phone: Phone, build: tuple[str, list[str]], short_mnn: Path
) -> None:
    for name in ("battery", "thermalservice", "power"):
        phone.note(name, "")
    phone.clocks([])
    assert "set device.core" in enter(AdbDevice(spec_of(phone, build)))
    with AdbDevice(spec_of(phone, build, core=2)) as device:
        words = device.ready(no_wait)
        assert device.load(short_mnn).time_ms(10) > 0
        state = device.state()
    assert words == ["it does not tell its thermal status", "it does not tell the clock of core 2"]
    assert (state["core"], state["battery_c"], state["frequency_mhz"]) == (2, None, None)


def test_a_core_that_the_phone_does_not_have_is_an_error(
    phone: Phone, build: tuple[str, list[str]]
) -> None:
    said = enter(AdbDevice(spec_of(phone, build, core=8)))
    assert "device.core=8: it has 0, 1, 2, 3, 4, 5, 6, 7" in said


def test_a_network_is_not_loaded_outside_of_with(device: AdbDevice, short_mnn: Path) -> None:
    with pytest.raises(DeviceError, match="enter the device before"):
        device.load(short_mnn)


def test_the_doctor_warns_of_what_makes_numbers_doubtful(device: AdbDevice, phone: Phone) -> None:
    phone.screen("ON")
    phone.battery([27.0], charging=True)
    phone.clocks([2_000_000] * 8, [1_500_000] * 8)
    warned = {check.what: check for check in device.checks() if check.level == "warn"}
    assert set(warned) == {"screen", "charging", "frequency", "governor"}
    assert "1500 of 2000 MHz" in warned["frequency"].found
    assert list(phone.storage.iterdir()) == []


def test_a_killed_adb_server_is_an_error_and_the_next_one_is_used(
    own_adb: Callable[[str], None], phone: Phone, build: tuple[str, list[str]], short_mnn: Path
) -> None:
    device = AdbDevice(spec_of(phone, build))
    with device:
        network = device.load(short_mnn)
        own_adb("stop")
        with pytest.raises(DeviceError, match=f"no adb server at {adb_server.address()}"):
            network.time_ms(10)
        own_adb("start")
        phone.plug_in()
        assert network.time_ms(10) > 0
