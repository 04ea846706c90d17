"""Ablation effects: what a step in a swept key does to score and to latency, and how sure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.contrasts import Block, Contrast, interactions, main_contrasts, rectangle
from analysis.inference import ALPHA, Mean, holm, mean_over_seeds
from analysis.results import Results
from analysis.variants import Latency, Variant, short_names
from repghost.decision.chances import NORMAL95, log_error
from repghost.objective import TOP1, Objective, in_common

SAME_GRAPH = "same graph"
SAME_TRAINING = "same training"


@dataclass(frozen=True)
class Quotient:
    """A latency ratio over another, with the measurements' 95 % interval (None: not known)."""

    value: float
    interval: tuple[float, float] | None
    same_graph: bool
    blocks: int

    @property
    def verdict(self) -> str:
        """ "faster", "slower", "tie", or why it is neither."""
        if self.same_graph:
            return SAME_GRAPH
        if self.interval is None:
            return "no interval"
        if self.interval[0] <= 1 <= self.interval[1]:
            return "tie"
        return "faster" if self.value < 1 else "slower"


@dataclass(frozen=True)
class Effect:
    """One contrast in numbers: score in points, latency as a factor; None where not known.

    `blocks` x seeds pairs make the mean of the score; `left_out` pairs had no counterpart in other
    seeds. `holm_p` is adjusted over all effects of the same kind (main, interaction).
    """

    keys: tuple[str, ...]
    steps: tuple[tuple[str, str], ...]
    score: Mean | None
    blocks: int
    left_out: int
    same_training: bool
    latency: Quotient | None
    holm_p: float | None = None
    objective: Objective = TOP1

    @property
    def name(self) -> str:
        """The step in words: "reparam bn → id", "... by width 0.5 → 1.0"."""
        names = short_names(self.keys)
        pairs = zip(self.keys, self.steps, strict=True)
        return " by ".join(f"{names[key]} {before} → {after}" for key, (before, after) in pairs)

    @property
    def verdict(self) -> str:
        """ "better", "worse", "tie", "tie after Holm", or why nothing can be said of the score."""
        if self.same_training:
            return SAME_TRAINING
        if self.score is None:
            return "no score"
        if self.score.contains_zero is None:
            return _without_interval(self.score)
        if self.score.contains_zero:
            return "tie"
        if self.holm_p is not None and self.holm_p > ALPHA:
            return "tie after Holm"
        return "better" if self.score.value > 0 else "worse"

    def as_dict(self) -> dict[str, Any]:
        """Return what --json prints of it."""
        steps = [
            {"key": key, "from": before, "to": after}
            for key, (before, after) in zip(self.keys, self.steps, strict=True)
        ]
        scored = {self.objective.name: self._score_dict()}
        return {"steps": steps, **scored, "latency_factor": self._latency_dict()}

    def _score_dict(self) -> dict[str, Any] | None:
        if self.score is None:
            return None
        return {
            "points": self.score.value,
            "interval": self.score.interval,
            "method": self.score.method,
            "seeds": self.score.n,
            "blocks": self.blocks,
            "left_out": self.left_out,
            "p": self.score.p,
            "holm_p": self.holm_p,
            "verdict": self.verdict,
        }

    def _latency_dict(self) -> dict[str, Any] | None:
        if self.latency is None:
            return None
        return {
            "factor": self.latency.value,
            "interval": self.latency.interval,
            "blocks": self.latency.blocks,
            "verdict": self.latency.verdict,
        }


def main_effects(results: Results) -> list[Effect]:
    """Return each swept key's effects, Holm's correction over all of them."""
    return _adjusted([_effect(contrast) for contrast in main_contrasts(results)])


def interaction_effects(results: Results) -> list[Effect]:
    """Return the two-way interactions, Holm's correction over all of them, surest first."""
    found = _adjusted([_effect(contrast) for contrast in interactions(results)])
    return sorted(
        found, key=lambda one: 2.0 if one.score is None or one.score.p is None else one.score.p
    )


def latency_quotient(blocks: Sequence[Block]) -> Quotient | None:
    """Return the geometric mean over blocks of a latency over another.

    The mean is a weighted sum of the logarithms of distinct measurements, so one that stands on
    both sides (one deployed graph) cancels exactly. Latencies of different places are not compared.
    """
    timed = [block for block in blocks if _comparable(block)]
    if not timed:
        return None
    weights: dict[tuple[str, Latency], float] = {}
    for sign, variant in (corner for block in timed for corner in block):
        assert variant.latency is not None
        unit = variant.fingerprint, variant.latency
        weights[unit] = weights.get(unit, 0.0) + sign / len(timed)
    moved = {unit: weight for unit, weight in weights.items() if abs(weight) > 1e-12}
    value = math.exp(sum(weight * math.log(unit[1].pace) for unit, weight in moved.items()))
    return Quotient(value, _interval(value, moved), not moved, len(timed))


def latency_error(latency: Latency) -> float | None:
    """Return the standard error of a latency's logarithm, from its 95 % interval."""
    return log_error(*(latency.ratio_interval or (latency.low, latency.high)))


def _interval(
    value: float, weights: dict[tuple[str, Latency], float]
) -> tuple[float, float] | None:
    if not weights:
        return value, value
    variance = 0.0
    for (_, latency), weight in weights.items():
        error = latency_error(latency)
        if error is None:
            return None
        variance += (weight * error) ** 2
    factor = math.exp(NORMAL95 * math.sqrt(variance))
    return value / factor, value * factor


def _comparable(block: Block) -> bool:
    latencies = [variant.latency for _, variant in block]
    if any(latency is None or latency.pace <= 0 for latency in latencies):
        return False
    return len({(one.kin, one.ratio is None) for one in latencies if one}) == 1


def _effect(contrast: Contrast) -> Effect:
    cells = {
        (n, seed): value
        for n, block in enumerate(contrast.blocks)
        for seed, value in _by_seed(block).items()
    }
    same = bool(cells) and all(_same_training(block) for block in contrast.blocks)
    latency = latency_quotient(contrast.blocks)
    objective = in_common(v.objective for block in contrast.blocks for _, v in block)
    if not cells:
        return Effect(contrast.keys, contrast.steps, None, 0, 0, same, latency, None, objective)
    found = rectangle(cells)
    score = mean_over_seeds(list(found.means.values()))
    place = contrast.keys, contrast.steps
    return Effect(*place, score, found.blocks, found.left_out, same, latency, None, objective)


def _by_seed(block: Block) -> dict[int, float]:
    """Return the signed sum of scores for each seed in which every corner was scored.

    {} across tasks that are scored otherwise.
    """
    if len({variant.objective for _, variant in block}) > 1:
        return {}
    scores = [_scores(variant) for _, variant in block]
    shared = set.intersection(*(set(score) for score in scores))
    return {
        seed: sum(sign * score[seed] for (sign, _), score in zip(block, scores, strict=True))
        for seed in sorted(shared)
    }


def _scores(variant: Variant) -> dict[int, float]:
    return {
        row.seed: row.score
        for row in variant.finished
        if row.seed is not None and row.score is not None
    }


def _same_training(block: Block) -> bool:
    """Say if a difference is one of a run with itself: its settings concern the timing alone."""
    sides = [{row.key for row in variant.finished} for _, variant in block]
    return all(side == sides[0] for side in sides) and bool(sides[0])


def _adjusted(effects: Sequence[Effect]) -> list[Effect]:
    p_values = [None if one.score is None else one.score.p for one in effects]
    pairs = zip(effects, holm(p_values), strict=True)
    return [replace(effect, holm_p=p) for effect, p in pairs]


def _without_interval(score: Mean) -> str:
    if score.n == 1:
        return "1 seed: no interval"
    return "tie: equal in every seed" if score.value == 0 else "no spread: no interval"
