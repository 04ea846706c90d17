"""A phone's device in the tests: stand-ins for what is built for it, and its settings."""

from pathlib import Path

import pytest
from services import adb_server
from services.phone import MACHINES, Phone, elf

from repghost.deploy.runtime import mnn_version
from repghost.latency.devices.contract import Check, Device, DeviceError
from repghost.latency.devices.spec import AdbSpec


def write_build(folder: Path, abi: str = "arm64-v8a", version: str = "") -> tuple[str, list[str]]:
    """Write a benchmark.out and its library for an ABI; return their paths.

    Real ones cannot be built for the emulated phone: these have the right headers, and MNN's
    version where MNN has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    program, library = folder / "benchmark.out", folder / "libMNN.so"
    program.write_bytes(elf(MACHINES[abi]))
    library.write_bytes(elf(MACHINES[abi], f"\0clang 17.0.2\0{version or mnn_version()}\0"))
    return str(program), [str(library)]


def spec_of(phone: Phone, build: tuple[str, list[str]], **settings: object) -> AdbSpec:
    """Return the settings of a device for this phone."""
    program, libraries = build
    filled = {"serial": phone.serial, "server": adb_server.address(), "wait_s": 60.0} | settings
    return AdbSpec(benchmark=program, libraries=libraries, **filled)  # type: ignore[arg-type]


def no_wait(seconds: float) -> None:
    """Be the `sleep` of a phone that must not be waited for."""
    pytest.fail(f"it wanted to wait for {seconds} s")


def failure(device: Device) -> Check:
    """Return the one line of the doctor's that says what is wrong."""
    (found,) = [check for check in device.checks() if check.level == "fail"]
    return found


def enter(device: Device) -> str:
    """Return the one line that entering it fails with."""
    with pytest.raises(DeviceError) as caught, device:
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)
