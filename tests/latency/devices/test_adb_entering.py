"""A phone behind the real adb server, when it cannot be entered."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from adb_phone import enter, failure, spec_of, write_build
from services import adb_server
from services.phone import Phone

from repghost.latency.devices.adb import AdbDevice
from repghost.latency.devices.contract import DeviceError

pytestmark = pytest.mark.adb


def test_without_an_adb_server_nothing_is_started_and_the_error_says_how(
    phone: Phone, build: tuple[str, list[str]]
) -> None:
    server = f"127.0.0.1:{adb_server.free_port()}"
    device = AdbDevice(spec_of(phone, build, server=server))
    said = enter(device)
    assert f"no adb server at {server}" in said and f"adb -P {server.split(':')[1]} start" in said
    assert failure(device).what == "adb server"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(server.split(":")[1])), 1)


@pytest.mark.parametrize("server", ["5037", "localhost", "localhost:adb", ":5037"])
def test_a_server_that_is_no_address_is_an_error_that_says_what_one_is(
    server: str, build: tuple[str, list[str]], phone: Phone
) -> None:
    with pytest.raises(DeviceError, match=f"device.server={server}: must be host:port"):
        AdbDevice(spec_of(phone, build, server=server))


def test_a_phone_that_was_never_there_is_an_error_that_lists_the_others(
    phone: Phone, build: tuple[str, list[str]]
) -> None:
    device = AdbDevice(spec_of(phone, build, serial="R5CT20ABCDE"))
    said = enter(device)
    assert said.startswith("phone R5CT20ABCDE is not attached")
    assert phone.serial in said and "plug it in" in said
    assert failure(device).what == "phone" and "plug it in" in failure(device).advice


def test_several_phones_and_no_serial_number_are_an_error_that_lists_them(
    make_phone: Callable[[str], Phone], phone: Phone, build: tuple[str, list[str]]
) -> None:
    other = make_phone("other")
    other.plug_in()
    said = enter(AdbDevice(spec_of(phone, build, serial="")))
    assert "several phones are attached" in said and "device.serial=" in said
    assert phone.serial in said and other.serial in said


def test_an_unauthorised_phone_is_an_error_that_says_what_to_do(
    make_phone: Callable[[str], Phone], build: tuple[str, list[str]]
) -> None:
    phone = make_phone("shy")
    phone.trusts = False
    phone.plug_in()
    device = AdbDevice(spec_of(phone, build))
    assert "does not trust this machine; unlock it" in enter(device)
    assert "unlock it" in failure(device).advice


def test_an_offline_phone_is_an_error_that_says_what_to_do(
    make_phone: Callable[[str], Phone], build: tuple[str, list[str]]
) -> None:
    phone = make_phone("mute")
    phone.answers = False
    phone.plug_in()
    assert "is offline; plug it in again" in enter(AdbDevice(spec_of(phone, build)))


def test_a_wrong_abi_is_an_error_that_names_both(phone: Phone, tmp_path: Path) -> None:
    device = AdbDevice(spec_of(phone, write_build(tmp_path / "built", "x86_64")))
    assert "benchmark.out: is built for x86_64, needed is arm64-v8a" in enter(device)
    assert failure(device).what == "ABI"
    assert phone.pushed == []


def test_a_library_of_another_abi_than_the_program_is_an_error(
    phone: Phone, tmp_path: Path
) -> None:
    program, _ = write_build(tmp_path / "arm64")
    _, libraries = write_build(tmp_path / "arm32", "armeabi-v7a")
    said = enter(AdbDevice(spec_of(phone, (program, libraries))))
    assert "libMNN.so: is built for armeabi-v7a, needed is arm64-v8a" in said


def test_a_program_that_is_none_is_an_error(phone: Phone, build: tuple[str, list[str]]) -> None:
    Path(build[0]).write_text("#!/bin/sh\n")
    assert "benchmark.out: is no program" in enter(AdbDevice(spec_of(phone, build)))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (("", []), "no benchmark.out is named; build it"),
        (("/nowhere/benchmark.out", []), "device.benchmark: /nowhere/benchmark.out: No such file"),
    ],
)
def test_a_missing_program_is_an_error_that_says_how_to_build_it(
    build: tuple[str, list[str]], said: str, phone: Phone
) -> None:
    device = AdbDevice(spec_of(phone, build))
    assert said in enter(device) and "build_64.sh" in enter(device)
    assert failure(device).what == "files" and "build_64.sh" in failure(device).advice


def test_a_library_that_is_not_named_is_an_error_that_quotes_the_linker(
    phone: Phone, build: tuple[str, list[str]]
) -> None:
    device = AdbDevice(spec_of(phone, (build[0], [])))
    said = enter(device)
    assert 'library "libMNN.so" not found' in said and "device.libraries" in said
    assert failure(device).what == "benchmark.out"
    assert list(phone.storage.iterdir()) == []


def test_two_libraries_of_one_name_are_an_error(phone: Phone, tmp_path: Path) -> None:
    program, first = write_build(tmp_path / "one")
    _, second = write_build(tmp_path / "two")
    said = enter(AdbDevice(spec_of(phone, (program, first + second))))
    assert "two files of the name libMNN.so" in said


def test_full_storage_is_an_error_when_the_program_is_pushed(
    device: AdbDevice, phone: Phone
) -> None:
    phone.free_bytes = 10
    assert "storage is full" in enter(device)
    phone.free_bytes = 10**9
    with device:
        assert device.state()["pinned"] is True


def test_full_storage_is_an_error_when_a_large_model_is_pushed(
    device: AdbDevice, phone: Phone, make_mnn: Callable[[int], Path]
) -> None:
    with device:
        phone.free_bytes = 10
        with pytest.raises(DeviceError, match=r"model\.mnn .* storage is full.*free some"):
            device.load(make_mnn(20))


@pytest.mark.parametrize("name", ["benchmark.out", "libMNN.so"])
def test_a_file_that_arrives_damaged_is_an_error(
    name: str, device: AdbDevice, phone: Phone
) -> None:
    phone.corrupts = name
    assert f"{name} arrived damaged" in enter(device)
    assert list(phone.storage.iterdir()) == []


def test_a_model_that_arrives_damaged_is_an_error_and_is_pushed_again(
    device: AdbDevice, phone: Phone, short_mnn: Path
) -> None:
    with device:
        phone.corrupts = "model.mnn"
        with pytest.raises(DeviceError, match=r"model\.mnn arrived damaged"):
            device.load(short_mnn)
        phone.corrupts = ""
        assert device.load(short_mnn).time_ms(10) > 0


@pytest.mark.parametrize("tools", [["sha256sum"], ["sha256sum", "md5sum"]])
def test_a_phone_without_sha256sum_is_asked_for_md5sum(
    tools: list[str], device: AdbDevice, phone: Phone
) -> None:
    for tool in tools:
        phone.lacks(tool)
    if "md5sum" in tools:
        assert "has neither sha256sum nor md5sum" in enter(device)
        return
    with device:
        assert any("md5sum <" in command for command in phone.heard)
    phone.corrupts = "libMNN.so"
    assert "arrived damaged (md5 differs)" in enter(device)
