"""`python -m analysis paper STUDY`: the paper's tables beside what one study has of them so far."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.paper.measured import as_printed, data_of_run, spec_of_run
from analysis.paper.sheet import Sheet
from analysis.paper.table4 import table4_sheet
from analysis.paper.tables import BASE, paper_rows, read_csv
from analysis.results import Results, load
from analysis.texts import MISSING, listed, network_name, number, ratio_text, score_text
from analysis.variants import Variant, group
from repghost.models.paper import ENTRIES
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.models.spec import ModelSpec

TABLES = ("Table 3", "Table 5", "Table 6", "Table 7")
HEADINGS = (
    *("network", "seeds", "top-1 here", "paper", "difference", "to base", "paper's"),
    *("ratio here", "paper", "deviation"),
)
RELU = " (+ReLU)"  # behind the branches of Table 6's last row: one stands before the add as well


@dataclass(frozen=True)
class Printed:
    """A row as the paper prints it: top-1 on ImageNet in percent, latency over that of `BASE`."""

    label: str
    spec: ModelSpec
    top1: float | None
    ratio: float | None


Pair = tuple[Printed, Variant]


def study_sheets(study: Path) -> list[Sheet]:
    """Return each table that the study has a network of; of detectors that is Table 4.

    Raises:
        ValueError: there is no results.csv, or no network of a table in it.
    """
    results = load(study)
    if results.detects:
        return [table4_sheet(results)]
    ours = _networks(results)
    tables = {table: list(printed_rows(table)) for table in TABLES}
    sheets = [
        _sheet(results, table, rows, ours)
        for table, rows in tables.items()
        if any(row.spec in ours for row in rows)
    ]
    if not sheets:
        raise ValueError(
            f"{study / 'results.csv'}: none of its networks is in a table of the paper (Table 6 is"
            " of RepGhostNet 0.5x); see python launch.py -m +sweeps=table6"
        )
    return sheets


def printed_rows(table: str) -> Iterator[Printed]:
    """Yield a table's rows in the paper's order."""
    if table != "Table 6":
        for row in paper_rows(table):
            yield Printed(row.label, row.spec, row.top1, row.ratio)
        return
    for record in read_csv("table6_reparam.csv"):
        branches, also, _ = record["reparam"].partition(RELU)
        spec = RepGhostNetSpec(reparam=branches, relu="both" if also else "after_add")
        yield Printed(record["variant"], spec, float(record["top1"]), None)


def _networks(results: Results) -> dict[ModelSpec, Variant]:
    """Return the study's variants by network, as it is on ImageNet; of one network the first."""
    found: dict[ModelSpec, Variant] = {}
    for variant in group(results):
        spec = spec_of_run(results.runs_dir / variant.rows[0].key / "config.yaml")
        if spec is not None:
            found.setdefault(as_printed(spec), variant)
    return found


def _sheet(
    results: Results, table: str, rows: Sequence[Printed], ours: dict[ModelSpec, Variant]
) -> Sheet:
    pairs = [(row, ours[row.spec]) for row in rows if row.spec in ours]
    base = next((pair for pair in pairs if pair[0].spec == ENTRIES[BASE].spec), None)
    missing = [row.label for row in rows if row.spec not in ours]
    return Sheet(
        f"{table}: {results.study} and the paper",
        HEADINGS,
        [_cells(*pair, base) for pair in pairs],
        tuple(_notes(results, pairs, base, missing)),
    )


def _cells(row: Printed, variant: Variant, base: Pair | None) -> tuple[str, ...]:
    ours = variant.latency
    ratio = row.ratio if ours and network_name(ours.reference) == BASE else None
    deviation = ours.ratio / ratio - 1 if ours and ours.ratio and ratio else None
    return (
        *(row.label, variant.seed_count, score_text(variant.score), number(row.top1, 1)),
        _points(_less(_mean(variant), row.top1)),
        *_to_base(row, variant, base),
        *(ratio_text(ours), number(row.ratio, 3)),
        MISSING if deviation is None else f"{100 * deviation:+.1f} %",
    )


def _to_base(row: Printed, variant: Variant, base: Pair | None) -> tuple[str, str]:
    """Return by how many points a row is above the base's, here and in the paper."""
    if base is None or base[0] is row:
        return MISSING, MISSING
    printed, same = base
    here = _points(_less(_mean(variant), _mean(same)), 2)
    return here, _points(_less(row.top1, printed.top1))


def _mean(variant: Variant) -> float | None:
    return variant.score.mean if variant.score else None


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _points(value: float | None, digits: int = 1) -> str:
    return MISSING if value is None else f"{value:+.{digits}f}"


def _notes(
    results: Results, pairs: Sequence[Pair], base: Pair | None, missing: Sequence[str]
) -> Iterator[str]:
    keys = [row.key for _, variant in pairs for row in variant.finished]
    trained = sorted({data_of_run(results.runs_dir / key / "config.yaml") for key in keys})
    if trained:
        yield (
            f"Trained on {listed(trained)}, the paper on ImageNet; a difference of top-1 says"
            " something only where both are the same. Means over seeds, with standard deviation."
        )
    if base:
        yield f"to base: points above {base[0].label}, here and in the paper."
    timed = [variant.latency for _, variant in pairs if variant.latency]
    places = sorted({f"{one.place} beside {one.reference}" for one in timed})
    if places:
        yield (
            f"ratio: {'; '.join(places)} (its name holds the input's shape, the paper's"
            f" is 1x3x224x224), with 95 % intervals; the paper's is to its own {BASE}, on a phone."
        )
    if missing:
        yield f"not in the study: {listed(missing)}"
