"""A phone's device, for the tests that name these fixtures."""

from pathlib import Path

import pytest
from adb_phone import spec_of, write_build
from services.phone import Phone

from repghost.latency.devices.adb import AdbDevice


@pytest.fixture
def build(tmp_path: Path) -> tuple[str, list[str]]:
    return write_build(tmp_path / "built")


@pytest.fixture
def device(phone: Phone, build: tuple[str, list[str]]) -> AdbDevice:
    return AdbDevice(spec_of(phone, build))
