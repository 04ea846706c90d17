import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from repghost.latency.record import Identity, Measurement
from repghost.latency.store import Store, StoreError

IDENTITY = Identity("abc123", "local: Some CPU", "paired", 1, "3.6.1")
MEASURED = Measurement(
    identity=IDENTITY,
    latency_ms=0.19123456789012345,
    latency_low=0.18,
    latency_high=0.2,
    latency_ratio=1.26,
    ratio_low=1.25,
    ratio_high=1.27,
    reference="repghostnet_050",
    reference_ms=0.15,
    samples_ms=(0.19, 0.1 + 0.2, 1e-7),
    reference_samples_ms=(0.15, 0.16, 1 / 3),
    runs_per_sample=20,
    settled=True,
    ended="precision reached",
    device_state={"pinned": True, "core": 1, "governor": None, "load_average_1min": 0.25},
    measured_at="2025-01-01T00:00:00+00:00",
    host="somewhere",
)
PAPER = replace(
    MEASURED,
    identity=replace(IDENTITY, protocol="paper"),
    latency_ratio=None,
    ratio_low=None,
    ratio_high=None,
    reference=None,
    reference_ms=None,
    reference_samples_ms=(),
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/outputs/latency.db"


def error_of(url: str) -> str:
    """Return the one line of the error that opening this database raises."""
    with pytest.raises(StoreError) as error:
        Store(url)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_measurement_comes_back_as_it_was_also_from_another_store(url: str) -> None:
    Store(url).add(MEASURED)
    assert Store(url).find(IDENTITY) == MEASURED


def test_a_measurement_without_a_reference_comes_back_as_it_was(url: str) -> None:
    store = Store(url)
    assert store.add(PAPER) == PAPER == store.find(PAPER.identity)


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "other"},
        {"device": "local: Other CPU"},
        {"protocol": "paper"},
        {"threads": 2},
        {"mnn_version": "3.7.0"},
    ],
)
def test_a_measurement_of_another_identity_is_not_found(url: str, change: dict[str, Any]) -> None:
    store = Store(url)
    store.add(MEASURED)
    other = replace(MEASURED, identity=replace(IDENTITY, **change))
    assert store.find(other.identity) is None
    assert store.add(other) == other and len(store.all()) == 2


def test_the_first_measurement_of_an_identity_stands(url: str) -> None:
    store = Store(url)
    store.add(MEASURED)
    assert store.add(replace(MEASURED, latency_ms=99.0)) == MEASURED
    assert store.all() == [MEASURED]


def test_all_are_returned_oldest_first(url: str) -> None:
    store = Store(url)
    names = ["b", "c", "a"]
    for name in names:
        store.add(replace(MEASURED, identity=replace(IDENTITY, fingerprint=name)))
    assert [measured.identity.fingerprint for measured in store.all()] == names


def test_a_store_in_memory_works() -> None:
    store = Store("sqlite://")
    store.add(MEASURED)
    assert store.find(IDENTITY) == MEASURED


ADD_MANY = """
import sys
from dataclasses import replace
from test_store import IDENTITY, MEASURED
from repghost.latency.store import Store
print("ready", flush=True)
sys.stdin.readline()
store = Store(sys.argv[1])
for i in range(40):
    identity = replace(IDENTITY, fingerprint=f"f{i}")
    store.add(replace(MEASURED, identity=identity, host=sys.argv[2]))
"""


def start_writer(url: str, host: str) -> "subprocess.Popen[str]":
    """Return a process that has said that it is ready and adds 40 measurements when told to."""
    paths = [str(Path(__file__).parent), *filter(None, sys.path)]
    writer = subprocess.Popen(
        [sys.executable, "-c", ADD_MANY, url, host],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    return writer


def test_two_processes_that_add_at_once_keep_each_identity_once(url: str) -> None:
    writers = [start_writer(url, host) for host in ("first", "second")]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0]
    kept = Store(url).all()
    assert sorted(m.identity.fingerprint for m in kept) == sorted(f"f{i}" for i in range(40))
    assert {measured.host for measured in kept} <= {"first", "second"}


def test_a_file_that_is_no_database_is_a_clear_error_and_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "latency.db"
    path.write_bytes(b"my precious notes\n" * 100)
    said = error_of(f"sqlite:///{path}")
    assert str(path) in said and "not a database" in said and "move that file away" in said
    assert path.read_bytes() == b"my precious notes\n" * 100


def test_a_damaged_database_is_a_clear_error(url: str, tmp_path: Path) -> None:
    store = Store(url)
    for i in range(50):
        store.add(replace(MEASURED, identity=replace(IDENTITY, fingerprint=f"f{i}")))
    path = tmp_path / "outputs/latency.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    with pytest.raises(StoreError, match="malformed; move that file away"):
        Store(url).all()


def test_a_folder_in_place_of_the_database_is_a_clear_error(tmp_path: Path) -> None:
    assert "name a file in a folder" in error_of(f"sqlite:///{tmp_path}")


def test_a_file_in_place_of_the_parent_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file")
    assert "name a file in a folder" in error_of(f"sqlite:///{tmp_path}/outputs/latency.db")


def test_a_read_only_database_is_a_clear_error_at_once(url: str, tmp_path: Path) -> None:
    Store(url)
    read_only = f"sqlite:///file:{tmp_path}/outputs/latency.db?mode=ro&uri=true"
    assert "make the file and its folder writable" in error_of(read_only)


def test_a_database_of_another_version_is_a_clear_error(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.execute("CREATE TABLE measurements (id INTEGER PRIMARY KEY, latency_ms FLOAT)")
    with pytest.raises(StoreError, match=r"no such column.*move that file away"):
        Store(f"sqlite:///{tmp_path}/old.db").find(IDENTITY)


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Let no SQLite database grow beyond 8 pages: SQLite then says that the disk is full."""

    def limit(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count=8")

    event.listen(Engine, "connect", limit)
    yield
    event.remove(Engine, "connect", limit)


def test_a_full_disk_is_a_clear_error_and_what_was_kept_stays(url: str, small_disk: None) -> None:
    store = Store(url)
    store.add(MEASURED)
    big = replace(MEASURED, identity=PAPER.identity, samples_ms=tuple(range(20_000)))
    with pytest.raises(StoreError, match="full; free some space"):
        store.add(big)
    assert store.all() == [MEASURED]


@pytest.mark.parametrize(
    "url",
    [
        "postgres:joe:secret@host",
        "joe:secret@host/db",
        "nothing://joe:secret@host/db",
        "nothing://joe:se@cr/secret@host/db",
        "nothing://host/db?user=joe&password=secret",
        "postgresql+psycopg://joe:secret@localhost:port/db",
    ],
)
def test_an_url_that_cannot_be_used_is_an_error_without_its_password(url: str) -> None:
    said = error_of(url)
    assert "secret" not in said and "***" in said
    assert said.startswith("storage.url=") and "write sqlite:///" in said
