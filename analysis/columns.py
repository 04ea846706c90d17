"""The final table's columns as text, shared by the terminal and the report."""

from collections.abc import Callable
from dataclasses import dataclass

from analysis.findings import Findings
from analysis.results import Results
from analysis.variants import Estimate, Latency, Variant, short_names

ON_FRONT = "*"
MISSING = "-"
SEPARATE_KEYS = 3  # more swept keys than these share one column


@dataclass(frozen=True)
class Column:
    """A heading, what it means, and a text for each variant."""

    name: str
    meaning: str
    cells: tuple[str, ...]
    numeric: bool = True


def columns(results: Results, found: Findings) -> list[Column]:
    """Return the columns from left to right; those that would say nothing are left out."""
    return [
        *_front_column(found),
        *_setting_columns(results, found),
        *_score_columns(found),
        *_latency_columns(found),
        _column(found, "Params M", "parameters of the network", lambda v: number(v.params_m, 2)),
        _column(found, "MACs M", "multiply-adds", lambda v: number(v.macs_m, 1)),
        *_twin_column(found),
        *_state_column(found),
    ]


def number(value: float | None, digits: int) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"


def score_text(score: Estimate | None) -> str:
    """Return "98.89", with more than one seed "98.89 ± 0.12", "-" where there is no score."""
    if score is None:
        return MISSING
    spread = "" if score.std is None else f" ± {score.std:.2f}"
    return f"{score.mean:.2f}{spread}"


def latency_text(latency: Latency | None) -> str:
    """Return "1.234 [1.201, 1.260]"; without an interval the median alone."""
    if latency is None:
        return MISSING
    digits = 3 if latency.ms < 10 else 2 if latency.ms < 100 else 1
    if latency.low is None or latency.high is None:
        return number(latency.ms, digits)
    interval = f"[{number(latency.low, digits)}, {number(latency.high, digits)}]"
    return f"{number(latency.ms, digits)} {interval}"


def _column(
    found: Findings, name: str, meaning: str, cell: Callable[[Variant], str], numeric: bool = True
) -> Column:
    return Column(name, meaning, tuple(map(cell, found.variants)), numeric)


def _front_column(found: Findings) -> list[Column]:
    marks = tuple(ON_FRONT if i in found.front else "" for i in range(len(found.variants)))
    meaning = "on the Pareto front: no variant is both faster and more accurate"
    return [Column(ON_FRONT, meaning, marks, numeric=False)]


def _setting_columns(results: Results, found: Findings) -> list[Column]:
    if not 0 < len(results.swept) <= SEPARATE_KEYS:
        return [_column(found, "variant", "the swept settings", lambda v: v.label, numeric=False)]
    names = short_names(results.swept)
    return [
        Column(names[key], key, tuple(v.settings[key] for v in found.variants), numeric=False)
        for key in results.swept
    ]


def _score_columns(found: Findings) -> list[Column]:
    spread = any(v.top1 and v.top1.std is not None for v in found.variants)
    meaning = "percent, mean ± standard deviation over seeds" if spread else "percent, one seed"
    columns = [
        _column(found, "top-1 %", meaning, lambda v: score_text(v.top1)),
        _column(found, "top-5 %", "percent", lambda v: number(v.top5.mean if v.top5 else None, 2)),
    ]
    if any(len(v.rows) > 1 for v in found.variants):
        columns.insert(0, _column(found, "seeds", "seeds finished", lambda v: v.seed_count))
    return columns


def _latency_columns(found: Findings) -> list[Column]:
    timed = [v.latency for v in found.variants if v.latency]
    interval = any(latency.low is not None for latency in timed)
    meaning = "median in ms with its 95 % interval" if interval else "in ms, no interval"
    places = {f"{latency.device} {latency.protocol}".strip() for latency in timed}
    columns = [
        _column(
            *(found, "latency ms", f"{meaning} ({', '.join(sorted(places)) or 'not measured'})"),
            lambda v: latency_text(v.latency),
        ),
        _column(
            *(found, "ratio", "latency over that of the reference network"),
            lambda v: number(v.latency.ratio if v.latency else None, 3),
        ),
    ]
    if len(places) > 1:
        columns.append(_column(found, "device", "and protocol", _place, numeric=False))
    return columns


def _place(variant: Variant) -> str:
    latency = variant.latency
    return f"{latency.device} {latency.protocol}" if latency else MISSING


def _twin_column(found: Findings) -> list[Column]:
    names = found.graph_names
    cells = tuple(names.get(i, "") for i in range(len(found.variants)))
    meaning = "variants with one letter deploy to one graph"
    return [Column("twins", meaning, cells, numeric=False)] if names else []


def _state_column(found: Findings) -> list[Column]:
    if all(v.state == "finished" for v in found.variants):
        return []
    meaning = "what happened to runs that did not finish"
    cells = ("" if v.state == "finished" else v.state for v in found.variants)
    return [Column("state", meaning, tuple(cells), numeric=False)]
