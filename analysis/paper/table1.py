"""Table 1 and Figure 2 as sheets: what the 32 operators take, beside the paper's times."""

from collections.abc import Mapping, Sequence

from analysis.paper.operators import COMMAND, MODULES, Pair, is_concat_again
from analysis.paper.sheet import Sheet
from analysis.paper.tables import read_csv
from analysis.texts import bounded, ms_digits
from repghost.latency.statistics import Interval

BATCHES = (1, 2, 8, 32)


def operator_sheets(devices: Mapping[str, Sequence[Pair]], notes: Sequence[str]) -> list[Sheet]:
    """Return Table 1 and Figure 2 of each device."""
    sheets = [make(pairs) for pairs in devices.values() for make in (_table1, _figure2)]
    return [*sheets, *([Sheet("Profiles that were left out", (), (), notes)] if notes else [])]


def paper_ms(batch: int) -> tuple[float, float] | None:
    """Return the paper's times of the concatenations and the adds; None for another batch size."""
    if batch not in BATCHES:
        return None
    records = read_csv("table1_concat_vs_add.csv")
    concat, add = (float(record[f"latency_ms_bs{batch}"]) for record in records)
    return concat, add


def evidence(pairs: Sequence[Pair]) -> str:
    """Return device, rounds, versions and commits behind the pairs."""
    ones = [one for pair in pairs for one in (pair.concat, pair.add)]
    rounds, mnn, commits = (
        ", ".join(sorted({str(getattr(one, name)) for one in ones}))
        for name in ("rounds", "mnn_version", "commit")
    )
    how = "the two in the same rounds" if all(p.together for p in pairs) else "not interleaved"
    return (
        f"{ones[0].device}; one thread; n = {rounds} rounds, {how}; medians with 95 % intervals;"
        f" MNN {mnn}; commit {commits}"
    )


def _table1(pairs: Sequence[Pair]) -> Sheet:
    inside = [one.overhead.inside_us.value for p in pairs for one in (p.concat, p.add)]
    again = "; ".join(f"{pair.again_ms.value:.3g} ms at {pair.batch}" for pair in pairs)
    counts = {sum(map(is_concat_again, pair.concat.operators)) for pair in pairs}
    notes = [
        f"{evidence(pairs)}. The paper timed on an ARM phone.",
        "Nothing is subtracted for the callbacks that tell the times: each operator's has"
        f" {min(inside):.1f} to {max(inside):.1f} µs of them.",
    ]
    if counts != {0}:
        notes.append(
            f"Not counted: MNN builds {_range(counts)} of the concatenations a second time, for"
            f" the mean of an SE block ({again})."
        )
    missing = [str(batch) for batch in BATCHES if batch not in {pair.batch for pair in pairs}]
    if missing:
        notes.append(f"not measured: batch size {', '.join(missing)}; {COMMAND}")
    headings = ("batch", "concat ms", "add ms", "concat / add", "paper ms", "paper")
    title = f"Table 1: the {MODULES} concatenations of GhostNet 1.0x against {MODULES} adds"
    return Sheet(title, headings, [_time_cells(pair) for pair in pairs], notes)


def _time_cells(pair: Pair) -> tuple[str, ...]:
    concat, add = (bounded(*group.ms, ms_digits(group.ms.value)) for group in pair.groups)
    paper = paper_ms(pair.batch)
    printed = paper and (f"{paper[0]:g} / {paper[1]:g}", f"{paper[0] / paper[1]:.2f}")
    return (str(pair.batch), concat, add, bounded(*pair.ratio, 2), *(printed or ("-", "-")))


def _figure2(pairs: Sequence[Pair]) -> Sheet:
    notes = [
        "Shares are of the time of all operators of a network; the difference is in points. The"
        " paper's text gives 5 to 8 % for the adds; its other shares are in the picture alone."
    ]
    headings = ("batch", "concat %", "add %", "difference", "network ms, concat", "network ms, add")
    title = f"Figure 2: the share of the {MODULES} operators in the whole network"
    return Sheet(title, headings, [_share_cells(pair) for pair in pairs], notes)


def _share_cells(pair: Pair) -> tuple[str, ...]:
    concat, add = pair.groups
    totals = (pair.concat.total_ms, pair.add.total_ms)
    return (
        str(pair.batch),
        *(percent(share) for share in (concat.share, add.share, pair.share_difference)),
        *(f"{ms:.{ms_digits(ms)}f}" for ms in totals),
    )


def percent(share: Interval) -> str:
    """Return a share of 1 in percent with its interval."""
    value, low, high = (100 * part for part in share)
    return bounded(value, low, high, 1)


def _range(counts: set[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
