"""Markers and fixtures of the real services: one rule for what happens where one is missing."""

import functools
import os
from collections.abc import Iterator

import pytest
from services import chromium, cluster, database

MISSING = {  # marker -> why its service cannot be used, looked up once
    "browser": functools.cache(chromium.missing),
    "slurm": functools.cache(cluster.missing),
    "postgres": functools.cache(database.missing),
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
