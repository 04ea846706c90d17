import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text
from store_contract import IDENTITY, MEASURED, PAPER, StoreContract

from repghost.latency.queue.database import StoreError
from repghost.latency.store import Store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/outputs/latency.db"


def error_of(url: str) -> str:
    """Return the one line of the error that opening this database raises."""
    with pytest.raises(StoreError) as error:
        Store(url)
    assert "\n" not in str(error.value)
    return str(error.value)


class TestSqlite(StoreContract):
    """A file on this machine."""


def test_a_store_in_memory_works() -> None:
    store = Store("sqlite://")
    store.add(MEASURED)
    assert store.find(IDENTITY) == MEASURED


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
    said = error_of(f"sqlite:///{tmp_path}/old.db")
    assert "no such column in measurements: fingerprint" in said and "move that file away" in said
    with sqlite3.connect(tmp_path / "old.db") as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    assert version == 0, "it is left as it was"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT nothing FROM measurements",
        "SELECT * FROM nowhere",
        "PRAGMA query_only = 1; DELETE FROM measurements",
    ],
)
def test_what_waiting_does_not_mend_is_not_away(url: str, statement: str) -> None:
    store = Store(url)
    with pytest.raises(StoreError) as error, store.database.writing() as session:
        for one in statement.split(";"):
            session.execute(text(one))
    assert not error.value.away


def test_a_database_that_another_process_holds_is_away(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repghost.latency.queue.database.BUSY_TIMEOUT_S", 0.1)
    store, other = Store(url), Store(url)
    with other.database.writing() as session:
        session.execute(text("SELECT 1"))  # it begins with the first statement
        with pytest.raises(StoreError, match="is locked") as error:
            store.add(MEASURED)
    assert error.value.away


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Let no SQLite database grow beyond 20 pages: SQLite then says that the disk is full."""

    def limit(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count=20")

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
