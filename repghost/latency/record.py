"""One latency as it is kept: what was measured, how, on what, and every sample; pure data."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

PLURAL = ("samples_ms", "reference_samples_ms", "flags")  # lists where they are kept, tuples here
StateValue = str | float | bool | None
DeviceState = dict[str, StateValue]


@dataclass(frozen=True)
class Identity:
    """What makes two measurements the same one; only the first of them is kept.

    `fingerprint` is that of the deployed graph, shapes included. `device` is the device's stable
    profile, such as "local: AMD EPYC"; a serial number or a host is not in it. `reference` names
    the network that it is paired with, shape included; it is empty under `paper`. `numerics` is
    "fp32" or "fp16". `repeat` is a number like a seed: another one is measured anew.
    """

    fingerprint: str
    device: str
    protocol: str
    threads: int
    mnn_version: str
    reference: str = ""
    numerics: str = "fp32"
    repeat: int = 0


@dataclass(frozen=True)
class Budget:
    """When a network is done: its ratio's relative half-width, or its rounds or seconds.

    The seconds of a session are divided among the networks that share it.

    Raises:
        ValueError: a limit is not above 0, or there is not one round.
    """

    precision: float = 0.01
    max_rounds: int = 600
    max_seconds: float = math.inf

    def __post_init__(self) -> None:
        if self.max_rounds < 1:
            raise ValueError(f"max_rounds={self.max_rounds}: must be at least 1")
        for name in ("precision", "max_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be greater than 0")


@dataclass(frozen=True)
class Measurement:
    """A latency with its evidence; times in milliseconds, intervals at 95 %.

    `latency_ms` is the median of `samples_ms` under `paired` and their mean under `paper`: what was
    seen in that session. Where the reference's long-run median on the device is known, a store
    gives the measurement `on_scale` of it. The ratio (to the reference) and all about the reference
    is None or empty under `paper`. One sample is the mean of `runs_per_sample` runs in a row; a
    round has `samples_per_round` of them from one load of the network. `settled` is False when the
    budget ended before the precision asked for was reached; `ended` says in words why it stopped.
    `flags` say in words what makes the numbers doubtful.
    """

    identity: Identity
    latency_ms: float
    latency_low: float
    latency_high: float
    latency_ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    reference_ms: float | None
    samples_ms: tuple[float, ...]
    reference_samples_ms: tuple[float, ...]
    runs_per_sample: int
    samples_per_round: int
    settled: bool
    ended: str
    flags: tuple[str, ...]
    device_state: DeviceState
    session: str
    measured_at: str  # UTC, ISO 8601
    host: str

    @property
    def n(self) -> int:
        """The number of samples of the model."""
        return len(self.samples_ms)

    @property
    def reference(self) -> str | None:
        """The network that the ratio is to, None under `paper`."""
        return self.identity.reference or None

    def on_scale(self, reference_ms: float) -> Self:
        """Return it with the latency as its ratio times `reference_ms`, a long-run median.

        Its interval is the ratio's. So numbers of different days can be compared.
        """
        if self.latency_ratio is None or self.ratio_low is None or self.ratio_high is None:
            return self
        bounds = (self.latency_ratio, self.ratio_low, self.ratio_high)
        latency, low, high = (bound * reference_ms for bound in bounds)
        return replace(self, latency_ms=latency, latency_low=low, latency_high=high)


def as_record(measurement: Measurement) -> dict[str, Any]:
    """Return a measurement as JSON can hold it."""
    return asdict(measurement) | {name: list(getattr(measurement, name)) for name in PLURAL}


def from_record(record: Mapping[str, Any]) -> Measurement:
    """Return the measurement that `as_record` made this of.

    Raises:
        ValueError: it is none, or one of another version.
    """
    try:
        tuples = {name: tuple(record[name]) for name in PLURAL}
        identity = Identity(**record["identity"])
        return Measurement(**(dict(record) | tuples | {"identity": identity}))
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a measurement of latency: {error}") from None
