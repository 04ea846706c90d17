"""A study's status on a terminal of any width."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from repghost.objective import in_common
from repghost.sweep.console.board import NO_VALUE
from repghost.sweep.console.status import Row, Status, counted_states
from repghost.sweep.ticket import TIMING

SHOWN = 40  # variants in the table; of more, some are only counted
WIDEST = 120  # columns of text that the table takes at most
NAME_WIDTH = 12  # a longer name may be folded
NAMED = 3
BY_INTEREST = ("running", "measuring", "preempted", "queued", TIMING)  # at work
STYLES = {
    "failed": "bold red",
    "running": "green",
    "measuring": "green",
    TIMING: "cyan",
    "preempted": "yellow",
}
NUMERIC = ("since", "epoch", "latency ms")
Texts = dict[str, str]  # by column


def page(status: Status, width: int, now: float, most: int | None = SHOWN) -> list[RenderableType]:
    """Return what is to be printed on `width` columns; with `most` None all variants.

    `now` is Unix time. Nothing in it is read as markup.
    """
    rows = chosen(status.rows, most)
    score = in_common(row.objective for row in rows).label
    texts = [_texts(row, now, f"{score} %") for row in rows]
    room = min(width, WIDEST) - _width(texts)
    beside = 0 < max([cell_len(row.reason) for row in rows], default=0) <= room
    return [
        Text(f"{status.study}: {_total(status)}", style="bold"),
        *_head(status),
        *([_table(rows, texts, beside, roomy=room >= 0)] if rows else []),
        *_not_shown(status.rows, rows),
        *([] if beside else _reasons(rows)),
        *_tracebacks(status, rows),
    ]


def print_page(parts: Sequence[RenderableType], console: Console) -> None:
    """Print a page; its lines, unlike its table, may be longer than the console: to be copied."""
    for part in parts:
        console.print(part, soft_wrap=not isinstance(part, Table))


def chosen(rows: Sequence[Row], most: int | None) -> list[Row]:
    """Return the rows to show: all, or of too many those that failed or are at work."""
    if most is None or len(rows) <= most:
        return list(rows)
    failed = [row for row in rows if row.state == "failed"]
    at_work = [row for row in rows if row.state in BY_INTEREST]
    few = failed[: max(most // 2, most - len(at_work))]
    return few + sorted(at_work, key=lambda row: BY_INTEREST.index(row.state))[: most - len(few)]


def in_words(seconds: float, *, coarse: bool = False) -> str:
    """Return a span of time for people, such as "45 s", "12 min", "3 h 20 min" or "2 d 4 h"."""
    seconds = max(0.0, seconds)
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return _two(minutes, 60, "h", "min", coarse)
    return _two(round(minutes / 60), 24, "d", "h", coarse)


def _two(amount: int, each: int, large: str, small: str, coarse: bool) -> str:
    whole, rest = divmod(amount, each)
    return f"{whole} {large} {rest} {small}" if rest and not coarse else f"{whole} {large}"


def counted(states: dict[str, int]) -> str:
    """Return how many there are of each state, in words."""
    return ", ".join(f"{count} {state}" for state, count in states.items())


def _total(status: Status) -> str:
    number = len(status.rows)
    if number == 0:
        return "no variant yet"
    return f"{number} variant{'s' if number > 1 else ''}: {counted(status.counts)}"


def _head(status: Status) -> list[Text]:
    lines = [("driver", _driver(status)), ("trained", _hours(status))]
    if status.requeues or status.preemptions:
        moves = f"{status.requeues} handed over anew, {status.preemptions} preempted"
        lines.append(("jobs", moves))
    lines += [("note", remark) for remark in status.remarks]
    return [Text.assemble((f"{name:<8}", "dim"), text) for name, text in lines]


def _driver(status: Status) -> str:
    if status.holder:
        return status.holder
    none = f"none ({status.killed} was killed)" if status.killed else "none"
    if not status.done:
        return f"{none}; to go on: `{status.command}`"
    cancelled = any(row.state == "cancelled" for row in status.rows)
    return f"{none}; to take up what was cancelled: `{status.command}`" if cancelled else none


def _hours(status: Status) -> str:
    gpus = f" ({status.hours * status.gpus:.1f} GPU hours)" if status.gpus else ""
    used = f"{in_words(status.hours * 3600)}{gpus}"
    if status.done:
        return used
    if status.left_s is None:
        return f"{used}; time left unknown"
    return f"{used}; about {in_words(status.left_s)} left, {status.slots} at a time"


def _texts(row: Row, now: float, score: str) -> Texts:
    epochs = f"{row.epoch}/{row.epochs}" if row.epochs else NO_VALUE
    return {
        "variant": row.variant,
        "state": row.state,
        "since": NO_VALUE if row.since is None else in_words(now - row.since, coarse=True),
        "job": row.job.rpartition("-")[2] or NO_VALUE,  # a local one begins with its date
        "node": row.node or NO_VALUE,
        "epoch": epochs,
        score: NO_VALUE if row.score is None else f"{row.score:.2f}",
        "latency ms": NO_VALUE if row.latency_ms is None else f"{row.latency_ms:.3f}",
    }


def _columns(texts: Sequence[Texts]) -> list[str]:
    """Return the columns that say something of at least one row."""
    names = list(texts[0]) if texts else []
    return [name for name in names if any(text[name] != NO_VALUE for text in texts)]


def _longest(texts: Sequence[Texts], name: str) -> int:
    return max(map(cell_len, [*name.split(), *(text[name] for text in texts)]))


def _width(texts: Sequence[Texts]) -> int:
    """Return what the columns take, each with two between it and the next."""
    return 2 + sum(_longest(texts, name) + 2 for name in _columns(texts))


def _table(
    rows: Sequence[Row], texts: Sequence[Texts], with_reasons: bool, *, roomy: bool
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, int(roomy), 0, 0), pad_edge=False)
    columns = _columns(texts)
    for name in columns:
        table.add_column(
            Text("\n".join(name.split())),
            justify="right" if name in NUMERIC or name.endswith("%") else "left",
            no_wrap=name != "variant",
            overflow="fold",
            min_width=min(_longest(texts, name), NAME_WIDTH),
        )
    if with_reasons:
        table.add_column("why", no_wrap=True)
    for row, text in zip(rows, texts, strict=True):
        reason = [Text(row.reason)] if with_reasons else []
        cells = [Text(text[name]) for name in columns]
        table.add_row(*cells, *reason, style=STYLES.get(row.state, ""))
    return table


def _not_shown(rows: Sequence[Row], shown: Sequence[Row]) -> list[Text]:
    whole, seen = (counted_states(row.state for row in some) for some in (rows, shown))
    left = {state: count - seen.get(state, 0) for state, count in whole.items()}
    rest = counted({state: count for state, count in left.items() if count})
    return [Text(f"not shown: {rest} (--all shows them)")] if rest else []


def _reasons(rows: Sequence[Row]) -> list[Text]:
    """Return every reason once, with the variants that have it."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.reason:
            by_reason.setdefault((row.state, row.reason), []).append(row.variant)
    return [
        Text.assemble((state, STYLES.get(state, "bold")), f" {_few(names)}: {reason}")
        for (state, reason), names in by_reason.items()
    ]


def _few(names: Sequence[str]) -> str:
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + rest


def _tracebacks(status: Status, rows: Sequence[Row]) -> list[Text]:
    """Say where the tracebacks are of failures in the code."""
    runs = Path(status.folder).parent / "runs"
    paths = [runs / row.key / "error.txt" for row in rows if row.state == "failed"]
    there = [path for path in paths if path.exists()]
    more = f" and {len(there) - NAMED} more" if len(there) > NAMED else ""
    if not there:
        return []
    return [Text(f"tracebacks: {', '.join(map(str, there[:NAMED]))}{more}")]
