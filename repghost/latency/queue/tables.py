"""The tables of the latency database."""

from dataclasses import fields
from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repghost.latency.record import DeviceState, Identity, Measurement

SCHEMA_VERSION = 2
IDENTITY = tuple(field.name for field in fields(Identity))
EVIDENCE = tuple(field.name for field in fields(Measurement) if field.name != "identity")


class Base(DeclarativeBase):
    """The tables of the latency database."""


class MeasurementRow(Base):
    """One measurement from its request to its result, each identity once.

    The columns are the fields of `Identity`, those of a request and its claim, and, once it is
    done, those of `Measurement`. States: requested, claimed, done, failed. Times of the queue are
    seconds since 1970 by the database's clock.
    """

    __tablename__ = "measurements"
    __table_args__ = (
        UniqueConstraint(*IDENTITY, name="one_per_identity"),
        Index("waiting", "state", "device"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    device: Mapped[str]
    protocol: Mapped[str]
    threads: Mapped[int]
    mnn_version: Mapped[str]
    reference: Mapped[str]
    numerics: Mapped[str]
    repeat: Mapped[int]

    state: Mapped[str]
    device_name: Mapped[str]
    label: Mapped[str]  # the network, for people
    budget: Mapped[dict[str, Any]] = mapped_column(JSON)
    model: Mapped[str | None]  # digest of a blob, as long as the measurement is not done
    reference_model: Mapped[str | None]
    requested_at: Mapped[float]
    token: Mapped[str | None]  # of the claim: only who knows it may finish
    claimed_host: Mapped[str | None]
    claimed_pid: Mapped[int | None]
    lease_until: Mapped[float | None]
    attempts: Mapped[int]  # that ended in an error of the network
    losses: Mapped[int]  # leases that ran out: their workers died
    why: Mapped[str]  # it failed, or is back in the queue

    latency_ms: Mapped[float | None]
    latency_low: Mapped[float | None]
    latency_high: Mapped[float | None]
    latency_ratio: Mapped[float | None]
    ratio_low: Mapped[float | None]
    ratio_high: Mapped[float | None]
    reference_ms: Mapped[float | None]
    samples_ms: Mapped[list[float] | None] = mapped_column(JSON)
    reference_samples_ms: Mapped[list[float] | None] = mapped_column(JSON)
    runs_per_sample: Mapped[int | None]
    samples_per_round: Mapped[int | None]
    settled: Mapped[bool | None]
    ended: Mapped[str | None]
    flags: Mapped[list[str] | None] = mapped_column(JSON)
    device_state: Mapped[DeviceState | None] = mapped_column(JSON)
    session: Mapped[str | None]
    measured_at: Mapped[str | None]
    host: Mapped[str | None]


class BlobRow(Base):
    """An exported network on its way to a worker; removed when nobody waits for it."""

    __tablename__ = "models"

    digest: Mapped[str] = mapped_column(primary_key=True)  # SHA-256
    content: Mapped[bytes] = mapped_column(LargeBinary)


class WorkerRow(Base):
    """Who stands beside which device: a row a unit (a phone, a host), kept when its worker ends."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    unit: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    profile: Mapped[str | None]  # None until the device was there once
    mnn_version: Mapped[str | None]
    host: Mapped[str]
    pid: Mapped[int]
    token: Mapped[str]
    state: Mapped[str]
    doing: Mapped[str]
    failures: Mapped[int]  # of the device, in a row
    since: Mapped[float]
    heartbeat: Mapped[float]


class SessionRow(Base):
    """The reference network's median in one session: what the long-run median is made of."""

    __tablename__ = "sessions"

    session: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    reference: Mapped[str]
    threads: Mapped[int]
    numerics: Mapped[str]
    mnn_version: Mapped[str]
    median_ms: Mapped[float]
    measured_at: Mapped[str]


class FlagRow(Base):
    """What makes all numbers of a device doubtful, such as repeats that do not agree."""

    __tablename__ = "flags"

    id: Mapped[int] = mapped_column(primary_key=True)
    device: Mapped[str]
    text: Mapped[str]
    raised_at: Mapped[str]
