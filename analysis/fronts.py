"""The front with its doubt: who is on it, who is not, who may be, and what would decide."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.chances import SURE, Chances, Points, chances, points_of
from analysis.hypervolume import Moment, best_within, end_times, growth, knee
from analysis.pareto import pareto_front
from analysis.results import Results
from analysis.variants import Variant, group

FRONT, DOMINATED, UNDECIDED = "front", "dominated", "undecided"
SEEDS_MORE = 2
ROUNDS_MORE = 4  # times as many rounds give half the interval
ROUNDS_DEFAULT = 600
NAME_KEY = "variant"  # the column of a sweep over named variants: no key of the config
SEARCH = ("hydra/sweeper", "hydra.sweeper.", "n_trials")


@dataclass(frozen=True)
class Advice:
    """What to run next to decide about `variant`: `what` in words, `command` as it is typed."""

    variant: str
    rival: str
    cause: str
    what: str
    command: str


@dataclass(frozen=True)
class Front:
    """Comparable variants of one study, most accurate first, with their chances on the front."""

    place: str
    variants: tuple[Variant, ...]
    points: Points
    chances: Chances
    measured: tuple[int, ...]
    knee: int | None
    growth: tuple[Moment, ...]

    @property
    def values(self) -> list[tuple[float, float]]:
        """(latency in ms, top-1 in percent) as measured."""
        return list(zip(self.points.latency.tolist(), self.points.top1.tolist(), strict=True))

    def status(self, i: int) -> str:
        """ "front", "dominated" or "undecided", by the chance of variant `i`."""
        chance = self.chances.front[i]
        if chance >= SURE:
            return FRONT
        return DOMINATED if chance <= 1 - SURE else UNDECIDED

    def within(self, latency_max: float = math.inf, top1_min: float = -math.inf) -> list[int]:
        """Return the variants in the budget as measured, the best first."""
        return best_within(self.values, latency_max, top1_min)


def fronts(results: Results) -> list[Front]:
    """Return a front for each device, protocol and reference; they are never compared."""
    kins: dict[tuple[str, str, str], list[Variant]] = {}
    for variant in group(results):
        if variant.top1 and variant.latency and variant.latency.ms > 0:
            kins.setdefault(variant.latency.kin, []).append(variant)
    ended = end_times(results.study_dir / "study.journal")
    return [_front(variants, ended) for variants in kins.values()]


def advice(front: Front, results: Results) -> list[Advice]:
    """Return what would decide each undecided variant, by the cause that leaves more doubt."""
    undecided = [i for i in range(len(front.variants)) if front.status(i) == UNDECIDED]
    return [_advice(front, results, i) for i in undecided]


def doubt(chance: float) -> float:
    """Return the variance of an event of this chance: 0 when sure, 0.25 at most."""
    return chance * (1 - chance)


def _front(variants: Sequence[Variant], ended: dict[str, float]) -> Front:
    points = points_of(variants)
    values = list(zip(points.latency.tolist(), points.top1.tolist(), strict=True))
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


def _advice(front: Front, results: Results, i: int) -> Advice:
    by_top1, by_latency = (
        doubt(float(c[i])) for c in (front.chances.by_top1, front.chances.by_latency)
    )
    rival = int(front.chances.rival[i])
    pair = [i] if rival < 0 else [i, rival]
    labels = [front.variants[n].label for n in pair]
    if by_latency > by_top1:
        what, words = _more_rounds(front, results, pair)
        cause = "latency"
    else:
        what, words = _more_seeds(front, pair)
        cause = "top-1"
    return Advice(
        labels[0],
        labels[-1] if rival >= 0 else "",
        cause,
        what,
        next_command(results.provenance, results.study, words),
    )


def _more_seeds(front: Front, pair: Sequence[int]) -> tuple[str, dict[str, str]]:
    """Ask for seeds of those of the pair that have the fewest."""
    fewest = min(int(front.points.seeds[n]) for n in pair)
    chosen = [front.variants[n] for n in pair if front.points.seeds[n] == fewest]
    taken = {seed for variant in chosen for seed in variant.seeds}
    start = max(taken, default=-1) + 1
    seeds = ",".join(str(start + n) for n in range(SEEDS_MORE))
    names = " and ".join(variant.label for variant in chosen)
    return f"seed={seeds} of {names}", _values(chosen) | {"seed": seeds}


def _more_rounds(front: Front, results: Results, pair: Sequence[int]) -> tuple[str, dict[str, str]]:
    """Ask for a longer measurement of those of the pair whose interval is the widest."""
    widest = max(front.points.log_error[n] for n in pair)
    chosen = [front.variants[n] for n in pair if front.points.log_error[n] >= 0.5 * widest]
    stated = results.provenance.get("latency")
    said = stated if isinstance(stated, dict) else {}
    rounds, repeat = _whole(said.get("max_rounds"), ROUNDS_DEFAULT), _whole(said.get("repeat"), 0)
    precision = said.get("precision")
    words = {
        "latency.repeat": str(repeat + 1),
        "latency.max_rounds": str(ROUNDS_MORE * rounds),
        "latency.precision": f"{precision / 2 if isinstance(precision, float) else 0.005:g}",
    }
    names = " and ".join(variant.label for variant in chosen)
    return f"{ROUNDS_MORE * rounds} latency rounds of {names}", _values(chosen) | words


def _values(variants: Sequence[Variant]) -> dict[str, str]:
    """Return the swept keys with the values of these variants: their grid, at times more.

    A single value is a choice of one: the study's table would otherwise not know it as swept.
    """
    found = {
        key: dict.fromkeys(v.settings[key] for v in variants if v.settings[key])
        for key in variants[0].settings
        if key != NAME_KEY
    }
    values = {key: list(chosen) for key, chosen in found.items() if chosen}
    return {key: ",".join(v) if len(v) > 1 else f"choice({v[0]})" for key, v in values.items()}


def next_command(provenance: dict[str, Any], study: str, words: dict[str, str]) -> str:
    """Return the study's own command with `words` in place of its own, for the same study."""
    stated = provenance.get("command")
    try:
        own = shlex.split(stated) if isinstance(stated, str) else []
    except ValueError:
        own = []
    own = own or ["python", "launch.py", "-m"]
    changed = (
        words if "variant" not in words else {k: v for k, v in words.items() if k != "variant"}
    )
    changed = changed | {"study": study}
    kept = [word for word in own if word.partition("=")[0] not in changed]
    return shlex.join([*kept, *(f"{key}={value}" for key, value in changed.items())])


def _is_replaced(word: str, changed: dict[str, str]) -> bool:
    """Say if a word gives a key anew, or belongs to a search: what is asked for is a grid."""
    key = word.partition("=")[0].lstrip("+")
    return key in changed or key.startswith(SEARCH)


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
