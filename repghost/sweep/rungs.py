"""Who may stop early: a variant that enough others, none of them slower, clearly beat at a rung.

Optuna refuses to prune a trial with two objectives. Here latency is known before the training
starts, so that the score alone is compared, and only with variants of the same task that are not
slower. Pure functions of the epochs so far, without torch or Optuna.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

PRIOR_SEEDS = 2  # `StopSpec.points` weighs as much as so many degrees of freedom between seeds
NAMED = 3  # so many rivals are named in a sentence


@dataclass(frozen=True)
class StopSpec:
    """When a variant is stopped before its last epoch; with no rungs, the default, never.

    `rungs` are shares of the epochs, such as [0.1, 0.3], at which variants are compared. One is
    stopped when at least `enough` others that are not slower were clearly better: by more than
    `noise` standard deviations of a difference between two runs. `points` is the standard
    deviation between seeds, in points of the score, that is assumed until seeds in the study say
    more. With `resume`, stopped variants go on from their checkpoints, and nobody is stopped.
    """

    rungs: list[float] = field(default_factory=list)
    enough: int = 3
    noise: float = 2.0
    points: float = 1.0
    resume: bool = False

    def __post_init__(self) -> None:
        shares = all(_is_number(rung) and 0 < rung < 1 for rung in self.rungs)
        if not shares or sorted(set(self.rungs)) != [*self.rungs]:
            raise ValueError(
                f"stop.rungs={self.rungs}: must be a rising list of shares of the epochs between 0"
                " and 1, such as [0.1,0.3], or [] for none"
            )
        if type(self.enough) is not int or self.enough < 1:
            raise ValueError(f"stop.enough={self.enough}: must be a whole number of at least 1")
        for name in ("noise", "points"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < math.inf:
                raise ValueError(f"stop.{name}={value}: must be a number of at least 0")

    @property
    def active(self) -> bool:
        """Whether any variant can be stopped."""
        return bool(self.rungs) and not self.resume


@dataclass(frozen=True)
class Curve:
    """How far a variant is: its score in percent after each of its finished epochs.

    `row` is the study's name for it, `group` that of its configuration without the seed, and
    `epochs` the number that it is to be trained for. `label` names the score of its `task`.
    """

    row: str
    group: str
    latency_ms: float
    epochs: int
    scores: tuple[float, ...]
    label: str = "top-1"
    task: str = "train"

    def epoch_at(self, rung: float) -> int:
        """Return the number of finished epochs with which this variant has passed a rung."""
        return max(1, math.ceil(rung * self.epochs - 1e-9))  # 0.07 * 100 is 7.000000000000001

    def score_at(self, rung: float) -> float | None:
        """Return the score at a rung; None before it, and where it is not a number."""
        epoch = self.epoch_at(rung)
        score = self.scores[epoch - 1] if epoch <= len(self.scores) else math.nan
        return score if math.isfinite(score) else None


@dataclass(frozen=True)
class Rival:
    """A configuration that was clearly better: by `lead` points, and more than `margin`."""

    group: str
    lead: float
    margin: float


@dataclass(frozen=True)
class Halt:
    """Why a variant was stopped: what it had at which rung, and who was better, best first."""

    rung: float
    epoch: int
    epochs: int
    score: float
    rivals: tuple[Rival, ...]
    label: str

    @property
    def margin(self) -> float:
        """The lead in points that the noise between seeds does not explain, at its largest."""
        return max(rival.margin for rival in self.rivals)

    def __str__(self) -> str:
        names = ", ".join(rival.group for rival in self.rivals[:NAMED])
        more = f" and {len(self.rivals) - NAMED} more" if self.rivals[NAMED:] else ""
        return (
            f"at rung {self.rung:g} (epoch {self.epoch} of {self.epochs}) {self.label}"
            f" {self.score:.2f} % was behind {len(self.rivals)} that are not slower, by"
            f" {self.rivals[-1].lead:.2f} points or more where noise explains {self.margin:.2f}:"
            f" {names}{more}"
        )


def verdict(curve: Curve, others: Iterable[Curve], spec: StopSpec) -> Halt | None:
    """Return why `curve` should stop now, None where it may go on.

    Compared are the scores at the last rung that it has passed with those that `others`, running,
    finished or stopped, had at the same rung of their own epochs. Seeds of one configuration count
    once, with their mean; those of `curve` itself never count against it. A latency or a score
    that is not finite says nothing. Linear in the number of others.
    """
    rung = _last_rung(curve, spec)
    if rung is None or not math.isfinite(curve.latency_ms):
        return None
    score = curve.score_at(rung)
    if score is None:
        return None
    seen = _unique([*(other for other in others if other.task == curve.task), curve])
    sd = _noise(_by_group(seen, rung).values(), spec.points)
    not_slower = [
        other
        for other in seen
        if other.latency_ms <= curve.latency_ms and other.group != curve.group
    ]
    rivals = _rivals(score, _by_group(not_slower, rung), spec.noise * sd)
    if len(rivals) < spec.enough:
        return None
    return Halt(rung, curve.epoch_at(rung), curve.epochs, score, rivals, curve.label)


def _last_rung(curve: Curve, spec: StopSpec) -> float | None:
    """Return the last rung that a variant has passed; None where nothing can be saved any more."""
    finished = len(curve.scores)
    if not spec.active or finished >= curve.epochs:
        return None
    return max((rung for rung in spec.rungs if curve.epoch_at(rung) <= finished), default=None)


def _unique(curves: Iterable[Curve]) -> list[Curve]:
    """Return each row once: of two looks at a variant, the one that saw more epochs."""
    latest: dict[str, Curve] = {}
    for curve in curves:
        known = latest.get(curve.row)
        if known is None or len(known.scores) < len(curve.scores):
            latest[curve.row] = curve
    return list(latest.values())


def _by_group(curves: Iterable[Curve], rung: float) -> dict[str, list[float]]:
    """Return the scores at a rung of each configuration that has any, one for each of its seeds."""
    groups: dict[str, list[float]] = {}
    for curve in curves:
        if (score := curve.score_at(rung)) is not None:
            groups.setdefault(curve.group, []).append(score)
    return groups


def _noise(groups: Iterable[list[float]], points: float) -> float:
    """Return the standard deviation between seeds, pooled over configurations with several.

    `points` stands in for seeds that are not there, and keeps two that are equal by chance from
    making every difference a clear one.
    """
    squares, degrees = [PRIOR_SEEDS * points**2], PRIOR_SEEDS
    for scores in groups:
        mean = fmean(scores)
        squares += [(score - mean) ** 2 for score in scores]
        degrees += len(scores) - 1
    return math.sqrt(math.fsum(squares) / degrees)


def _rivals(score: float, groups: dict[str, list[float]], noise: float) -> tuple[Rival, ...]:
    """Return the configurations that are clearly better than one run's `score`, best first."""
    found = []
    for group, scores in groups.items():
        lead, margin = fmean(scores) - score, noise * math.sqrt(1 + 1 / len(scores))
        if lead > margin:
            found.append(Rival(group, lead, margin))
    return tuple(sorted(found, key=lambda rival: (-rival.lead, rival.group)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
