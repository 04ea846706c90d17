"""The final table's columns as text, shared by the terminal and the report."""

from collections.abc import Callable
from dataclasses import dataclass

from analysis.findings import Findings
from analysis.results import Results
from analysis.texts import MISSING, latency_text, number, ratio_text, score_text
from analysis.variants import Variant, short_names

ON_FRONT = "*"
DEPLOYED = "parameters of the deployed network"
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
        *([] if found.measured_only else _front_column(found)),
        *_setting_columns(results, found),
        *([] if found.measured_only else _score_columns(found)),
        *_latency_columns(found),
        _column(found, "Params M", DEPLOYED, lambda v: number(v.params_m, 2)),
        _column(found, "MACs M", "multiply-adds", lambda v: number(v.macs_m, 1)),
        *_twin_column(found),
        *_state_column(found),
    ]


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
    places = {latency.place for latency in timed}
    columns = [
        _column(
            *(found, "latency ms", f"{meaning} ({', '.join(sorted(places)) or 'not measured'})"),
            lambda v: latency_text(v.latency),
        ),
        _column(
            *(found, "ratio", "latency over that of the reference network, with its 95 % interval"),
            lambda v: ratio_text(v.latency),
        ),
    ]
    if len(places) > 1:
        columns.append(_column(found, "device", "and protocol", _place, numeric=False))
    return columns


def _place(variant: Variant) -> str:
    return variant.latency.place if variant.latency else MISSING


def _twin_column(found: Findings) -> list[Column]:
    names = found.graph_names
    cells = tuple(names.get(i, "") for i in range(len(found.variants)))
    meaning = "variants with one letter deploy to one graph"
    return [Column("twins", meaning, cells, numeric=False)] if names else []


def _state_column(found: Findings) -> list[Column]:
    normal = "measured" if found.measured_only else "finished"
    if all(v.state == normal for v in found.variants):
        return []
    meaning = f"what became of runs that are not {normal}"
    cells = ("" if v.state == normal else v.state for v in found.variants)
    return [Column("state", meaning, tuple(cells), numeric=False)]
