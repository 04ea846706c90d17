"""How a latency is to be measured, checked; imports neither MNN nor SQLAlchemy."""

from dataclasses import dataclass, field
from typing import Any

DEVICES = ("local",)
PROTOCOLS = ("paired", "paper")
OPTIONAL = ("max_ms", "input_size")  # may be None
WHOLE = ("input_size", "batch_size", "max_rounds")


@dataclass(frozen=True)
class LatencySpec:
    """Devices, protocol and budget of the latency measurements.

    `max_ms` is the sweep's latency budget: a variant above it is not trained. `input_size` is the
    side of the timed input in pixels, None for the data's own; `batch_size` its number of images.
    `precision` is the half-width of the ratio's interval at which `paired` stops; `max_rounds` and
    `max_seconds` are where it gives up. `profile` keeps the time of each operator as well.
    """

    devices: list[str] = field(default_factory=lambda: ["local"])
    protocol: str = "paired"
    max_ms: float | None = None
    input_size: int | None = None
    batch_size: int = 1
    precision: float = 0.01
    max_rounds: int = 600
    max_seconds: float = 120.0
    profile: bool = False

    def __post_init__(self) -> None:
        unknown = [device for device in self.devices if device not in DEVICES]
        if unknown or not self.devices or len(set(self.devices)) != len(self.devices):
            raise ValueError(
                f"latency.devices={self.devices}: must be a list such as [local], of at least one"
                f" of {', '.join(DEVICES)}, each at most once"
            )
        if self.protocol not in PROTOCOLS:
            raise ValueError(
                f"latency.protocol={self.protocol}: allowed are {', '.join(PROTOCOLS)}"
            )
        self._require_positive("max_ms", "precision", "input_size", "batch_size")
        self._require_positive("max_rounds", "max_seconds")

    def _require_positive(self, *names: str) -> None:
        for name in names:
            value: Any = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            kind = "whole number" if name in WHOLE else "number"
            if not _is_number(value, whole=name in WHOLE) or not 0 < value < float("inf"):
                raise ValueError(f"latency.{name}={value}: must be a {kind} greater than 0")


def _is_number(value: object, whole: bool) -> bool:
    kinds = (int,) if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool)
