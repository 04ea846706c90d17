"""What goes wrong with a server only; what every store does is in store_contract.py."""

import builtins
from typing import Any

import pytest
from services import database
from store_contract import IDENTITY, MEASURED, StoreContract

from repghost.latency.queue.database import StoreError
from repghost.latency.store import Store

pytestmark = pytest.mark.postgres


class TestPostgres(StoreContract):
    """Each test has a database of its own on the real server."""

    @pytest.fixture
    def url(self, postgres: str) -> str:
        return postgres


def error_of(url: str) -> str:
    """Return the one line of the error that opening this database raises."""
    with pytest.raises(StoreError) as error:
        Store(url)
    assert "\n" not in str(error.value) and str(error.value).startswith("storage.url=")
    return str(error.value)


def name_of(url: str) -> str:
    return url.rsplit("/", 1)[1]


@pytest.mark.parametrize("password", ["wrong-secret", ""], ids=["wrong", "none"])
def test_a_password_that_does_not_fit_is_a_clear_error(
    postgres: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as wrong:  # the fixture's own must be back when it ends
        wrong.setenv("PGPASSWORD", password)
        said = error_of(postgres)
    assert "put the password into the environment as PGPASSWORD, or into ~/.pgpass" in said
    assert "secret" not in said


def test_a_database_that_is_not_there_is_a_clear_error(postgres: str) -> None:
    assert "make that database with createdb" in error_of(f"{postgres}_not")


def test_a_server_that_is_not_up_is_a_clear_error(postgres: str) -> None:
    nobody = postgres.replace(f":{database.port()}/", ":1/")
    assert "check storage.url and that its server is up" in error_of(nobody)


def test_a_host_that_is_not_there_is_a_clear_error(postgres: str) -> None:
    nowhere = postgres.replace(database.HOST, "host.invalid")
    assert "check the name of the host" in error_of(nowhere)


def test_a_missing_driver_is_a_clear_error(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_driver(name: str, *rest: Any, **more: Any) -> Any:
        if name == "psycopg":
            raise ModuleNotFoundError("No module named 'psycopg'")
        return real(name, *rest, **more)

    with monkeypatch.context() as without:  # the fixture needs the driver when it ends
        without.setattr(builtins, "__import__", without_driver)
        said = error_of(postgres)
    assert "pip install 'repghost-lab[postgres]'" in said


def test_a_table_of_another_version_is_a_clear_error(postgres: str) -> None:
    with database.connected(name_of(postgres)) as connection:
        connection.execute("CREATE TABLE measurements (id SERIAL PRIMARY KEY, latency_ms FLOAT)")
    with pytest.raises(StoreError, match=r"does not exist; drop that table"):
        Store(postgres).find(IDENTITY)


def test_a_store_works_again_when_the_server_had_closed_its_connections(postgres: str) -> None:
    store = Store(postgres)
    store.add(MEASURED)
    with database.connected() as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [name_of(postgres)],
        ).fetchall()
    assert ended == [(True,)]  # the one that the store keeps
    assert store.find(IDENTITY) == MEASURED


def test_a_table_that_was_dropped_is_a_clear_error(postgres: str) -> None:
    store = Store(postgres)
    with database.connected(name_of(postgres)) as connection:
        connection.execute("DROP TABLE measurements")
    with pytest.raises(StoreError, match='relation "measurements" does not exist') as error:
        store.add(MEASURED)
    assert not error.value.away


@pytest.mark.parametrize(
    ("old", "new", "away"),
    [(f":{database.port()}/", ":1/", True), ("@", "@", False)],
    ids=["nobody listens", "wrong password"],
)
def test_only_a_server_that_may_come_back_is_away(
    postgres: str, old: str, new: str, away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as wrong, pytest.raises(StoreError) as error:
        wrong.setenv("PGPASSWORD", "wrong")
        Store(postgres.replace(old, new))
    assert error.value.away is away
