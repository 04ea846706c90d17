"""What a front is worth, how that grew, where it bends, and what fits a budget."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repghost.decision.pareto import pareto_front

Point = tuple[float, float]  # latency, score
CREATED, ATTRIBUTE = 4, 8  # op codes of Optuna's journal


@dataclass(frozen=True)
class Moment:
    """What the study knew `hours` after its first end: runs ended, share of the final volume."""

    hours: float
    runs: int
    share: float


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Return the area in ms x percent between the front and a reference that is slow and poor.

    Points that are not better than the reference in both count for nothing. O(n log n).
    """
    slowest, poorest = reference
    area, best = 0.0, poorest
    for i in pareto_front(points):
        latency, score = points[i]
        if latency < slowest and score > best:
            area += (slowest - latency) * (score - best)
            best = score
    return area


def growth(points: Mapping[str, Point], ended: Mapping[str, float]) -> list[Moment]:
    """Return how the volume grew as runs, by key, ended (seconds); only where it grew.

    The reference is the slowest latency and the lowest score of all. Empty where that leaves no
    area (all points in one line) or no times are known.
    """
    timed = sorted((ended[key], key) for key in points if key in ended)
    if not timed:
        return []
    known = [points[key] for _, key in timed]
    reference = max(p[0] for p in known), min(p[1] for p in known)
    final = hypervolume(known, reference)
    if not final:
        return []
    moments: list[Moment] = []
    front: list[Point] = []
    for runs, ((when, _), point) in enumerate(zip(timed, known, strict=True), start=1):
        front = [[*front, point][i] for i in pareto_front([*front, point])]
        share = hypervolume(front, reference) / final
        if share > (moments[-1].share if moments else 0.0):
            moments.append(Moment((when - timed[0][0]) / 3600, runs, share))
    return moments


def knee(points: Sequence[Point]) -> int | None:
    """Return the index of the front's knee: farthest above the line between the front's ends.

    Both axes are scaled to the front's own range. None with fewer than three distinct points, or
    where none lies above that line.
    """
    front = pareto_front(points)
    if len({points[i] for i in front}) < 3:
        return None
    (fast, low), (slow, high) = points[front[0]], points[front[-1]]
    above = {
        i: (points[i][1] - low) / (high - low) - (points[i][0] - fast) / (slow - fast)
        for i in front
    }
    best = max(above, key=lambda i: above[i])
    return best if above[best] > 1e-9 else None


def best_within(points: Sequence[Point], latency_max: float, score_min: float) -> list[int]:
    """Return the indices of the points in the budget, most accurate first, then fastest."""
    fitting = [
        i for i, (ms, score) in enumerate(points) if ms <= latency_max and score >= score_min
    ]
    return sorted(fitting, key=lambda i: (-points[i][1], points[i][0]))


def end_times(journal: Path) -> dict[str, float]:
    """Return when the study learned of each finished run, by key, in seconds since 1970.

    From the study's own ledger: dates of files say when somebody copied them. A run that another
    study had finished before counts from when this one took it over. {} without a ledger.
    """
    keys: list[str] = []
    ended: dict[str, float] = {}
    for line in _lines(journal):
        attributes = _object(line.get("user_attrs") or line.get("user_attr"))
        if line.get("op_code") == CREATED:
            keys.append(str(attributes.get("key", "")))
        trial = line.get("trial_id", len(keys) - 1)
        if line.get("op_code") not in (CREATED, ATTRIBUTE) or not isinstance(trial, int):
            continue
        when = _finished(attributes)
        if when is not None and 0 <= trial < len(keys):
            ended.setdefault(keys[trial], when)
    return ended


def extras(journal: Path) -> int:
    """Return how many runs beyond its own a study has had, by its ledger; 0 without one."""
    notes = [_object(line.get("user_attr")).get("refined") for line in _lines(journal)]
    return max((len(note) for note in notes if isinstance(note, list)), default=0)


def _finished(attributes: Mapping[str, Any]) -> float | None:
    for name, life in attributes.items():
        since = _object(life).get("since")
        if name.startswith("life") and _object(life).get("state") == "finished":
            return float(since) if isinstance(since, int | float) and math.isfinite(since) else None
    return None


def _lines(journal: Path) -> list[dict[str, Any]]:
    try:
        lines = journal.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [found for line in lines if (found := _parsed(line))]


def _parsed(line: str) -> dict[str, Any]:
    try:
        return _object(json.loads(line))
    except ValueError:
        return {}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
