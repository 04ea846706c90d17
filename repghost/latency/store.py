"""Where measurements are kept: one table in one SQL database, each identity once."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from repghost.latency.queue.database import Database, StoreError
from repghost.latency.queue.tables import EVIDENCE, IDENTITY, FlagRow, MeasurementRow, SessionRow
from repghost.latency.record import PLURAL, Identity, Measurement
from repghost.latency.spread import Spread
from repghost.latency.states import RECENT, usual_ms

ASKED_AT_ONCE = 500  # parameters of one query; SQLite takes 999 at least
DONE = "done"


class Scale(NamedTuple):
    """A device, a reference, a way to run: for each there is one long-run median."""

    device: str
    reference: str
    threads: int
    numerics: str
    mnn_version: str


class Store:
    """The measurements in the database at `url`, made where it is missing; safe for many processes.

    Latencies come on the scale of the reference's long-run median on their device (the median of
    its medians in all sessions), asked once in the life of a store: all that it gives can be
    compared.

    Raises:
        StoreError: the database cannot be opened; so do all methods where it fails later.
    """

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self._medians: dict[Scale, float] = {}

    def find(self, identity: Identity) -> Measurement | None:
        """Return the measurement of this identity, None if it was never measured."""
        with self.database.reading() as session:
            wanted = select(MeasurementRow).filter_by(state=DONE, **asdict(identity))
            row = session.scalars(wanted).first()
            return None if row is None else self._scaled(row, session)

    def of(self, fingerprints: Iterable[str]) -> list[Measurement]:
        """Return all measurements of these graphs, in few queries."""
        wanted = list(fingerprints)
        found: list[Measurement] = []
        with self.database.reading() as session:
            for start in range(0, len(wanted), ASKED_AT_ONCE):
                some = wanted[start : start + ASKED_AT_ONCE]
                rows = select(MeasurementRow).where(
                    MeasurementRow.fingerprint.in_(some), MeasurementRow.state == DONE
                )
                found += [self._scaled(row, session) for row in session.scalars(rows)]
        return found

    def add(self, measurement: Measurement) -> Measurement:
        """Keep a measurement that nobody requested; return the one that stands: the first."""
        with self.database.writing(alone=True) as session:
            if not _standing(measurement.identity, session):
                session.add(_finished_row(measurement))
                note_session(measurement, session)
        found = self.find(measurement.identity)
        if found is None:
            raise StoreError(
                f"storage.url={self.database.url}: did not keep {measurement.identity}"
            )
        return found

    def all(self) -> list[Measurement]:
        """Return every measurement, oldest first."""
        with self.database.reading() as session:
            done = select(MeasurementRow).where(MeasurementRow.state == DONE)
            rows = session.scalars(done.order_by(MeasurementRow.id))
            return [self._scaled(row, session) for row in rows]

    def flags(self, device: str) -> list[str]:
        """Return what makes all numbers of the device with this profile doubtful."""
        with self.database.reading() as session:
            wanted = select(FlagRow).where(FlagRow.device == device).order_by(FlagRow.id)
            return [row.text for row in session.scalars(wanted)]

    def spread(self, device: str) -> Spread | None:
        """Return how far apart sessions stand on the device; None while too little is repeated."""
        with self.database.reading() as session:
            return spread_on(device, session)

    def _scaled(self, row: MeasurementRow, session: Session) -> Measurement:
        measurement = measurement_of(row)
        if measurement.latency_ratio is None:
            return measurement
        scale = scale_of(measurement.identity)
        if scale not in self._medians:
            self._medians[scale] = (
                long_run_median(scale, session) or measurement.reference_ms or 0.0
            )
        return measurement.on_scale(self._medians[scale])


def scale_of(identity: Identity) -> Scale:
    """Return the scale that a measurement's milliseconds are on."""
    return Scale(**{name: getattr(identity, name) for name in Scale._fields})


def long_run_median(scale: Scale, session: Session) -> float | None:
    """Return the median in ms of the reference's medians in all sessions, None before the first."""
    medians = session.scalars(select(SessionRow.median_ms).filter_by(**scale._asdict())).all()
    return float(np.median(medians)) if medians else None


def usual_median(scale: Scale, session: Session) -> float | None:
    """Return the median in ms of the reference's medians in the latest sessions, None of few."""
    latest = select(SessionRow.median_ms).filter_by(**scale._asdict())
    latest = latest.order_by(SessionRow.measured_at.desc(), SessionRow.session).limit(RECENT)
    return usual_ms(session.scalars(latest).all())


def spread_on(device: str, session: Session) -> Spread | None:
    """Return how far apart the ratios of graphs stand that were measured in several sessions."""
    columns = [getattr(MeasurementRow, name) for name in IDENTITY if name != "repeat"]
    ratio = MeasurementRow.latency_ratio
    rows = select(*columns, ratio).where(
        MeasurementRow.device == device, MeasurementRow.state == DONE, ratio.is_not(None)
    )
    graphs: dict[tuple[object, ...], list[float]] = {}
    for *identity, value in session.execute(rows):
        graphs.setdefault(tuple(identity), []).append(value)
    return Spread.of(graphs.values())


def note_session(measurement: Measurement, session: Session) -> None:
    """Keep the reference's median in the session of `measurement`, once a session."""
    known = session.get(SessionRow, measurement.session)
    if measurement.reference_ms is None or known is not None:
        return
    session.add(
        SessionRow(
            session=measurement.session,
            median_ms=measurement.reference_ms,
            measured_at=measurement.measured_at,
            **scale_of(measurement.identity)._asdict(),
        )
    )


def measurement_of(row: MeasurementRow) -> Measurement:
    """Return what a row that is done holds, as it was measured."""
    identity = Identity(**{name: getattr(row, name) for name in IDENTITY})
    evidence = {name: getattr(row, name) for name in EVIDENCE}
    return Measurement(identity, **(evidence | {name: tuple(evidence[name]) for name in PLURAL}))


def evidence_of(measurement: Measurement) -> dict[str, object]:
    """Return the columns of a row that a measurement fills."""
    evidence = {name: getattr(measurement, name) for name in EVIDENCE}
    return evidence | {name: list(evidence[name]) for name in PLURAL}


def _standing(identity: Identity, session: Session) -> MeasurementRow | None:
    return session.scalars(select(MeasurementRow).filter_by(**asdict(identity))).first()


def _finished_row(measurement: Measurement) -> MeasurementRow:
    identity = measurement.identity
    unasked = {"device_name": identity.device.partition(":")[0], "label": "", "budget": {}}
    queue = {"state": DONE, "requested_at": 0.0, "attempts": 0, "losses": 0, "why": ""}
    return MeasurementRow(**asdict(identity), **unasked, **queue, **evidence_of(measurement))
