"""The front with its doubt: who is on it, who is not, who may be, and what would decide."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.effects import latency_error
from analysis.hypervolume import Moment, best_within, end_times, extras, growth, knee
from analysis.results import Results
from analysis.variants import Variant, group
from repghost.decision.chances import SURE, Chances, Contender, Points, chances, points_of
from repghost.decision.next_runs import ASSUMED_POINTS, next_runs
from repghost.decision.pareto import pareto_front
from repghost.objective import Objective

FRONT, DOMINATED, UNDECIDED = "front", "dominated", "undecided"
NEXT = 4  # runs that are named
JOURNAL = "study.journal"
REFINE = "sweep.refine"
PAIRED = "paired"  # the protocol under which more rounds tell more


@dataclass(frozen=True)
class Advice:
    """A run that would decide: `kind` is "seed" or "rounds" (of latency), `share` of the doubt."""

    variant: str
    kind: str
    share: float
    what: str


@dataclass(frozen=True)
class Front:
    """Comparable variants of one study and task, most accurate first, with their chances."""

    place: str
    variants: tuple[Variant, ...]
    points: Points
    chances: Chances
    measured: tuple[int, ...]
    knee: int | None
    growth: tuple[Moment, ...]

    @property
    def objective(self) -> Objective:
        """What its variants are scored by."""
        return self.variants[0].objective

    @property
    def values(self) -> list[tuple[float, float]]:
        """(latency in ms, score in percent) as measured."""
        return list(zip(self.points.latency.tolist(), self.points.score.tolist(), strict=True))

    def status(self, i: int) -> str:
        """ "front", "dominated" or "undecided", by the chance of variant `i`."""
        chance = self.chances.front[i]
        if chance >= SURE:
            return FRONT
        return DOMINATED if chance <= 1 - SURE else UNDECIDED

    def within(self, latency_max: float = math.inf, score_min: float = -math.inf) -> list[int]:
        """Return the variants in the budget as measured, the best first."""
        return best_within(self.values, latency_max, score_min)


def fronts(results: Results) -> list[Front]:
    """Return a front for each device, protocol, reference and task; they are never compared."""
    kins: dict[tuple[str, ...], list[Variant]] = {}
    for variant in group(results):
        if variant.score and variant.latency and variant.latency.ms > 0:
            kins.setdefault(variant.latency.kin, []).append(variant)
    ended = end_times(results.study_dir / JOURNAL)
    return [_front(variants, ended) for variants in kins.values()]


def advice(front: Front, results: Results, count: int = NEXT) -> list[Advice]:
    """Return the runs that would decide most about the front, as `sweep.refine` chooses them."""
    contenders = [_contender(variant) for variant in front.variants]
    latency = front.variants[0].latency
    paired = latency is not None and latency.protocol.startswith(PAIRED)
    runs = next_runs(contenders, count, (), _assumed(results), with_rounds=paired)
    return [
        Advice(contenders[run.place].label, run.kind, run.share, run.words(contenders))
        for run in runs
    ]


def _contender(variant: Variant) -> Contender:
    """Return a variant that has a score and a latency as one."""
    latency = variant.latency
    assert latency is not None
    return Contender(
        label=variant.label,
        scores=tuple(row.score for row in variant.finished if row.score is not None),
        latency_ms=latency.ms,
        error=latency_error(latency),
        graph=(variant.fingerprint or variant.label, latency),
        training=tuple(sorted(row.key for row in variant.finished)),
    )


def _front(variants: Sequence[Variant], ended: dict[str, float]) -> Front:
    points = points_of([_contender(variant) for variant in variants])
    values = list(zip(points.latency.tolist(), points.score.tolist(), strict=True))
    times = {
        str(n): max(ended[row.key] for row in variant.finished)
        for n, variant in enumerate(variants)
        if all(row.key in ended for row in variant.finished)
    }
    return Front(
        place=variants[0].latency.place if variants[0].latency else "",
        variants=tuple(variants),
        points=points,
        chances=chances(points),
        measured=tuple(pareto_front(values)),
        knee=knee(values),
        growth=tuple(growth({str(n): value for n, value in enumerate(values)}, times)),
    )


def next_command(results: Results, more: int) -> str:
    """Return the study's own command, which then runs `more` runs beyond those it has had."""
    stated = results.provenance.get("command")
    try:
        own = shlex.split(stated) if isinstance(stated, str) else []
    except ValueError:
        own = []
    own = own or ["python", "launch.py", "-m", f"study={results.study}"]
    kept = [word for word in own if word.partition("=")[0] not in (REFINE, "plan")]
    made = extras(results.study_dir / JOURNAL)
    return shlex.join([*kept, f"{REFINE}={made + more}"])


def _assumed(results: Results) -> float:
    """Return the seeds' standard deviation that the sweep assumes until it knows its own."""
    stop = results.provenance.get("stop")
    points = stop.get("points") if isinstance(stop, dict) else None
    return float(points) if isinstance(points, int | float) and points > 0 else ASSUMED_POINTS
