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
    timed = [(row, found[row.spec]) for row in rows if row.spec in found]
    pairs = [pair for pair in timed if pair[1].to_base]
    missing = [row.label for row in rows if row.spec not in found]
    headings = ("network", "ms here", "ratio here", "paper ms", "paper ratio", "deviation")
    notes = [
        *([_evidence(pairs)] if pairs else []),
        *(_summary(pairs) if table == "Table 3" else []),
        *_without_base([pair for pair in timed if pair not in pairs], table),
        *([f"not measured: {', '.join(missing)}; {_command(table)}"] if missing else []),
    ]
    title = f"{table}: latency as ratio to RepGhostNet 0.5x, here and in the paper"
    return Sheet(title, headings, [_cells(*pair) for pair in pairs], notes)


def _without_base(pairs: Sequence[Pair], table: str) -> Iterator[str]:
    """Yield what is missing for the ratios of networks that were paired with another one."""
    references: dict[str, list[str]] = {}
    for row, timing in pairs:
        references.setdefault(timing.reference or "a network without a name", []).append(row.label)
    for reference, labels in references.items():
        yield (
            f"left out: {', '.join(labels)}: paired with {reference}, with which RepGhostNet 0.5x"
            f" was not paired on this device; time that too, or these with: {_command(table)}"
            f" latency.reference={BASE}"
        )


def _cells(row: PaperRow, timing: Timing) -> tuple[str, ...]:
    digits = ms_digits(timing.ms.value)
    return (
        row.label,
        bounded(*timing.ms, digits),
        bounded(*_to_base(timing), 3),
        f"{row.latency_ms:.1f}",
        f"{row.ratio:.3f}",
        f"{100 * _deviation(row, timing):+.1f} %",
    )


def _deviation(row: PaperRow, timing: Timing) -> float:
    assert row.ratio is not None
    return _to_base(timing).value / row.ratio - 1


def _to_base(timing: Timing) -> Interval:
    ratio = timing.to_base
    assert ratio is not None, timing.spec
    return ratio


def _evidence(pairs: Sequence[Pair]) -> str:
    """Return device, protocol, n, versions and commits of the rows."""
    devices, mnn, commits = (
        ", ".join(sorted({getattr(timing, name) for _, timing in pairs}))
        for name in ("device", "mnn", "commit")
    )
    return (
        f"{devices}; one thread, batch 1, 224 pixels, {_pairing(pairs)} in interleaved rounds;"
        f" 95 % intervals; ms: ratio × the long-run median of the network paired with; n ="
        f" {len(pairs)} networks; MNN {mnn}; commit {commits}. The paper timed on an ARM phone; its"
        " ratio is to its own RepGhostNet 0.5x."
    )


def _pairing(pairs: Sequence[Pair]) -> str:
    references = {timing.reference for _, timing in pairs}
    others = ", ".join(sorted(references - {BASE}))
    if not others:
        return "paired with RepGhostNet 0.5x"
    both = "RepGhostNet 0.5x or " if BASE in references else ""
    return (
        f"paired with {both}{others} (divided by RepGhostNet 0.5x's ratio to it, the intervals"
        " combined on the log scale)"
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
    ours = [_to_base(timing).value for _, timing in pairs]
    rank = spearman_interval(ours, [row.latency_ms or math.nan for row, _ in pairs])
    return (
        f"Spearman's rank correlation with the paper: {bounded(*rank, 3)} (n = {len(pairs)};"
        " 95 % interval: bootstrap over the networks)."
    )


def _claims(found: Timings) -> Sheet:
    ratios = [(claim, _claimed(claim, found)) for claim in CLAIMS]
    labels = {row.name: row.label for row in paper_rows(*reversed(TABLES))}
    left = [f"{labels[c.above]} / {labels[c.below]}" for c, ratio in ratios if ratio is None]
    notes = [
        "Each is a quotient of two ratios to one network (which is 1 itself), RepGhostNet 0.5x if"
        " no other is named above, their intervals combined on the log scale as independent. Holds:"
        " the whole interval is within the bounds."
    ]
    if left:
        notes.append(f"not measured: {'; '.join(left)}")
    headings = ("latencies", "here", "paper", "expected", "holds")
    rows = [_claim_cells(claim, ratio, labels) for claim, ratio in ratios if ratio]
    return Sheet("What the paper's text claims", headings, rows, notes)


def _claim_cells(claim: Claim, ratio: Interval, labels: Mapping[str, str]) -> tuple[str, ...]:
    paper = _paper_ms(claim.above) / _paper_ms(claim.below)
    bounds = f"{'paper' if claim.target is None else f'{claim.target:g}'} ± {claim.tolerance:.0%}"
    return (
        f"{labels[claim.above]} / {labels[claim.below]}",
        bounded(*ratio, 3),
        f"{paper:.3f}",
        bounds.replace("%", " %"),
        holds(ratio, paper if claim.target is None else claim.target, claim.tolerance),
    )


def _claimed(claim: Claim, found: Timings) -> Interval | None:
    """Return the claim's quotient: through a network that both were paired with, else through BASE.

    A common reference cancels out: RepGhostNet 0.5x is not needed then, nor its interval.
    """
    for reference in dict.fromkeys((BASE, *(timing.reference for timing in found.values()))):
        above, below = (_ratio(name, found, reference) for name in (claim.above, claim.below))
        if above and below:
            return quotient(above, below)
    above, below = (_base_ratio(name, found) for name in (claim.above, claim.below))
    return quotient(above, below) if above and below else None


def _ratio(name: str, found: Timings, reference: str) -> Interval | None:
    """Return an entry's ratio to a network that it was paired with, which is 1 for itself."""
    if name == reference:
        return ONE
    timing = found.get(ENTRIES[name].spec)
    return timing.ratio if timing and timing.reference == reference else None


def _base_ratio(name: str, found: Timings) -> Interval | None:
    if name == BASE:
        return ONE
    timing = found.get(ENTRIES[name].spec)
    return timing.to_base if timing else None


def _paper_ms(name: str) -> float:
    return next(row.latency_ms for row in paper_rows(*TABLES) if row.name == name) or math.nan


def _command(table: str) -> str:
    return f"python launch.py -m {MEASURED_BY[table]} data=imagenet recipe=none"
