"""Where measurements are kept: one table in one SQL database, each identity once."""

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Engine, UniqueConstraint, create_engine, event, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from repghost.latency.record import DeviceState, Identity, Measurement

BUSY_TIMEOUT_S = 30
ASKED_AT_ONCE = 500  # parameters of one query; SQLite takes 999 at least
IDENTITY = tuple(field.name for field in fields(Identity))
EVIDENCE = tuple(field.name for field in fields(Measurement) if field.name != "identity")
SCHEMA_VERSION = 1
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
    """The database of measurements cannot be opened, read or written; one line with what to do."""


class Base(DeclarativeBase):
    """The tables of the measurements database."""


class MeasurementRow(Base):
    """One measurement; the columns are the fields of `Identity` and of `Measurement`."""

    __tablename__ = "measurements"
    __table_args__ = (UniqueConstraint(*IDENTITY, name="one_per_identity"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    device: Mapped[str]
    protocol: Mapped[str]
    threads: Mapped[int]
    mnn_version: Mapped[str]
    latency_ms: Mapped[float]
    latency_low: Mapped[float]
    latency_high: Mapped[float]
    latency_ratio: Mapped[float | None]
    ratio_low: Mapped[float | None]
    ratio_high: Mapped[float | None]
    reference: Mapped[str | None]
    reference_ms: Mapped[float | None]
    samples_ms: Mapped[list[float]] = mapped_column(JSON)
    reference_samples_ms: Mapped[list[float]] = mapped_column(JSON)
    runs_per_sample: Mapped[int]
    settled: Mapped[bool]
    ended: Mapped[str]
    device_state: Mapped[DeviceState] = mapped_column(JSON)
    measured_at: Mapped[str]
    host: Mapped[str]


class Store:
    """The measurements in the database at `url`, made where it is missing; safe for many processes.

    Raises:
        StoreError: the database cannot be opened; so do all methods where it fails later.
    """

    def __init__(self, url: str) -> None:
        self.url = masked(url)
        with self._one_line():
            parsed = make_url(url)
            _make_folder(parsed)
            self._engine = _engine(parsed)
            _make_table(self._engine)

    def find(self, identity: Identity) -> Measurement | None:
        """Return the measurement of this identity, None if it was never measured."""
        with self._one_line(), Session(self._engine) as session:
            row = session.scalars(select(MeasurementRow).filter_by(**asdict(identity))).first()
            return None if row is None else _measurement(row)

    def of(self, fingerprints: Iterable[str]) -> list[Measurement]:
        """Return all measurements of these graphs, in few queries."""
        wanted = list(fingerprints)
        found: list[Measurement] = []
        with self._one_line(), Session(self._engine) as session:
            for start in range(0, len(wanted), ASKED_AT_ONCE):
                some = wanted[start : start + ASKED_AT_ONCE]
                rows = select(MeasurementRow).where(MeasurementRow.fingerprint.in_(some))
                found += map(_measurement, session.scalars(rows))
        return found

    def add(self, measurement: Measurement) -> Measurement:
        """Keep the measurement and return the one that stands: the first of its identity."""
        with self._one_line(), Session(self._engine) as session:
            session.add(_row(measurement))
            with suppress(IntegrityError):  # another process was first
                session.commit()
        standing = self.find(measurement.identity)
        if standing is None:
            raise StoreError(f"storage.url={self.url}: did not keep {measurement.identity}")
        return standing

    def all(self) -> list[Measurement]:
        """Return every measurement, oldest first."""
        with self._one_line(), Session(self._engine) as session:
            rows = session.scalars(select(MeasurementRow).order_by(MeasurementRow.id))
            return [_measurement(row) for row in rows]

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except (SQLAlchemyError, OSError, ImportError, ValueError) as error:
            raise StoreError(f"storage.url={self.url}: {explained(error)}") from error


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


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    connect_args = {"timeout": BUSY_TIMEOUT_S}
    if url.database in (None, "", ":memory:"):
        return create_engine(url, connect_args=connect_args)
    # No pool: a connection must not be carried over a fork, and opening a file costs nothing.
    engine = create_engine(url, connect_args=connect_args, poolclass=NullPool)
    event.listen(engine, "connect", _use_wal)
    return engine


def _use_wal(connection: Any, _record: Any) -> None:
    """Let readers and a writer work at once; some file systems cannot, and it works without."""
    with suppress(sqlite3.DatabaseError):  # what is really wrong is said by the next statement
        connection.execute("PRAGMA journal_mode=WAL")


def _make_table(engine: Engine) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            # Take the write lock first: two processes must not both find the table missing. Then
            # write: a database that is read-only must fail now, not after the first measurement.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
        if engine.dialect.name == "postgresql":  # there too, and until the transaction ends
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({TABLE_LOCK})")
        Base.metadata.create_all(connection)


def _make_folder(url: URL) -> None:
    path = url.database or ":memory:"
    if url.get_backend_name() == "sqlite" and path != ":memory:" and not path.startswith("file:"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)


def _row(measurement: Measurement) -> MeasurementRow:
    evidence = {name: getattr(measurement, name) for name in EVIDENCE}
    return MeasurementRow(**asdict(measurement.identity), **evidence)


def _measurement(row: MeasurementRow) -> Measurement:
    identity = Identity(**{name: getattr(row, name) for name in IDENTITY})
    evidence = {name: getattr(row, name) for name in EVIDENCE}
    for name in ("samples_ms", "reference_samples_ms"):
        evidence[name] = tuple(evidence[name])
    return Measurement(identity, **evidence)
