"""The samples behind each latency, round by round, from the database of measurements."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.further import Timed
from analysis.results import Results, Row
from repghost.latency.record import Measurement

ROUNDS_KEPT = 20_000  # in a report, shared by its graphs
ROUNDS_OF_A_GRAPH = (40, 300)  # at least, at most


@dataclass(frozen=True)
class Rounds:
    """A latency's rounds: the median ms of a round, of the network and of its reference.

    `numbers` are the rounds that are kept, from 1; `total` counts all. `reference` is empty where
    the protocol has none.
    """

    numbers: tuple[int, ...]
    network: tuple[float, ...]
    reference: tuple[float, ...]
    total: int
    settled: bool
    ended: str
    measured_at: str

    @property
    def ratios(self) -> list[float]:
        """The network's time over its reference's in each kept round."""
        pairs = zip(self.network, self.reference, strict=False)
        return [a / b if b else math.nan for a, b in pairs]


def read_rounds(results: Results) -> tuple[dict[str, Rounds], str]:
    """Return each graph's rounds by fingerprint, and why there are none ("" where there are).

    The measurement is the one whose numbers the study's table holds: same device, same reference,
    same ratio.
    """
    rows = {row.fingerprint: row for row in results.rows if row.fingerprint and row.latency_ms}
    if not rows:
        return {}, "nothing was measured yet"
    measured, problem = _measured(results, rows)
    if problem:
        return {}, problem
    found = {m.identity.fingerprint: m for m in measured if _is_of(m, rows[m.identity.fingerprint])}
    budget = _budget(len(found))
    kept = {graph: _rounds(m, budget) for graph, m in found.items() if m.samples_ms}
    absent = f"{_database(results)[0]} does not hold the measurements of this study"
    return kept, "" if kept else absent


def further_measurements(results: Results) -> list[Measurement]:
    """Return the measurements behind the columns of further devices, as far as they are there."""
    rows = {row.fingerprint: row for row in results.rows if row.fingerprint and row.further}
    measured, _ = _measured(results, rows) if rows else ([], "")
    return [one for one in measured if _is_further(one, rows[one.identity.fingerprint])]


def _is_further(measurement: Measurement, row: Row) -> bool:
    return any(
        one.device == measurement.identity.device
        and _close(measurement.latency_ratio or measurement.latency_ms, _pace(one))
        for one in row.further.values()
    )


def _pace(timed: Timed) -> float | None:
    return timed.latency_ms if timed.latency_ratio is None else timed.latency_ratio


def _measured(results: Results, graphs: Iterable[str]) -> tuple[list[Measurement], str]:
    """Return all measurements of these graphs, and why there are none ("" where there may be)."""
    url, problem = _database(results)
    if problem:
        return [], problem
    from repghost.latency.queue.database import StoreError
    from repghost.latency.store import Store

    try:
        return Store(url).of(graphs), ""
    except StoreError as error:
        return [], str(error)


def _database(results: Results) -> tuple[str, str]:
    """Return the URL of the measurements, or why there is none; no file is made.

    Beside the study first: its folder may have been moved since.
    """
    beside = results.study_dir.parent / "latency.db"
    if beside.is_file():
        return f"sqlite:///{beside.resolve()}", ""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(str(results.provenance.get("storage") or ""))
    except ArgumentError:
        return "", f"no database of measurements: {beside} is not there"
    if url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).is_file()):
        return "", f"no database of measurements: {url.database} is not there"
    return url.render_as_string(hide_password=False), ""


def _is_of(measurement: Measurement, row: Row) -> bool:
    """Say if a measurement is the one behind a row of the table."""
    if measurement.identity.device != row.device:
        return False
    if row.latency_ratio is None:
        return _close(measurement.latency_ms, row.latency_ms)
    same = row.reference in ("", measurement.identity.reference)
    return same and _close(measurement.latency_ratio, row.latency_ratio)


def _close(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and math.isclose(one, other, rel_tol=1e-9)


def _budget(graphs: int) -> int:
    least, most = ROUNDS_OF_A_GRAPH
    return min(max(ROUNDS_KEPT // max(graphs, 1), least), most)


def _rounds(measurement: Measurement, budget: int) -> Rounds:
    """Return the medians of the rounds; of more than `budget`, evenly spaced ones."""
    visits = max(measurement.samples_per_round, 1)
    network = _medians(measurement.samples_ms, visits)
    reference = _medians(measurement.reference_samples_ms, visits)
    chosen = np.unique(np.linspace(0, len(network) - 1, min(budget, len(network))).astype(int))
    return Rounds(
        numbers=tuple((chosen + 1).tolist()),
        network=_rounded(network[chosen]),
        reference=_rounded(reference[chosen]) if len(reference) == len(network) else (),
        total=len(network),
        settled=measurement.settled,
        ended=measurement.ended,
        measured_at=measurement.measured_at,
    )


def _medians(samples: Iterable[float], visits: int) -> NDArray[np.float64]:
    values = np.array(list(samples), dtype=np.float64)
    whole = len(values) // visits * visits
    return np.asarray(np.median(values[:whole].reshape(-1, visits), axis=1))


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{value:.4g}") for value in values)
