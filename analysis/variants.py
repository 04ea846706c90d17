"""Rows grouped over seeds: one variant a combination of swept settings."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from analysis.results import ENDED, Results, Row
from repghost.detection.spec import DETECTORS
from repghost.objective import Objective, objective_of

NOT_A_NAME = ("", "true", "false", "none", "null")


def t95(degrees: float) -> float:
    """Return the two-sided 95 % quantile of Student's t."""
    from scipy.special import stdtrit  # half a second, where there are several seeds

    return float(stdtrit(degrees, 0.975))


@dataclass(frozen=True)
class Estimate:
    """Mean over `n` seeds and the sample standard deviation (n - 1), None with one seed."""

    mean: float
    std: float | None
    n: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """The mean's 95 % interval (Student's t over seeds); None with one seed."""
        if self.std is None:
            return None
        half = t95(self.n - 1) * self.std / math.sqrt(self.n)
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Latency:
    """One measurement: ms and ratio to the network `reference`, with 95 % intervals where known.

    With a ratio, ms is ratio times the long-run median of the reference on that device, so that
    numbers of different days are comparable. `flags` say what makes it doubtful. `detector` is the
    kind of detector that was timed, "" for a classifier.
    """

    ms: float
    low: float | None
    high: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    device: str
    protocol: str
    reference: str
    flags: tuple[str, ...] = ()
    detector: str = ""

    @property
    def pace(self) -> float:
        """What latencies of one place are ordered by: the ratio where there is one, else the ms.

        What disturbs the machine disturbs the reference network too: a ratio repeats far better.
        """
        return self.ms if self.ratio is None else self.ratio

    @property
    def place(self) -> str:
        """Device and protocol in words, and which detector was timed there."""
        of = f", {DETECTORS.get(self.detector, self.detector)}" if self.detector else ""
        return f"{self.device} {self.protocol}".strip() + of

    @property
    def kin(self) -> tuple[str, ...]:
        """Device, protocol, reference, task: only latencies that agree in all are compared."""
        return self.device, self.protocol, self.reference, self.detector

    @property
    def ratio_interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the ratio; None where there is none."""
        if self.ratio_low is None or self.ratio_high is None:
            return None
        return self.ratio_low, self.ratio_high


@dataclass(frozen=True)
class Variant:
    """All runs of one combination of swept settings, which differ in their seed only.

    `score` is what its task maximises, see `objective`; `beside` are the other scores by name.
    `latency` is the first device's; `further` holds those of the others by name.
    """

    label: str
    settings: dict[str, str]
    rows: tuple[Row, ...]
    detector: str
    score: Estimate | None
    beside: dict[str, Estimate]
    latency: Latency | None
    further: dict[str, Latency]
    params_m: float | None
    macs_m: float | None
    fingerprint: str

    @property
    def objective(self) -> Objective:
        """What its task maximises: top-1, of a detector box mAP."""
        return objective_of(self.detector)

    @property
    def finished(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.state == "finished")

    @property
    def best_run(self) -> Row | None:
        """The finished run with the highest score, of equal ones that of the lowest seed."""
        scored = [row for row in self.finished if row.score is not None]
        return min(scored, key=lambda row: (-(row.score or 0.0), row.seed or 0), default=None)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds behind the scores."""
        return tuple(sorted(row.seed for row in self.finished if row.seed is not None))

    @property
    def seed_count(self) -> str:
        """ "3" where all runs ended well, "2/3" where one of three did not."""
        done = sum(row.state in ENDED for row in self.rows)
        return str(done) if done == len(self.rows) else f"{done}/{len(self.rows)}"

    @property
    def state(self) -> str:
        """ "finished", or what happened to the runs that did not: "failed", "1 failed"."""
        states = [row.state for row in self.rows if row.state != "finished"]
        counts = {state: states.count(state) for state in states}
        if len(counts) == 1 and len(states) == len(self.rows):
            return states[0]
        return ", ".join(f"{count} {state}" for state, count in counts.items()) or "finished"


def group(results: Results) -> list[Variant]:
    """Return the study's variants by task and score, the best first and those without one last."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in results.rows:
        groups.setdefault(tuple(row.settings.values()), []).append(row)
    variants = [_variant(results, rows) for rows in groups.values()]
    return sorted(variants, key=_rank)


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """Return mean and spread of the values that are there; None where there are none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Estimate(fmean(known), stdev(known) if len(known) > 1 else None, len(known))


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return each key without its group where that stays unambiguous: model.width -> width."""
    tails = [key.rsplit(".", 1)[-1] for key in keys]
    return {
        key: tail if tails.count(tail) == 1 else key for key, tail in zip(keys, tails, strict=True)
    }


def describe(settings: dict[str, str]) -> str:
    """Return settings in words: a name stands alone, a number or a switch with its key."""
    names = short_names(tuple(settings))
    return " ".join(
        f"{names[key]}={value}" if _needs_key(value) else value for key, value in settings.items()
    )


def _needs_key(value: str) -> bool:
    return value.lower() in NOT_A_NAME or not value[0].isalpha()


def _variant(results: Results, rows: list[Row]) -> Variant:
    finished = [row for row in rows if row.state == "finished"]
    settings = rows[0].settings
    return Variant(
        label=describe(settings) or results.study,
        settings=settings,
        rows=tuple(rows),
        detector=rows[0].detector,
        score=estimate(row.score for row in finished),
        beside=_beside(finished),
        latency=_middle(_first_device(row) for row in finished or rows),
        further=_further(results.devices, finished or rows),
        params_m=_first(row.params_m for row in rows),
        macs_m=_first(row.macs_m for row in rows),
        fingerprint=next((row.fingerprint for row in rows if row.fingerprint), ""),
    )


def _beside(finished: Sequence[Row]) -> dict[str, Estimate]:
    names = finished[0].objective.beside if finished else ()
    found = {name: estimate(row.scored(name) for row in finished) for name in names}
    return {name: one for name, one in found.items() if one}


def _further(devices: Sequence[str], rows: Sequence[Row]) -> dict[str, Latency]:
    found = {name: _middle(_on(name, row) for row in rows) for name in devices}
    return {name: latency for name, latency in found.items() if latency}


def _middle(latencies: Iterable[Latency | None]) -> Latency | None:
    """Return the latency of all seeds: nearly always one shared measurement, else the median."""
    timed = sorted((one for one in latencies if one), key=lambda latency: latency.ms)
    return timed[(len(timed) - 1) // 2] if timed else None


def _first_device(row: Row) -> Latency | None:
    if row.latency_ms is None:
        return None
    return Latency(
        *(row.latency_ms, row.latency_low, row.latency_high),
        *(row.latency_ratio, row.ratio_low, row.ratio_high),
        *(row.device, row.protocol, row.reference),
        flags=row.flags,
        detector=row.detector,
    )


def _on(name: str, row: Row) -> Latency | None:
    one = row.further.get(name)
    if one is None or one.latency_ms is None:
        return None
    return Latency(
        *(one.latency_ms, one.latency_low, one.latency_high),
        *(one.latency_ratio, one.ratio_low, one.ratio_high),
        *(one.device, row.protocol, row.reference),
        detector=row.detector,
    )


def _first(values: Iterable[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _rank(variant: Variant) -> tuple[bool, str, float, float, str]:
    score, latency = variant.score, variant.latency
    return (
        score is None,
        variant.detector,
        -score.mean if score else 0.0,
        latency.pace if latency else math.inf,
        variant.label,
    )
