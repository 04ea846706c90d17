"""Markers and fixtures of the real services: one rule for what happens where one is missing."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from services import adb_server, chromium, cluster, database
from services.phone import Phone, benchmark_server

MISSING = {  # marker -> why its service cannot be used, looked up once
    "browser": functools.cache(chromium.missing),
    "slurm": functools.cache(cluster.missing),
    "postgres": functools.cache(database.missing),
    "adb": functools.cache(adb_server.missing),
}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose service is missing; fail it where the services are required."""
    for marker, missing in MISSING.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            required = os.environ.get("REPGHOST_REQUIRE_SERVICES") == "1"
            (pytest.fail if required else pytest.skip)(reason)


@pytest.fixture
def slurm() -> Iterator[cluster.Slurm]:
    """An idle cluster with every node up; the test carries the marker `slurm`."""
    slurm = cluster.Slurm(dict(os.environ))
    slurm.reset()
    yield slurm
    slurm.reset()


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty database; its password is in PGPASSWORD. Marker `postgres`."""
    monkeypatch.setenv("PGPASSWORD", database.password())
    with database.new_database() as url:
        yield url


@pytest.fixture
def own_adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """An adb server that sees this test's phones only: a function, "start" or "stop" -> do it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("ADB_PORT", adb_server.free_port())
    adb_server.script("start")
    try:
        yield adb_server.script
    finally:
        adb_server.script("stop")


@pytest.fixture(scope="session")
def phone_benchmark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of what emulated phones run for benchmark.out."""
    with benchmark_server(tmp_path_factory.mktemp("mnn")) as path:
        yield path


@pytest.fixture
def make_phone(tmp_path: Path, phone_benchmark: Path) -> Iterator[Callable[[str], Phone]]:
    """A function: name -> an emulated phone that is not plugged in yet. Marker `adb`."""
    phones: list[Phone] = []

    def make(name: str) -> Phone:
        phones.append(Phone(tmp_path / name, phone_benchmark))
        return phones[-1]

    yield make
    for phone in phones:
        phone.remove()


@pytest.fixture
def phone(make_phone: Callable[[str], Phone]) -> Phone:
    """An emulated phone that the real adb server sees. Marker `adb`."""
    phone = make_phone("phone")
    phone.plug_in()
    return phone
