"""The columns of a sweep's further devices in results.csv: seven a device, as in pixel:device."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

TIMES = ("latency_ms", "latency_low", "latency_high", "latency_ratio", "ratio_low", "ratio_high")
PROFILE = "device"


@dataclass(frozen=True)
class Timed:
    """One run on one further device; latencies in ms, intervals are 95 %, missing is None."""

    latency_ms: float | None
    latency_low: float | None
    latency_high: float | None
    latency_ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    device: str


def device_names(header: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the further devices in the header's order."""
    split = (column.rpartition(":") for column in header)
    return tuple(dict.fromkeys(name for name, _, end in split if name and end in (*TIMES, PROFILE)))


def further_columns(name: str) -> list[str]:
    """Return the columns of a further device."""
    return [f"{name}:{end}" for end in (*TIMES, PROFILE)]


def timed(
    name: str, record: Mapping[str, str], number: Callable[[str], float | None]
) -> Timed | None:
    """Return what a run's cells say of a further device; None where it was not timed yet."""
    times = {end: number(f"{name}:{end}") for end in TIMES}
    if times["latency_ms"] is None:
        return None
    return Timed(**times, device=record[f"{name}:{PROFILE}"])
