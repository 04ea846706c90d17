"""One SQL database for measurements, requests and workers: SQLite, or PostgreSQL for more hosts."""

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from repghost.latency.queue.tables import SCHEMA_VERSION, Base, MeasurementRow

BUSY_TIMEOUT_S = 30
TO_MEND = ("password", "pg_hba.conf", 'role "', 'database "')  # refusals that no waiting ends
# Of PostgreSQL's states: connection lost, shut down or starting, too many connections.
AWAY_STATES = ("08", "57P01", "57P02", "57P03", "53300")
CONNECT_S = 10
TABLE_LOCK = 0x7265_7067  # any number that nobody else locks in that database
WRITABLE = "name a file in a folder that exists and can be written"
MOVE_AWAY = "move that file away: it is made anew, and the networks are timed again"
URL_FORM = "write sqlite:///FOLDER/latency.db or postgresql+psycopg://USER@HOST/DATABASE"
ADVICE = {  # what a database or the system says -> what to do about it; the first that fits
    "password": "put the password into the environment as PGPASSWORD, or into ~/.pgpass",
    "failed to resolve": "check the name of the host in storage.url",
    'database "': "make that database with createdb, or name another storage.url",
    "permission denied for schema": "let that user make tables: GRANT ALL ON SCHEMA public TO ...",
    "column measurements.": "drop that table: it is made anew, and the networks are timed again",
    "unable to open": WRITABLE,
    "[errno": WRITABLE,
    "readonly": "make the file and its folder writable, or name another storage.url",
    "not a database": MOVE_AWAY,
    "malformed": MOVE_AWAY,
    "no such column": MOVE_AWAY,
    "is full": "free some space on that disk and run the same command again",
    "i/o error": "check that disk and its free space, and run the same command again",
    "is locked": "another process holds it: end that one and run the same command again",
    "parse": URL_FORM,
    "load plugin": URL_FORM,
    "invalid literal": URL_FORM,
    "no module named": "install that driver (pip install 'repghost-lab[postgres]' for"
    " PostgreSQL), or name another storage.url",
}


class StoreError(ValueError):
    """The database cannot be opened, read or written; one line with what to do.

    `away` says that the server did not answer, or that another process holds the file: it may be
    back soon.
    """

    away = False


class Database:
    """The database at `url`, its tables made where they are missing; safe for many processes.

    Raises:
        StoreError: it cannot be opened; so do all blocks where it fails later.
    """

    def __init__(self, url: str) -> None:
        self.url = masked(url)
        with self._one_line():
            parsed = _parsed(url)
            _make_folder(parsed)
            self._engine = _engine(parsed)
            _make_tables(self._engine)
        self._writing = self._engine.execution_options(writes=True)

    @property
    def is_shared(self) -> bool:
        """Whether a server holds it, which other hosts may reach too."""
        return self._engine.dialect.name != "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Have a session that reads."""
        with self._one_line(), Session(self._engine) as session:
            yield session

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[Session]:
        """Have a transaction that is committed at the end, from its first moment the only writer.

        On a server others write meanwhile, unless `alone`: then it waits for all that are, too.
        """
        with self._one_line(), Session(self._writing) as session, session.begin():
            if alone and self.is_shared:
                session.execute(text(f"SELECT pg_advisory_xact_lock({TABLE_LOCK})"))
            yield session

    def now(self, session: Session) -> float:
        """Return the seconds since 1970 by the database's clock, which all hosts share."""
        if not self.is_shared:
            return time.time()
        clock = text("SELECT extract(epoch FROM clock_timestamp())")
        return float(session.execute(clock).scalar_one())

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> StoreError:
        said = StoreError(f"storage.url={self.url}: {explained(error)}")
        said.away = isinstance(error, DBAPIError) and _is_away(error)
        return said


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ValueError as error:  # of a port that is no number
        raise ArgumentError(str(error)) from error


def masked(url: str) -> str:
    """Return the url with its passwords as ***, also one that cannot be parsed."""
    hidden = re.sub(r"(^(?!.*//)[^/:@]+:|//[^/:@]*:).*@", r"\1***@", url)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", hidden)


def explained(error: Exception) -> str:
    """Return in one line what went wrong and what to do."""
    said = str(getattr(error, "orig", None) or error).strip()
    line = said.splitlines()[0] if said else type(error).__name__
    advice = [what for sign, what in ADVICE.items() if sign in line.lower()]
    return f"{line}; {advice[0] if advice else 'check storage.url and that its server is up'}"


def _is_away(error: DBAPIError) -> bool:
    """Whether waiting may help: who says no, or lacks a column or space, says so for ever."""
    said = str(error.orig)
    if isinstance(error.orig, sqlite3.Error):
        return "is locked" in said
    if error.connection_invalidated or not isinstance(error, OperationalError):
        return error.connection_invalidated
    if state := getattr(error.orig, "sqlstate", None):
        return str(state).startswith(AWAY_STATES)
    return not any(sign in said for sign in TO_MEND)  # while connecting there is no state


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        timeout = {"connect_timeout": CONNECT_S} if "psycopg" in url.drivername else {}
        return create_engine(url, pool_pre_ping=True, connect_args=timeout)
    connect_args = {"timeout": BUSY_TIMEOUT_S}
    if url.database in (None, "", ":memory:"):
        engine = create_engine(url, connect_args=connect_args)
    else:  # no pool: a connection must not be carried over a fork, and opening a file costs nothing
        engine = create_engine(url, connect_args=connect_args, poolclass=NullPool)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Let readers and a writer work at once; some file systems cannot, and it works without."""
    connection.isolation_level = None  # transactions begin where we say
    with suppress(sqlite3.DatabaseError):  # what is really wrong is said by the next statement
        connection.execute("PRAGMA journal_mode=WAL")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once where something will be written: no two may claim one row."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_tables(engine: Engine) -> None:
    with engine.execution_options(writes=True).begin() as connection:
        if engine.dialect.name == "sqlite":
            _refuse_old(connection)
            # Write: a database that is read-only must fail now, not after the first measurement.
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
        if engine.dialect.name == "postgresql":  # two processes must not both find a table missing
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({TABLE_LOCK})")
        Base.metadata.create_all(connection)


def _refuse_old(connection: Connection) -> None:
    """Refuse a table of an earlier version at once; its `user_version` may have been set since."""
    table = MeasurementRow.__table__
    if not inspect(connection).has_table(MeasurementRow.__tablename__):
        return
    there = inspect(connection).get_columns(MeasurementRow.__tablename__)
    found = {column["name"] for column in there}
    if missing := [column.name for column in table.columns if column.name not in found]:
        raise SQLAlchemyError(
            f"no such column in {MeasurementRow.__tablename__}: {missing[0]} (it was made by an"
            " earlier version)"
        )


def _make_folder(url: URL) -> None:
    path = url.database or ":memory:"
    if url.get_backend_name() == "sqlite" and path != ":memory:" and not path.startswith("file:"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
