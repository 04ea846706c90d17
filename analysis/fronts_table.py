"""The front with its doubt, in the terminal and as JSON."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from analysis.findings import both
from analysis.fronts import DOMINATED, FRONT, UNDECIDED, Front, advice, fronts, next_command
from analysis.printing import ROOMY, titled_table
from analysis.results import Results
from analysis.texts import latency_text, ms_digits, number
from repghost.decision.chances import draw_latency

Budget = tuple[float, float]  # latency at most, score at least
STYLES = {FRONT: "bold green", UNDECIDED: "yellow", DOMINATED: "dim"}
GROWTH_SHOWN = 8


def fronts_summary(results: Results, budget: Budget, width: int) -> list[RenderableType]:
    """Return what `pareto` prints, top to bottom; nothing in it is read as markup."""
    found = fronts(results)
    if not found:
        return [Text(f"{results.study}: no variant has {both(results.objective)} yet")]
    return [part for front in found for part in _parts(results, front, budget, width)]


def fronts_dict(results: Results, budget: Budget) -> list[dict[str, Any]]:
    """Return what --json prints: an object for each place."""
    return [_front_dict(results, front, budget) for front in fronts(results)]


def _parts(results: Results, front: Front, budget: Budget, width: int) -> Iterator[RenderableType]:
    yield _table(f"{results.study} on {front.place}", front, width)
    yield Text("\n".join(legend_lines(front)), style="dim")
    yield Text()
    for sentence in (*_sets(front), *_knee_words(front), *_growth_words(front)):
        yield Text(sentence)
    for sentence in budget_words(front, budget):
        yield Text(sentence, style="bold")
    if runs := advice(front, results):
        yield Text("what would decide most, and the command that runs it:")
        yield from (Text(f"  {number}. {one.what}") for number, one in enumerate(runs, 1))
        command = next_command(results, len(runs))
        yield Text(f"  {command}", style="dim", no_wrap=True, overflow="ignore")  # to be copied


def _table(title: str, front: Front, width: int) -> Table:
    table = titled_table(title, roomy=width >= ROOMY)
    for heading, right in (
        ("variant", False),
        (f"{front.objective.label} %", True),
        ("seeds", True),
        ("latency ms", True),
        ("chance", True),
        ("", False),
    ):
        table.add_column(Text(heading), justify="right" if right else "left", overflow="fold")
    for i, variant in enumerate(front.variants):
        latency = latency_text(variant.latency)
        cells = (
            variant.label,
            _score_text(front, i),
            str(front.points.seeds[i]),
            latency if width >= ROOMY else latency.replace(" [", "\n["),
            f"{front.chances.front[i]:.2f}",
            front.status(i) + (" (knee)" if i == front.knee else ""),
        )
        table.add_row(*map(Text, cells), style=STYLES[front.status(i)])
    return table


def _score_text(front: Front, i: int) -> str:
    mean = f"{front.points.score[i]:.2f}"
    if front.points.spread is None:
        return mean
    return f"{mean} ± {front.points.spread / math.sqrt(front.points.seeds[i]):.2f}"


def legend_lines(front: Front) -> list[str]:
    """Return what the columns mean, and what the chances do not know."""
    label = front.objective.label
    lines = [
        f"chance: to be on the front when {label} and latency of all are drawn anew; front from"
        " 0.95 on, dominated up to 0.05, undecided between"
    ]
    if front.points.spread is None:
        lines.append(
            f"{label} %: no variant has a second seed with another {label}, so its luck cannot be"
            " known and is left out: the chances speak of latency alone; seed=0,1,2 adds it"
        )
    else:
        lines.append(
            f"{label} %: mean ± standard error, from the seeds' spread pooled over the"
            f" study ({front.points.spread:.2f} points, {front.points.degrees} degrees of"
            " freedom)"
        )
    unknown = [
        v.label for v, e in zip(front.variants, front.points.log_error, strict=True) if e == 0
    ]
    if unknown:
        lines.append(f"latency of {len(unknown)} variants has no interval and is taken as exact")
    lines.append(
        "latency: log-normal from its 95 % interval; variants of one graph share a draw;"
        " that all ratios share one reference network is left out"
    )
    return lines


def _sets(front: Front) -> list[str]:
    words = {FRONT: "on the front", UNDECIDED: "undecided", DOMINATED: "dominated"}
    members = {
        state: [v.label for i, v in enumerate(front.variants) if front.status(i) == state]
        for state in words
    }
    measured = ", ".join(front.variants[i].label for i in front.measured)
    sets = [
        f"{words[state]} ({len(names)}): {', '.join(names[:12]) or 'none'}"
        + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        for state, names in members.items()
    ]
    return [*sets, f"front as measured: {measured}"]


def _knee_words(front: Front) -> list[str]:
    if front.knee is None:
        return []
    return [
        f"knee: {front.variants[front.knee].label}: before it {front.objective.label} is bought"
        " cheaply, after it dearly"
    ]


def _growth_words(front: Front) -> list[str]:
    if not front.growth:
        return []
    shown = front.growth[-GROWTH_SHOWN:]
    steps = ", ".join(f"{m.share:.0%} after {m.runs} ({m.hours:.2f} h)" for m in shown)
    return [f"hypervolume by variants whose seeds had all ended: {steps}"]


def budget_words(front: Front, budget: Budget) -> list[str]:
    """Return what fits the budget, else what comes nearest; nothing without a budget."""
    latency_max, score_min = budget
    if math.isinf(latency_max) and math.isinf(score_min):
        return []
    asked = " and ".join(_asked(front, budget))
    fitting = front.within(latency_max, score_min)
    if not fitting:
        near = nearest(front, budget)
        return [f"nothing has {asked}; nearest is {_point(front, near)}"]
    best = fitting[0]
    chance = chance_within(front, best, latency_max)
    sure = "" if math.isinf(latency_max) else f", latency within the budget by {chance:.0%} chance"
    return [
        f"{len(fitting)} of {len(front.variants)} have {asked}; the most accurate is"
        f" {_point(front, best)}{sure}"
    ]


def nearest(front: Front, budget: Budget) -> int:
    """Return the variant that misses the budget by the least, in shares of its bounds."""
    latency_max, score_min = budget

    def miss(i: int) -> float:
        ms, score = front.values[i]
        over = max(0.0, ms / latency_max - 1)
        under = max(0.0, 1 - score / score_min) if score_min > 0 else 0.0
        return over + under

    return min(range(len(front.variants)), key=lambda i: (miss(i), -front.values[i][1]))


def chance_within(front: Front, i: int, latency_max: float) -> float:
    """Return the chance that a variant's latency is within the budget, from its interval."""
    drawn = draw_latency(front.points, 4000, np.random.default_rng(0))[:, i]
    return float((drawn <= latency_max).mean())


def _asked(front: Front, budget: Budget) -> list[str]:
    latency_max, score_min = budget
    parts = [] if math.isinf(latency_max) else [f"latency <= {latency_max:g} ms"]
    return (
        parts if math.isinf(score_min) else [*parts, f"{front.objective.label} >= {score_min:g} %"]
    )


def _point(front: Front, i: int) -> str:
    ms, score = front.values[i]
    return f"{front.variants[i].label}: {score:.2f} % at {number(ms, ms_digits(ms))} ms"


def _front_dict(results: Results, front: Front, budget: Budget) -> dict[str, Any]:
    fitting: Sequence[int] = front.within(*budget)
    runs = advice(front, results)
    return {
        "place": front.place,
        "pooled_spread": front.points.spread,
        "variants": [_variant_dict(front, i) for i in range(len(front.variants))],
        "front_as_measured": [front.variants[i].label for i in front.measured],
        "knee": None if front.knee is None else front.variants[front.knee].label,
        "within_budget": [front.variants[i].label for i in fitting],
        "hypervolume": [vars(moment) for moment in front.growth],
        "next": [vars(one) for one in runs],
        "next_command": next_command(results, len(runs)) if runs else None,
    }


def _variant_dict(front: Front, i: int) -> dict[str, Any]:
    variant = front.variants[i]
    assert variant.latency is not None
    return {
        "label": variant.label,
        "settings": variant.settings,
        front.objective.name: float(front.points.score[i]),
        "seeds": list(variant.seeds),
        "latency_ms": variant.latency.ms,
        "latency_interval": [variant.latency.low, variant.latency.high],
        "chance": float(front.chances.front[i]),
        f"chance_by_{front.objective.name}_alone": float(front.chances.by_score[i]),
        "chance_by_latency_alone": float(front.chances.by_latency[i]),
        "status": front.status(i),
    }
