"""The latencies of Tables 3, 5 and 7 as ratios to RepGhostNet 0.5x, beside the paper's."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from analysis.paper.intervals import LEAST, ONE, holds, quotient, spearman_interval
from analysis.paper.measured import Timing, by_device, chosen_devices, timings
from analysis.paper.sheet import Sheet
from analysis.paper.tables import BASE, TABLES, PaperRow, paper_rows
from analysis.texts import bounded, ms_digits
from repghost.latency.statistics import Interval
from repghost.models.paper import ENTRIES
from repghost.models.spec import ModelSpec

Timings = Mapping[ModelSpec, Timing]
Pair = tuple[PaperRow, Timing]
MEASURED_BY = {table: f"+sweeps={table.lower().replace(' ', '')}" for table in TABLES}
WITHIN, OF_SHORTCUT = 0.05, 0.04


@dataclass(frozen=True)
class Claim:
    """Two networks whose ratio the paper's text states, and how near to it ours should be.

    `target` is the ratio that ours should have within `tolerance`: the paper's where it is None.
    """

    above: str
    below: str
    tolerance: float = WITHIN
    target: float | None = None


# Sections 4.1 and 4.3: how much faster RepGhostNet is, and that a shortcut costs next to nothing.
CLAIMS = (
    Claim("ghostnet-0.5x", BASE),
    Claim("ghostnet-1.0x", "repghostnet-1.0x"),
    Claim("mobilenetv3-large-0.75x", "repghostnet-1.0x"),
    Claim("ghost-res50-s4", "repghost-res50-s2"),
    *(
        Claim(f"repghostnet-{width}x", f"repghostnet-{width}x-no-shortcut", OF_SHORTCUT, 1.0)
        for width in ("0.5", "1.0", "1.5", "2.0")
    ),
)


def latency_sheets(outputs: Path, device: str | None) -> list[Sheet]:
    """Return the sheets of every device that has a latency, or of those that `device` names.

    Raises:
        ValueError: nothing of the paper was measured below `outputs`, or not on this device.
    """
    found, unread = timings(outputs)
    wanted = {row.spec for row in paper_rows(*TABLES)}
    devices = by_device([one for one in found if one.spec in wanted])
    if not devices:
        told = "".join(f"\n{sentence}" for sentence in unread)
        raise ValueError(
            f"no network of the paper was timed below {outputs} (paired, 224 pixels, batch 1, 1000"
            f" classes); measure them with: {_command('Table 3')}{told}"
        )
    sheets = [
        sheet for name in chosen_devices(devices, device) for sheet in device_sheets(devices[name])
    ]
    return [*sheets, *([Sheet("Studies that could not be read", (), (), unread)] if unread else [])]


def device_sheets(found: Timings) -> list[Sheet]:
    """Return one device's sheets: a table each, then the pairs that the text claims."""
    return [*(_sheet(table, found) for table in TABLES), _claims(found)]


def _sheet(table: str, found: Timings) -> Sheet:
    rows = [row for row in paper_rows(table) if row.latency_ms is not None]
    pairs = [(row, found[row.spec]) for row in rows if row.spec in found]
    missing = [row.label for row in rows if row.spec not in found]
    headings = ("network", "ms here", "ratio here", "paper ms", "paper ratio", "deviation")
    notes = [
        *([_evidence(pairs)] if pairs else []),
        *(_summary(pairs) if table == "Table 3" else []),
        *([f"not measured: {', '.join(missing)}; {_command(table)}"] if missing else []),
    ]
    title = f"{table}: latency as ratio to RepGhostNet 0.5x, here and in the paper"
    return Sheet(title, headings, [_cells(*pair) for pair in pairs], notes)


def _cells(row: PaperRow, timing: Timing) -> tuple[str, ...]:
    digits = ms_digits(timing.ms.value)
    return (
        row.label,
        bounded(*timing.ms, digits),
        bounded(*timing.ratio, 3),
        f"{row.latency_ms:.1f}",
        f"{row.ratio:.3f}",
        f"{100 * _deviation(row, timing):+.1f} %",
    )


def _deviation(row: PaperRow, timing: Timing) -> float:
    assert row.ratio is not None
    return timing.ratio.value / row.ratio - 1


def _evidence(pairs: Sequence[Pair]) -> str:
    """Return device, protocol, n, versions and commits of the rows."""
    devices, mnn, commits = (
        ", ".join(sorted({getattr(timing, name) for _, timing in pairs}))
        for name in ("device", "mnn", "commit")
    )
    return (
        f"{devices}; one thread, batch 1, 224 pixels, paired with RepGhostNet 0.5x in interleaved"
        f" rounds; medians with 95 % intervals; n = {len(pairs)} networks; MNN {mnn}; commit"
        f" {commits}. The paper timed on an ARM phone; its ratio is to its own RepGhostNet 0.5x."
    )


def _summary(pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield how near the ratios are to the paper's, RepGhostNet 0.5x itself not counted."""
    others = [pair for pair in pairs if pair[0].name != BASE]
    if others:
        sizes = [abs(_deviation(*pair)) for pair in others]
        worst = others[sizes.index(max(sizes))]
        near = sum(size <= WITHIN for size in sizes)
        yield (
            f"{near} of {len(others)} ratios are within 5 % of the paper's; median deviation"
            f" {100 * median(sizes):.1f} %, largest {100 * _deviation(*worst):+.1f} %"
            f" ({worst[0].label})."
        )
    yield _rank_words(pairs)


def _rank_words(pairs: Sequence[Pair]) -> str:
    if len(pairs) < LEAST:
        return f"Rank correlation with the paper: needs at least {LEAST} networks."
    ours = [timing.ratio.value for _, timing in pairs]
    rank = spearman_interval(ours, [row.latency_ms or math.nan for row, _ in pairs])
    return (
        f"Spearman's rank correlation with the paper: {bounded(*rank, 3)} (n = {len(pairs)};"
        " 95 % interval: bootstrap over the networks)."
    )


def _claims(found: Timings) -> Sheet:
    shown = [claim for claim in CLAIMS if _ratio(claim.above, found) and _ratio(claim.below, found)]
    labels = {row.name: row.label for row in paper_rows(*reversed(TABLES))}
    left = [f"{labels[c.above]} / {labels[c.below]}" for c in CLAIMS if c not in shown]
    notes = [
        "Each is a quotient of two ratios to RepGhostNet 0.5x (which is 1 itself), their intervals"
        " combined on the log scale as independent. Holds: the whole interval is within the bounds."
    ]
    if left:
        notes.append(f"not measured: {'; '.join(left)}")
    headings = ("latencies", "here", "paper", "expected", "holds")
    rows = [_claim_cells(claim, found, labels) for claim in shown]
    return Sheet("What the paper's text claims", headings, rows, notes)


def _claim_cells(claim: Claim, found: Timings, labels: Mapping[str, str]) -> tuple[str, ...]:
    above, below = _ratio(claim.above, found), _ratio(claim.below, found)
    assert above is not None and below is not None
    ratio = quotient(above, below)
    paper = _paper_ms(claim.above) / _paper_ms(claim.below)
    bounds = f"{'paper' if claim.target is None else f'{claim.target:g}'} ± {claim.tolerance:.0%}"
    return (
        f"{labels[claim.above]} / {labels[claim.below]}",
        bounded(*ratio, 3),
        f"{paper:.3f}",
        bounds.replace("%", " %"),
        holds(ratio, paper if claim.target is None else claim.target, claim.tolerance),
    )


def _ratio(name: str, found: Timings) -> Interval | None:
    """Return an entry's ratio to RepGhostNet 0.5x, which is 1 by definition for itself."""
    if name == BASE:
        return ONE
    timing = found.get(ENTRIES[name].spec)
    return timing.ratio if timing else None


def _paper_ms(name: str) -> float:
    return next(row.latency_ms for row in paper_rows(*TABLES) if row.name == name) or math.nan


def _command(table: str) -> str:
    return f"python launch.py -m {MEASURED_BY[table]} data=imagenet recipe=none"
