"""The table of a plan: its cells, in full, as a digest, and as a file."""

import csv
import io
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from analysis.texts import MISSING, ms_digits, number
from analysis.variants import short_names
from repghost.atomic import write_text
from repghost.sweep.plan.planner import Planned
from repghost.sweep.plan.twins import few, in_word
from repghost.sweep.space.points import LATENCY

VALUES = 10  # of one key in a digest
SEPARATE_KEYS = 3  # more swept keys than these share one column
COMBINED = "variant"
COMFORTABLE_WIDTH = 100
NUMBERS = ("epoch", "MACs M", "Params M", "latency ms", "to go")
STYLES = {"failed": "bold red", "pruned": "yellow", "finished": "green", "measured": "green"}


class Cells:
    """The rows of a plan as text."""

    def __init__(self, rows: Sequence[Planned]) -> None:
        self.rows = rows
        self.keys = list(dict.fromkeys(key for row in rows for key in row.point.swept))
        self._names = short_names(self.keys)
        self._separate = 0 < len(self.keys) <= SEPARATE_KEYS

    @cached_property
    def settings(self) -> list[str]:
        """The headings of what is swept: one a key, or one for many keys together."""
        return [self._names[key] for key in self.keys] if self._separate else [COMBINED]

    @cached_property
    def head(self) -> list[str]:
        """The headings from left to right; columns that would say nothing are left out."""
        epoch = ["epoch"] if any(row.epoch for row in self.rows) else []
        twins = ["twins"] if self.letters else []
        return [*self.settings, "key", "state", *epoch, *NUMBERS[1:], *twins]

    @cached_property
    def letters(self) -> dict[Hashable, str]:
        """A letter for each graph that networks share which differ in training: A, ... Z, A1."""
        models: dict[Hashable, set[Hashable]] = {}
        for row in self.rows:
            models.setdefault(row.graph, set()).add(row.point.settings.model)
        shared = [graph for graph, different in models.items() if len(different) > 1]
        return {graph: _letter(n) for n, graph in enumerate(shared)}

    def sharing(self) -> list[str]:
        """Return in sentences who deploys to one graph, by letters; seeds are not told apart."""
        groups: dict[str, list[Planned]] = {letter: [] for letter in self.letters.values()}
        for row in self.rows:
            if letter := self.letters.get(row.graph):
                groups[letter].append(row)
        alike: dict[str, dict[str, str]] = {}
        for letter, rows in groups.items():
            names, common = self._share(rows)
            alike.setdefault(names, {})[letter] = f" where {common}" if common else ""
        return [
            f"{few(list(where))}: {names} deploy to one graph"
            + (" each" if len(where) > 1 else "".join(where.values()))
            + ", timed once"
            for names, where in alike.items()
        ]

    def _share(self, rows: Sequence[Planned]) -> tuple[str, str]:
        """Return what rows of one graph differ in, and what they have in common, in words."""
        keys = [key for key in self.keys if key != "seed" and not key.startswith(LATENCY)]
        differ = [key for key in keys if len({row.point.swept.get(key) for row in rows}) > 1]
        common = self._label([key for key in keys if key not in differ], rows[0])
        return few(list(dict.fromkeys(self._label(differ, row) for row in rows))), common

    def of(self, row: Planned) -> dict[str, str]:
        """Return a row's texts by heading."""
        epochs, cost, ms = row.point.settings.recipe.epochs, row.cost, row.latency_ms
        swept = {self._names[key]: in_word(row.point.swept.get(key)) for key in self.keys}
        if not self._separate:
            swept = {COMBINED: self._label(self.keys, row) or "run"}
        return swept | {
            "key": row.point.key,
            "state": row.state,
            "epoch": f"{row.epoch}/{epochs}" if row.epoch else "",
            "MACs M": number(cost.macs / 1e6 if cost else None, 1),
            "Params M": number(cost.params / 1e6 if cost else None, 2),
            "latency ms": MISSING if ms is None else number(ms, ms_digits(ms)),
            "to go": _to_go(row.to_go_s),
            "twins": self.letters.get(row.graph, ""),
        }

    def _label(self, keys: Iterable[str], row: Planned) -> str:
        words = (f"{self._names[key]}={in_word(row.point.swept.get(key))}" for key in keys)
        return " ".join(words)


def table(title: str, cells: Cells, rows: Sequence[Planned], width: int) -> Table:
    """Return rows as a table for a terminal of `width` columns."""
    shown = _empty(title, cells.head, NUMBERS, gap=int(width >= COMFORTABLE_WIDTH))
    for row in rows:
        texts = cells.of(row)
        shown.add_row(*(Text(texts[name]) for name in cells.head), style=STYLES.get(row.state))
    return shown


def digest(title: str, cells: Cells) -> Table:
    """Return how many variants there are of each swept value, and what is left of them."""
    counts = ["variants", "ended", "failed", "to run", "to go"]
    shown = _empty(title, ["", *counts], counts, gap=1)
    for key in cells.keys:
        groups = _by_value(key, cells.rows)
        for value, rows in list(groups.items())[:VALUES]:
            shown.add_row(Text(f"{key}={value}"), *_counted(rows))
        if len(groups) > VALUES:
            shown.add_row(Text(f"{key}: {len(groups) - VALUES} more values"))
    return shown


def write_csv(path: Path, cells: Cells) -> None:
    """Replace the file at `path` by all rows, their numbers in full.

    Raises:
        OSError: it cannot be written.
    """
    text = io.StringIO()
    tail = ["key", "state", "epoch", "macs", "params", "latency_ms", "to_go_s", "twins"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*cells.keys, *tail])
    writer.writerows(_record(cells, row) for row in cells.rows)
    write_text(path, text.getvalue())


def clock(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 100 else f"{hours:,.0f} h"


def _record(cells: Cells, row: Planned) -> Iterator[object]:
    yield from (row.point.swept.get(key) for key in cells.keys)
    yield from (row.point.key, row.state, row.epoch)
    yield from (row.cost.macs, row.cost.params) if row.cost else ("", "")
    yield "" if row.latency_ms is None else row.latency_ms
    yield "" if row.to_go_s is None else round(row.to_go_s, 1)
    yield cells.letters.get(row.graph, "")


def _by_value(key: str, rows: Iterable[Planned]) -> dict[str, list[Planned]]:
    groups: dict[str, list[Planned]] = {}
    for row in rows:
        groups.setdefault(in_word(row.point.swept.get(key)), []).append(row)
    return groups


def _counted(rows: Sequence[Planned]) -> list[str]:
    failed = sum(row.state == "failed" for row in rows)
    ended = sum(row.ended for row in rows) - failed
    times = [row.to_go_s for row in rows]
    known = sum(seconds for seconds in times if seconds is not None)
    to_go = _to_go(known) + (" + ?" if None in times else "")
    left = len(rows) - ended - failed
    return [*(str(count or "") for count in (len(rows), ended, failed, left)), to_go]


def _empty(title: str, head: Iterable[str], numeric: Sequence[str], gap: int) -> Table:
    shown = Table(
        title=Text(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, gap, 0, 0),
        pad_edge=False,
    )
    for name in head:
        right = name in numeric
        shown.add_column(
            Text("\n".join(name.split())),
            justify="right" if right else "left",
            no_wrap=right or name in ("key", "state"),
            overflow="fold",
            min_width=None if right else len(name),
            vertical="top",
        )
    return shown


def _to_go(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return clock(seconds) if seconds else ""


def _letter(n: int) -> str:
    return chr(ord("A") + n % 26) + (str(n // 26) if n >= 26 else "")
