"""One latency as it is kept: what was measured, how, on what, and every sample; pure data."""

from dataclasses import dataclass

StateValue = str | float | bool | None
DeviceState = dict[str, StateValue]


@dataclass(frozen=True)
class Identity:
    """What makes two measurements the same one; only the first of them is kept.

    `fingerprint` is that of the deployed graph, shapes included. `device` is the device's stable
    profile, such as "local: AMD EPYC"; a serial number or a host is not in it.
    """

    fingerprint: str
    device: str
    protocol: str
    threads: int
    mnn_version: str


@dataclass(frozen=True)
class Measurement:
    """A latency with its evidence; times in milliseconds, intervals at 95 %.

    `latency_ms` is the median of `samples_ms` under `paired` and their mean under `paper`. The
    ratio (to the network named `reference`) and all about the reference is None or empty under
    `paper`. One sample is the mean of `runs_per_sample` runs in a row. `settled` is False when the
    budget ended before the precision asked for was reached; `ended` says in words why it stopped.
    """

    identity: Identity
    latency_ms: float
    latency_low: float
    latency_high: float
    latency_ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    reference: str | None
    reference_ms: float | None
    samples_ms: tuple[float, ...]
    reference_samples_ms: tuple[float, ...]
    runs_per_sample: int
    settled: bool
    ended: str
    device_state: DeviceState
    measured_at: str  # UTC, ISO 8601
    host: str

    @property
    def n(self) -> int:
        """The number of samples of the model."""
        return len(self.samples_ms)
