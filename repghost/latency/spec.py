"""How a latency is to be measured, checked; imports neither MNN nor SQLAlchemy."""

from dataclasses import dataclass, field
from typing import Any

DEVICES = ("local",)
PROTOCOLS = ("paired", "paper")
OPTIONAL = ("max_ms", "max_ratio", "input_size")  # may be None
WHOLE = ("input_size", "batch_size", "max_rounds")


@dataclass(frozen=True)
class LatencySpec:
    """Devices, protocol and budget of the latency measurements.

    `max_ms` and `max_ratio` (to the reference network) are the sweep's latency budget: a variant
    above one of them is not trained. `input_size` is the
    side of the timed input in pixels, None for the data's own; `batch_size` its number of images.
    `precision` is the half-width of the ratio's interval at which `paired` stops; `max_rounds` and
    `max_seconds` are where it gives up. `profile` keeps the time of each operator as well.
    """

    devices: list[str] = field(default_factory=lambda: ["local"])
    protocol: str = "paired"
    max_ms: float | None = None
    max_ratio: float | None = None
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
        if self.max_ratio is not None and self.protocol != "paired":
            raise ValueError(
                f"latency.max_ratio={self.max_ratio}: needs latency.protocol=paired, which times a"
                " reference network; or set latency.max_ms"
            )
        self._require_positive("max_ms", "max_ratio", "precision", "input_size", "batch_size")
        self._require_positive("max_rounds", "max_seconds")

    def excess(self, latency_ms: float, ratio: float | None) -> str | None:
        """Say by how much a latency is over the budget; None where it is within."""
        if self.max_ms is not None and latency_ms > self.max_ms:
            return f"{latency_ms:.3f} ms is over latency.max_ms={self.max_ms:g}"
        if self.max_ratio is not None and ratio is not None and ratio > self.max_ratio:
            return f"ratio {ratio:.3f} is over latency.max_ratio={self.max_ratio:g}"
        return None

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
