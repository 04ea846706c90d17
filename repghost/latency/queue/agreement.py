"""Whether two measurements of one graph agree; where they do not, a flag on their device."""

from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from repghost.latency.queue.tables import FlagRow, MeasurementRow
from repghost.latency.record import Measurement
from repghost.latency.store import DONE, measurement_of


def compare_with_repeats(measurement: Measurement, session: Session) -> None:
    """Raise a flag on the device where two measurements of one graph do not agree."""
    same = asdict(measurement.identity)
    del same["repeat"]
    rows = session.scalars(select(MeasurementRow).filter_by(state=DONE, **same))
    for other in map(measurement_of, rows):
        if other.identity != measurement.identity and _disagree(other, measurement):
            text = f"one graph, two latencies: {_said(other)} and {_said(measurement)}"
            now = datetime.now(UTC).isoformat(timespec="seconds")
            session.add(FlagRow(device=measurement.identity.device, text=text, raised_at=now))


def _disagree(one: Measurement, other: Measurement) -> bool:
    low, high = _interval(one)
    other_low, other_high = _interval(other)
    return low > other_high or other_low > high


def _interval(one: Measurement) -> tuple[float, float]:
    if one.ratio_low is None or one.ratio_high is None:
        return one.latency_low, one.latency_high
    return one.ratio_low, one.ratio_high


def _said(one: Measurement) -> str:
    low, high = _interval(one)
    kind = "ms" if one.latency_ratio is None else "times the reference"
    return f"[{low:.4f}, {high:.4f}] {kind} at {one.measured_at} on {one.host}"
