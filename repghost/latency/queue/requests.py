"""The queue of measurements: requested -> claimed by a lease -> done or failed, each once.

A worker holds what it claimed by a token and a lease that it renews. If it dies the lease runs out
and the next one who looks takes over; the result of a worker that comes back too late is dropped.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from repghost.latency.queue.agreement import compare_with_repeats
from repghost.latency.queue.blobs import content_of, keep, remove_unused
from repghost.latency.queue.database import Database
from repghost.latency.queue.process import Process
from repghost.latency.queue.tables import IDENTITY, MeasurementRow
from repghost.latency.queue.workers import is_unknown, known_device
from repghost.latency.record import Budget, Identity, Measurement
from repghost.latency.store import (
    ASKED_AT_ONCE,
    DONE,
    evidence_of,
    note_session,
    scale_of,
    usual_median,
)

REQUESTED, CLAIMED, FAILED = "requested", "claimed", "failed"
LEASE_S = 60.0
MOST_ATTEMPTS = 3  # that end in an error of the network, after which it has failed
MOST_LOSSES = 20  # workers that died over it
ALIKE = ("protocol", "reference", "numerics", "threads")  # what one session has in common


@dataclass(frozen=True)
class Request:
    """A network to be measured: what, under which name of a device, and its files.

    `reference` is None under a protocol that needs none.
    """

    identity: Identity
    device_name: str
    label: str
    budget: Budget
    model: bytes
    reference: bytes | None


@dataclass(frozen=True)
class Claim:
    """A measurement that is ours as long as we renew its lease."""

    id: int
    token: str
    identity: Identity
    label: str
    budget: Budget
    model: str  # digest
    reference: str | None


@dataclass(frozen=True)
class Standing:
    """How far a measurement is that is not done."""

    identity: Identity
    state: str
    device_name: str
    label: str
    claimed_by: Process | None
    attempts: int
    losses: int
    why: str
    requested_at: float


class Requests:
    """The queue in a database. Every method raises StoreError where that fails."""

    def __init__(self, database: Database, lease_s: float = LEASE_S) -> None:
        self.database, self.lease_s = database, lease_s

    def add(self, request: Request) -> None:
        """Ask for a measurement, unless it is asked for or done already."""
        with self.database.writing(alone=True) as session:
            identity = _resolved(request, session)
            if _row_of(identity, session) is None:
                session.add(_requested_row(request, identity, session, self._now(session)))

    def claim(self, device: str, mnn_version: str, by: Process, most: int) -> list[Claim]:
        """Take up to `most` measurements that wait for such a device and fit one session."""
        with self.database.writing() as session:
            now = self._now(session)
            here = (MeasurementRow.device == device, MeasurementRow.mnn_version == mnn_version)
            self._take_from_the_dead(session, now, *here)
            rows = _of_one_session(session, most, *here)
            for row in rows:
                row.state, row.token = CLAIMED, uuid.uuid4().hex
                row.claimed_host, row.claimed_pid = by
                row.lease_until = now + self.lease_s
            return [_claim(row) for row in rows]

    def _take_from_the_dead(self, session: Session, now: float, *here: ColumnElement[bool]) -> None:
        """Put back what nobody holds any more: the lease ran out, or its process here is gone."""
        held = select(MeasurementRow).where(*here, MeasurementRow.state == CLAIMED)
        for row in session.scalars(held.with_for_update(skip_locked=True)):
            holder = _holder(row)
            if holder and (holder.is_dead or (row.lease_until or 0.0) < now):
                row.losses += 1
                row.why = f"its worker was lost ({holder})"
                _release(row, FAILED if row.losses >= MOST_LOSSES else REQUESTED)
        session.flush()

    def renew(self, claims: Sequence[Claim]) -> set[int]:
        """Lengthen the leases; return the ids of those that are still ours."""
        if not claims:
            return set()
        with self.database.writing() as session:
            until = self._now(session) + self.lease_s
            rows = [row for claim in claims if (row := _ours(session, claim))]
            for row in rows:
                row.lease_until = until
            return {row.id for row in rows}

    def model(self, digest: str) -> bytes | None:
        """Return the content of a network's file, None where nobody waits for it any more."""
        with self.database.reading() as session:
            return content_of(digest, session)

    def usual_ms(self, identity: Identity) -> float | None:
        """Return how long the reference usually takes on such a device; None: not known yet."""
        with self.database.reading() as session:
            return usual_median(scale_of(identity), session)

    def finish(self, claim: Claim, measurement: Measurement) -> bool:
        """Keep the measurement; return whether it stands: not if the lease was lost meanwhile."""
        with self.database.writing(alone=True) as session:
            row = _ours(session, claim)
            if row is None:
                past = session.get(MeasurementRow, claim.id)  # did we commit and not hear of it?
                return past is not None and (past.state, past.token) == (DONE, claim.token)
            row.state, row.why, row.lease_until = DONE, "", None
            row.model = row.reference_model = None
            for name, value in evidence_of(measurement).items():
                setattr(row, name, value)
            session.flush()
            note_session(measurement, session)
            remove_unused(session)
            compare_with_repeats(measurement, session)
            return True

    def fail(self, claim: Claim, why: str) -> None:
        """Put a measurement back whose network made an error; after three it has failed."""
        with self.database.writing() as session:
            if row := _ours(session, claim):
                row.attempts, row.why = row.attempts + 1, why
                _release(row, FAILED if row.attempts >= MOST_ATTEMPTS else REQUESTED)

    def give_back(self, claims: Sequence[Claim], why: str = "") -> None:
        """Put measurements back as they were; nothing is counted against them."""
        with self.database.writing() as session:
            for row in [row for claim in claims if (row := _ours(session, claim))]:
                row.why = why
                _release(row, REQUESTED)

    def retry(self, device_name: str | None = None) -> int:
        """Let what failed (for one device) be measured again; return how many those are."""
        with self.database.writing() as session:
            failed = select(MeasurementRow).where(MeasurementRow.state == FAILED)
            if device_name is not None:
                failed = failed.where(MeasurementRow.device_name == device_name)
            rows = session.scalars(failed).all()
            for row in rows:
                _forgive(row)
            return len(rows)

    def forgive(self, identity: Identity) -> None:
        """Let one measurement that failed be measured again."""
        with self.database.writing() as session:
            row = _row_of(identity, session)
            if row and row.state == FAILED:
                _forgive(row)

    def waiting(self, fingerprints: Iterable[str] | None = None) -> list[Standing]:
        """Return what is not done, oldest first: of these graphs, or all."""
        open_rows = select(MeasurementRow).where(MeasurementRow.state != DONE)
        found: list[Standing] = []
        with self.database.reading() as session:
            wanted = None if fingerprints is None else list(fingerprints)
            for start in range(0, 1 if wanted is None else len(wanted), ASKED_AT_ONCE):
                chosen = open_rows.order_by(MeasurementRow.id)
                if wanted is not None:
                    some = wanted[start : start + ASKED_AT_ONCE]
                    chosen = chosen.where(MeasurementRow.fingerprint.in_(some))
                found += [_standing(row) for row in session.scalars(chosen)]
        return found

    def _now(self, session: Session) -> float:
        return self.database.now(session)


def _resolved(request: Request, session: Session) -> Identity:
    """Return the identity under which a device of that name measures, as far as it is known."""
    known = known_device(session, request.device_name)
    if known is None or not is_unknown(request.identity.device):
        return request.identity
    return replace(request.identity, device=known.profile, mnn_version=known.mnn_version)


def _row_of(identity: Identity, session: Session) -> MeasurementRow | None:
    return session.scalars(select(MeasurementRow).filter_by(**asdict(identity))).first()


def _ours(session: Session, claim: Claim) -> MeasurementRow | None:
    """Return the row of a claim, held for this transaction; None where the lease was lost."""
    mine = select(MeasurementRow).filter_by(id=claim.id, token=claim.token, state=CLAIMED)
    return session.scalars(mine.with_for_update()).first()


def _holder(row: MeasurementRow) -> Process | None:
    if row.claimed_host is None or row.claimed_pid is None:
        return None
    return Process(row.claimed_host, row.claimed_pid)


def _release(row: MeasurementRow, state: str) -> None:
    row.state, row.token, row.lease_until = state, None, None
    row.claimed_host = row.claimed_pid = None


def _forgive(row: MeasurementRow) -> None:
    row.state, row.attempts, row.losses, row.why = REQUESTED, 0, 0, ""


def _of_one_session(
    session: Session, most: int, *here: ColumnElement[bool]
) -> Sequence[MeasurementRow]:
    """Return rows that wait and can be measured in the same rounds; no graph twice."""
    waiting = select(MeasurementRow).where(*here, MeasurementRow.state == REQUESTED)
    # A network over which workers die comes last: it must not keep the others from being measured.
    order = MeasurementRow.losses, MeasurementRow.id
    waiting = waiting.order_by(*order).with_for_update(skip_locked=True)
    first = session.scalars(waiting.limit(1)).first()
    if first is None:
        return []
    alike = {name: getattr(first, name) for name in ALIKE}
    rows = session.scalars(waiting.filter_by(**alike).limit(most)).all()
    once = {row.fingerprint: row for row in reversed(rows) if row.budget == first.budget}
    return sorted(once.values(), key=lambda row: row.id)


def _requested_row(
    request: Request, identity: Identity, session: Session, now: float
) -> MeasurementRow:
    return MeasurementRow(
        **asdict(identity),
        state=REQUESTED,
        device_name=request.device_name,
        label=request.label,
        budget=asdict(request.budget),
        model=keep(request.model, session),
        reference_model=None if request.reference is None else keep(request.reference, session),
        requested_at=now,
        attempts=0,
        losses=0,
        why="",
    )


def _claim(row: MeasurementRow) -> Claim:
    assert row.token is not None and row.model is not None
    identity = Identity(**{name: getattr(row, name) for name in IDENTITY})
    budget = Budget(**row.budget)
    return Claim(row.id, row.token, identity, row.label, budget, row.model, row.reference_model)


def _standing(row: MeasurementRow) -> Standing:
    identity = Identity(**{name: getattr(row, name) for name in IDENTITY})
    shared = {field.name for field in fields(Standing)} - {"identity", "claimed_by"}
    values = {name: getattr(row, name) for name in shared}
    return Standing(identity, claimed_by=_holder(row), **values)
