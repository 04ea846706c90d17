"""The final table's columns as text, shared by the terminal and the report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

from analysis.findings import Findings
from analysis.results import Results
from analysis.texts import (
    MISSING,
    latency_text,
    listed,
    network_name,
    number,
    ratio_text,
    score_text,
)
from analysis.variants import Latency, Variant, short_names

ON_FRONT = "*"
DEPLOYED = "parameters of the deployed network"
SEPARATE_KEYS = 3  # more swept keys than these share one column


@dataclass(frozen=True)
class Column:
    """A heading, what it means, and a text for each variant.

    `explained`: its meaning stands below the table; `further`: of a device that is not the first.
    """

    name: str
    meaning: str
    cells: tuple[str, ...]
    numeric: bool = True
    explained: bool = False
    further: bool = False

    @property
    def folded(self) -> Self:
        """The column with intervals on a line of their own."""
        return replace(self, cells=tuple(cell.replace(" [", "\n[") for cell in self.cells))


def columns(results: Results, found: Findings, ratios: bool = False) -> list[Column]:
    """Return the columns from left to right; those that would say nothing are left out.

    `ratios`: with a column also for the ratios on each further device.
    """
    return [
        *([] if found.measured_only else _front_column(found)),
        *_setting_columns(results, found),
        *([] if found.measured_only else _score_columns(found)),
        *_latency_columns(found),
        *_backbone_columns(results, found),
        *(column for name in results.devices for column in _further_columns(found, name, ratios)),
        _column(found, "Params M", DEPLOYED, lambda v: number(v.params_m, 2)),
        _column(found, "MACs M", "multiply-adds", lambda v: number(v.macs_m, 1)),
        *_twin_column(found),
        *_state_column(found),
    ]


def _column(
    found: Findings,
    name: str,
    meaning: str,
    cell: Callable[[Variant], str],
    numeric: bool = True,
    explained: bool = False,
) -> Column:
    return Column(name, meaning, tuple(map(cell, found.variants)), numeric, explained)


def _front_column(found: Findings) -> list[Column]:
    marks = tuple(ON_FRONT if i in found.front else "" for i in range(len(found.variants)))
    meaning = "on the Pareto front: no variant is both faster and more accurate"
    return [Column(ON_FRONT, meaning, marks, numeric=False, explained=bool(found.front))]


def _setting_columns(results: Results, found: Findings) -> list[Column]:
    if not 0 < len(results.swept) <= SEPARATE_KEYS:
        return [_column(found, "variant", "the swept settings", lambda v: v.label, numeric=False)]
    names = short_names(results.swept)
    return [
        Column(names[key], key, tuple(v.settings[key] for v in found.variants), numeric=False)
        for key in results.swept
    ]


def _score_columns(found: Findings) -> list[Column]:
    scored, label = [v.score for v in found.variants if v.score], found.objective.label
    spread = any(score.std is not None for score in scored)
    meaning = "percent, mean ± standard deviation over seeds" if spread else "percent, one seed"
    columns = [
        _column(
            *(found, f"{label} %", meaning),
            lambda v: score_text(v.score),
            explained=bool(scored),
        ),
        *_beside_columns(found),
    ]
    if any(len(v.rows) > 1 for v in found.variants):
        columns.insert(0, _column(found, "seeds", "seeds finished", lambda v: v.seed_count))
    return columns


def _beside_columns(found: Findings) -> list[Column]:
    """Return the other scores; those of masks only where there are any."""
    return [
        _column(found, f"{label} %", "percent", partial(_beside, name=name))
        for name, label in found.objective.shown
        if name != "mask_map" or any(name in v.beside for v in found.variants)
    ]


def _beside(variant: Variant, name: str) -> str:
    score = variant.beside.get(name)
    return number(score.mean if score else None, 2)


def _backbone_columns(results: Results, found: Findings) -> list[Column]:
    """Return a detector's backbone beside it: timed alone at the same size."""
    if not any(row.of_detector.get("backbone_ms") is not None for row in results.rows):
        return []
    ms = partial(_of_detector, name="backbone_ms", factor=1.0, digits=3)
    share = partial(_of_detector, name="backbone_share", factor=100.0, digits=1)
    return [
        _column(found, "backbone ms", "the backbone's features, timed alone", ms),
        _column(found, "share %", "of the backbone in the latency", share),
    ]


def _of_detector(variant: Variant, name: str, factor: float, digits: int) -> str:
    found = (row.of_detector.get(name) for row in variant.rows)
    value = next((one for one in found if one is not None), None)
    return number(None if value is None else factor * value, digits)


def _latency_columns(found: Findings) -> list[Column]:
    timed = [v.latency for v in found.variants if v.latency]
    paired = any(latency.ratio is not None for latency in timed)
    ratio = f"latency over that of {_reference(timed)}, with its 95 % interval"
    columns = [
        _column(
            *(found, "latency ms", _ms_meaning(timed)),
            lambda v: latency_text(v.latency),
            explained=True,
        ),
        _column(found, "ratio", ratio, lambda v: ratio_text(v.latency), explained=paired),
    ]
    if len({latency.place for latency in timed}) > 1:
        columns.append(_column(found, "device", "and protocol", _place, numeric=False))
    return columns


def _ms_meaning(timed: Sequence[Latency]) -> str:
    """Return what a time in ms is: with a ratio it is one that can be compared between days."""
    if not timed:
        return "not measured yet"
    places = ", ".join(sorted({latency.place for latency in timed}))
    if any(latency.ratio is not None for latency in timed):
        return (
            f"ratio × the long-run median of {_reference(timed)}, comparable between days,"
            f" with the ratio's 95 % interval ({places})"
        )
    interval = any(latency.low is not None for latency in timed)
    return (
        f"{'median in ms with its 95 % interval' if interval else 'in ms, no interval'} ({places})"
    )


def _reference(timed: Sequence[Latency]) -> str:
    names = sorted({network_name(latency.reference) for latency in timed if latency.reference})
    return listed(names) or "the reference network"


def _further_columns(found: Findings, name: str, ratios: bool) -> list[Column]:
    latencies = [v.further.get(name) for v in found.variants]
    profiles = listed(sorted({latency.device for latency in latencies if latency}))
    meaning = f"the same on {profiles}" if profiles else "not measured yet"
    shown = [Column(f"{name} ms", meaning, _cells(latency_text, latencies), explained=True)]
    if ratios and profiles:
        ratio = Column(f"{name} ratio", f"on {profiles}", _cells(ratio_text, latencies))
        shown.append(ratio)
    return [replace(column, further=True) for column in shown]


def _cells(
    text: Callable[[Latency | None], str], latencies: Sequence[Latency | None]
) -> tuple[str, ...]:
    return tuple(map(text, latencies))


def _place(variant: Variant) -> str:
    return variant.latency.place if variant.latency else MISSING


def _twin_column(found: Findings) -> list[Column]:
    names = found.graph_names
    cells = tuple(names.get(i, "") for i in range(len(found.variants)))
    meaning = "variants with one letter deploy to one graph"
    if not names:
        return []
    return [Column("twins", meaning, cells, numeric=False, explained=True)]


def _state_column(found: Findings) -> list[Column]:
    normal = "measured" if found.measured_only else "finished"
    if all(v.state == normal for v in found.variants):
        return []
    meaning = f"what became of runs that are not {normal}"
    cells = ("" if v.state == normal else v.state for v in found.variants)
    return [Column("state", meaning, tuple(cells), numeric=False)]
