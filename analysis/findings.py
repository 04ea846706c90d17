"""What a study says, and how sure that is: the front, twins, ties and failures, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.devices import order_words
from analysis.results import Results, Row
from analysis.speed import speed_words
from analysis.texts import listed, short_ms
from analysis.variants import Variant, describe, group, short_names
from repghost.decision.pareto import pareto_front
from repghost.detection.spec import DETECTORS
from repghost.objective import Objective, in_common


@dataclass(frozen=True)
class Findings:
    """Variants by score, best first, then by latency; front and twins are indices into them."""

    variants: tuple[Variant, ...]
    front: tuple[int, ...]
    twins: tuple[tuple[int, ...], ...]

    @property
    def measured_only(self) -> bool:
        """Whether latency and cost alone are asked for (recipe=none): nothing was trained."""
        rows = [row for variant in self.variants for row in variant.rows]
        trained = any(row.state in ("running", "finished") for row in rows)
        return any(row.state == "measured" for row in rows) and not trained

    @property
    def objective(self) -> Objective:
        """What the variants are scored by; only those of one task are compared."""
        return in_common(variant.objective for variant in self.variants)

    @property
    def tasks(self) -> list[list[Variant]]:
        """The variants of each task: classifiers, or those of one kind of detector."""
        found: dict[str, list[Variant]] = {}
        for variant in self.variants:
            found.setdefault(variant.detector, []).append(variant)
        return list(found.values())

    @property
    def placed(self) -> int:
        """How many variants have both a score and a latency."""
        return sum(1 for variant in self.variants if variant.score and variant.latency)

    @property
    def graph_names(self) -> dict[int, str]:
        """A letter for each variant that shares its deployed graph: A, B, ... Z, A1, B1, ..."""
        return {i: _letter(n) for n, twins in enumerate(self.twins) for i in twins}

    @property
    def failures(self) -> list[Row]:
        """Runs that ended without a score: failed, pruned by design, or stopped early."""
        rows = [row for variant in self.variants for row in variant.rows]
        return [row for row in rows if row.state in ("failed", "pruned", "stopped")]


def find(results: Results) -> Findings:
    """Group the study's rows over seeds, and find the front and the deployed-graph twins."""
    variants = tuple(group(results))
    return Findings(variants, _front(variants), _twins(variants))


def headline(found: Findings) -> list[str]:
    """Return the outcome in sentences: front (without training: speed), ties, devices, twins."""
    first = (
        speed_words(found.variants)
        if found.measured_only
        else [front_words(found), *_apart_words(found), *_ties(found)]
    )
    return [*first, *order_words(found.variants), *twin_words(found)]


def _ties(found: Findings) -> list[str]:
    several = len(found.tasks) > 1
    return [
        f"{task_name(variants[0])}: {sentence}" if several else sentence
        for variants in found.tasks
        for sentence in tie_words(variants)
    ]


def task_name(variant: Variant) -> str:
    """Return what a variant is trained as, in words."""
    return DETECTORS.get(variant.detector, variant.detector) or "classifiers"


def _apart_words(found: Findings) -> list[str]:
    if len(found.tasks) < 2:
        return []
    names = listed([task_name(variants[0]) for variants in found.tasks])
    return [f"Scores of different tasks are not compared: each of {names} has its own front."]


def question(results: Results, found: Findings) -> str:
    """Return what the study asks: study.json's own words, else made from the swept keys."""
    stated = results.provenance.get("question")
    if isinstance(stated, str) and stated.strip():
        return stated.strip()
    seeds = sorted({row.seed for row in results.rows if row.seed is not None})
    names = short_names(results.swept)
    asked = " and ".join(f"{names[key]} ({_values(results, key)})" for key in results.swept)
    if found.measured_only:
        return f"Which {asked} is the fastest?" if asked else "How fast is this network?"
    if not asked and len(seeds) > 1:
        return f"How far does {found.objective.label} move over {len(seeds)} seeds?"
    if not asked:
        return "How accurate and how fast is this network?"
    return f"Which {asked} gives the best {found.objective.label} for its latency?"


def front_words(found: Findings) -> str:
    """Return the Pareto front in one sentence, fast to slow."""
    if not found.front:
        return f"No Pareto front yet: no variant has {both(found.objective)}."
    points = [_point(found.variants[i]) for i in found.front]
    return f"Pareto front ({len(points)} of {found.placed} variants): {listed(points, '; ')}."


def both(objective: Objective) -> str:
    """Return what a place on a front takes."""
    return f"both a {objective.label} and a latency"


def twin_words(found: Findings) -> list[str]:
    """Return a sentence for each set of variants that deploy to the same graph."""
    return [_twin_sentence([found.variants[i] for i in twins]) for twins in found.twins]


def tied(a: Variant, b: Variant) -> bool | None:
    """Say if two variants of one task tie: equal means, or 95 % intervals over seeds that overlap.

    None where that cannot be said: a score is missing, or stands on one seed and has no interval.
    """
    if a.score is None or b.score is None:
        return None
    if a.score.mean == b.score.mean:
        return True
    if a.score.interval is None or b.score.interval is None:
        return None
    return a.score.interval[0] <= b.score.interval[1] and b.score.interval[0] <= a.score.interval[1]


def tie_words(variants: Sequence[Variant]) -> list[str]:
    """Return how sure the first place is; nothing where fewer than two variants are scored."""
    scored = [variant for variant in variants if variant.score]
    if len(scored) < 2:
        return []
    best, *others = scored
    ties = [other.label for other in others if tied(best, other)]
    sentences = []
    if ties:
        sentences.append(
            f"A tie at the top: {listed([best.label, *ties])}"
            " (equal means, or 95 % intervals over seeds that overlap)."
        )
    elif all(tied(best, other) is False for other in others):
        sentences.append(f"{best.label} leads: its 95 % interval over seeds overlaps no other.")
    return [*sentences, *_one_seed_words(scored)]


def failure_words(found: Findings) -> list[tuple[str, str, str]]:
    """Return (state, run in words, reason) of each failed, pruned or stopped run."""
    return [
        (row.state, run_label(row), row.error.strip() or "no reason was recorded")
        for row in found.failures
    ]


def run_label(row: Row) -> str:
    """Return a run in words: its settings and its seed."""
    seed = "" if row.seed is None else f"seed {row.seed}"
    return ", ".join(part for part in (describe(row.settings), seed) if part) or row.key


def _one_seed_words(scored: Sequence[Variant]) -> list[str]:
    single = [variant.label for variant in scored if variant.score and variant.score.n == 1]
    if not single:
        return []
    who = "each variant" if len(single) == len(scored) else listed(single)
    label = scored[0].objective.label
    return [f"1 seed: no interval for {who}; a small difference in {label} may be chance."]


def _twin_sentence(twins: Sequence[Variant]) -> str:
    measured = {variant.latency for variant in twins if variant.latency}
    times = {0: "not measured yet", 1: "measured once"}.get(
        len(measured), f"measured {len(measured)} times"
    )
    return f"{listed([twin.label for twin in twins])} deploy to one graph: {times}."


def _front(variants: Sequence[Variant]) -> tuple[int, ...]:
    """Return the front; different devices, protocols or tasks are never compared."""
    kins: dict[tuple[str, ...], list[tuple[int, float, float]]] = {}
    for i, variant in enumerate(variants):
        if variant.score and variant.latency:
            point = i, variant.latency.ms, variant.score.mean
            kins.setdefault(variant.latency.kin, []).append(point)
    return tuple(
        points[best][0]
        for points in kins.values()
        for best in pareto_front([point[1:] for point in points])
    )


def _twins(variants: Sequence[Variant]) -> tuple[tuple[int, ...], ...]:
    graphs: dict[str, list[int]] = {}
    for i, variant in enumerate(variants):
        if variant.fingerprint:
            graphs.setdefault(variant.fingerprint, []).append(i)
    return tuple(tuple(members) for members in graphs.values() if len(members) > 1)


def _point(variant: Variant) -> str:
    if variant.score is None or variant.latency is None:
        return variant.label
    return f"{variant.label} {variant.score.mean:.2f} % at {short_ms(variant.latency.ms)}"


def _values(results: Results, key: str) -> str:
    return listed(list(dict.fromkeys(row.settings[key] for row in results.rows)))


def _letter(n: int) -> str:
    return chr(ord("A") + n % 26) + (str(n // 26) if n >= 26 else "")
