"""Who stands beside which device, and how that device fares; kept in the same database."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from repghost.latency.devices.spec import HERE
from repghost.latency.queue.blobs import remove_unused
from repghost.latency.queue.database import Database
from repghost.latency.queue.process import Process
from repghost.latency.queue.tables import (
    IDENTITY,
    FlagRow,
    MeasurementRow,
    SessionRow,
    WorkerRow,
)

SILENT_S = 30.0  # without a heartbeat, after which a worker counts as gone
UNKNOWN = "?"  # begins the profile of a device that no worker has announced yet
GONE, QUARANTINED = "gone", "quarantined"
MOST_FAILURES = 3  # of a device in a row, after which it is quarantined


class KnownDevice(NamedTuple):
    """What a device of a name is."""

    profile: str
    mnn_version: str


@dataclass(frozen=True)
class Seen:
    """A worker as it announced itself; `silent_s` seconds ago it was heard of last."""

    name: str
    unit: str
    kind: str
    profile: str | None
    mnn_version: str | None
    host: str
    pid: int
    state: str
    doing: str
    failures: int
    silent_s: float

    @property
    def alive(self) -> bool:
        """Whether it can be expected to measure something."""
        return self.state != GONE and self.silent_s <= SILENT_S

    @property
    def is_dead(self) -> bool:
        """Whether it was a process of this host and is none any more, however short its silence."""
        return Process(self.host, self.pid).is_dead


class Taken(ValueError):
    """Another worker serves that device, or another device has that name."""


class Workers:
    """The workers in a database. Every method raises StoreError where that fails."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def seen(self, names: Sequence[str] | None = None) -> list[Seen]:
        """Return all workers, or those of some devices, by name and unit."""
        with self.database.reading() as session:
            now = self.database.now(session)
            rows = select(WorkerRow).order_by(WorkerRow.name, WorkerRow.unit)
            if names is not None:
                rows = rows.where(WorkerRow.name.in_(names))
            return [_seen(row, now) for row in session.scalars(rows)]

    def known(self, name: str) -> KnownDevice | None:
        """Return what the device of that name is, None where no worker has announced it yet."""
        with self.database.reading() as session:
            return known_device(session, name)

    def require(self, name: str) -> None:
        """Refuse a name that is no device's.

        Raises:
            ValueError: nothing was asked of such a device, and no worker announced it.
        """
        with self.database.reading() as session:
            rows = session.scalars(select(WorkerRow).filter_by(name=name)).all()
            if not rows and not _profiles(session, name, rows):
                raise _no_such_device(session, name)

    def forget(self, name: str) -> int:
        """Remove a device: its workers that are gone, all its measurements, its flags.

        Returns how many measurements those were.

        Raises:
            ValueError: a worker serves it or its profile under another name, or it is not known.
        """
        with self.database.writing(alone=True) as session:
            now = self.database.now(session)
            rows = session.scalars(select(WorkerRow).filter_by(name=name)).all()
            profiles = _profiles(session, name, rows)
            if not profiles and not rows:
                raise _no_such_device(session, name)
            alike = WorkerRow.profile.in_(profiles) | (WorkerRow.name == name)
            for row in session.scalars(select(WorkerRow).where(alike)):
                if _stands_there(worker := _seen(row, now)):
                    raise ValueError(f"--device {name}: {_serving(worker, name)}")
            return _forget(session, name, profiles)


class Announcement:
    """A worker's own row: announced once, then kept fresh.

    A worker of the same unit that died is replaced; one that is alive is not.
    """

    def __init__(self, database: Database, name: str, unit: str, kind: str) -> None:
        self._database, self.name, self.unit, self._kind = database, name, unit, kind
        self._token = uuid.uuid4().hex

    def announce(self, known: KnownDevice | None, state: str, doing: str = "") -> int:
        """Say that this process serves the device; return the device's failures in a row so far.

        Measurements that were requested before the device was known, or for its former runtime,
        are its from now on.

        Raises:
            Taken: another living worker serves it, or the name is that of another kind of device.
        """
        with self._database.writing(alone=True) as session:
            now = self._database.now(session)
            row = session.get(WorkerRow, (self.name, self.unit))
            self._refuse_others(session, row, known, now)
            if row is None:
                row = WorkerRow(name=self.name, unit=self.unit, failures=0)
                session.add(row)
            row.host, row.pid = Process.this()
            row.kind = self._kind
            row.token = self._token
            row.state, row.doing, row.since, row.heartbeat = state, doing, now, now
            if known:
                row.profile, row.mnn_version = known
                _hand_over(session, self.name, known)
            return row.failures

    def beat(self, state: str, doing: str, failures: int | None = None) -> bool:
        """Say that it is alive and what it does; return False where another took its place."""
        with self._database.writing() as session:
            row = session.get(WorkerRow, (self.name, self.unit))
            if row is None:  # not announced yet
                return True
            if row.token != self._token:
                return False
            row.state, row.doing = state, doing
            row.heartbeat = self._database.now(session)
            row.failures = row.failures if failures is None else failures
            return True

    def _refuse_others(
        self, session: Session, row: WorkerRow | None, known: KnownDevice | None, now: float
    ) -> None:
        if row and row.token != self._token and _stands_there(other := _seen(row, now)):
            raise Taken(
                f"device {self.name} ({self.unit}) is served by process {other.pid} on"
                f" {other.host}, heard of {other.silent_s:.0f} s ago; end that one first"
            )
        for peer in session.scalars(select(WorkerRow).filter_by(name=self.name)):
            alive = peer.unit != self.unit and _stands_there(_seen(peer, now))
            if alive and known and peer.profile not in (None, known.profile):
                raise Taken(
                    f"device.name={self.name}: a worker on {peer.host} serves another device under"
                    f" that name ({peer.profile}, not {known.profile}); give another device.name"
                )


def _stands_there(worker: Seen) -> bool:
    return worker.alive and not worker.is_dead


def known_device(session: Session, name: str) -> KnownDevice | None:
    """Return what the device of that name is, by the worker that was heard of last."""
    rows = select(WorkerRow).filter_by(name=name).where(WorkerRow.profile.is_not(None))
    row = session.scalars(rows.order_by(WorkerRow.heartbeat.desc())).first()
    if row is None or row.profile is None or row.mnn_version is None:
        return None
    return KnownDevice(row.profile, row.mnn_version)


def is_unknown(profile: str) -> bool:
    """Whether a profile stands for a device that no worker has announced yet."""
    return profile.startswith(UNKNOWN)


def placeholder(name: str) -> KnownDevice:
    """Return what stands for a device that no worker has announced yet."""
    return KnownDevice(f"{UNKNOWN}{name}", UNKNOWN)


def _hand_over(session: Session, name: str, known: KnownDevice) -> None:
    """Let what waits under a device's name wait for the device as it is now.

    Not under the names that every driver serves itself: there each host knows its own profile.
    """
    if name in HERE:
        return
    stale = select(MeasurementRow).where(
        MeasurementRow.device_name == name,
        MeasurementRow.state.in_(("requested", "failed")),
        (MeasurementRow.device != known.profile)
        | (MeasurementRow.mnn_version != known.mnn_version),
    )
    for row in session.scalars(stale.with_for_update()).all():
        same = {field: getattr(row, field) for field in IDENTITY}
        same |= {"device": known.profile, "mnn_version": known.mnn_version}
        if session.scalars(select(MeasurementRow.id).filter_by(**same)).first():
            session.delete(row)
        else:
            row.device, row.mnn_version = known
        session.flush()


def _seen(row: WorkerRow, now: float) -> Seen:
    shared = [field.name for field in fields(Seen) if field.name != "silent_s"]
    values = {name: getattr(row, name) for name in shared}
    return Seen(**values, silent_s=max(0.0, now - row.heartbeat))


def _profiles(session: Session, name: str, rows: Sequence[WorkerRow]) -> set[str]:
    asked = select(MeasurementRow.device).filter_by(device_name=name).distinct()
    return {row.profile for row in rows if row.profile} | set(session.scalars(asked))


def _no_such_device(session: Session, name: str) -> ValueError:
    return ValueError(f"--device {name}: there is none; {_names(session)}")


def _serving(worker: Seen, name: str) -> str:
    under = f"its profile ({worker.profile}) as {worker.name}" if worker.name != name else "it"
    return f"process {worker.pid} on {worker.host} serves {under}; end that worker first"


def _names(session: Session) -> str:
    names = set(session.scalars(select(WorkerRow.name)))
    names |= set(session.scalars(select(MeasurementRow.device_name)))
    return f"known are {', '.join(sorted(names))}" if names else "no device is known yet"


def _forget(session: Session, name: str, profiles: set[str]) -> int:
    rows = session.scalars(
        select(MeasurementRow.id).where(MeasurementRow.device.in_(profiles))
    ).all()
    for table in (MeasurementRow, SessionRow, FlagRow):
        session.execute(delete(table).where(table.device.in_(profiles)))
    session.execute(delete(WorkerRow).filter_by(name=name))
    remove_unused(session)
    return len(rows)
