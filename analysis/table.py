"""A study in the terminal: the table, what it says, and where the files are."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.columns import ON_FRONT, Column, columns
from analysis.findings import Findings, failure_words, find, headline
from analysis.results import Results
from analysis.texts import MISSING

COMFORTABLE_WIDTH = 100  # columns of text that a table takes at most, if it can
NAME_WIDTH = 12  # a longer name may be folded
STYLES = {"failed": "bold red", "pruned": "yellow", "stopped": "yellow"}


def summary(results: Results, width: int = COMFORTABLE_WIDTH) -> list[RenderableType]:
    """Return what a sweep prints at its end on `width` columns, top to bottom.

    Nothing in it is read as markup.
    """
    found = find(results)
    shown = _fitted(columns(results, found), width)
    return [
        _table(results, found, shown, width),
        _legend(shown),
        Text(),
        *(Text(sentence) for sentence in headline(found)),
        *_failures(found),
        Text(),
        *_paths(results),
    ]


def print_summary(results: Results, console: Console) -> None:
    """Print the summary; a path stays on one line however narrow the console, to be copied."""
    parts, paths = summary(results, console.width), _paths(results)
    for part in parts[: -len(paths)]:
        console.print(part)
    for path in paths:
        console.print(path, soft_wrap=True)


def _table(results: Results, found: Findings, shown: Sequence[Column], width: int) -> Table:
    roomy = _width(shown) + 2 * len(shown) < min(width, COMFORTABLE_WIDTH)
    table = Table(
        title=Text(f"{results.study}: {_counts(results)}"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1 if roomy else 0, 0, 0),
        pad_edge=False,
    )
    for column in shown:
        table.add_column(
            Text("\n".join(column.name.split())),
            justify="right" if column.numeric else "left",
            vertical="top",
            no_wrap=column.numeric,
            overflow="fold",
            min_width=min(_longest(column), NAME_WIDTH),
        )
    for i, cells in enumerate(zip(*(column.cells for column in shown), strict=True)):
        table.add_row(*map(Text, cells), style=_row_style(found, i))
    return table


def _fitted(shown: list[Column], width: int) -> list[Column]:
    """Return columns that fit the width; where they do not, intervals go below their medians."""
    for name in ("ratio", "latency ms"):
        if _width(shown) + 2 * len(shown) > min(width, COMFORTABLE_WIDTH):
            shown = [_folded(column) if column.name == name else column for column in shown]
    return shown


def _folded(column: Column) -> Column:
    return replace(column, cells=tuple(cell.replace(" [", "\n[") for cell in column.cells))


def _longest(column: Column) -> int:
    lines = (line for cell in column.cells for line in cell.split("\n"))
    return max(map(cell_len, (*column.name.split(), *lines)))


def _width(shown: Sequence[Column]) -> int:
    return sum(map(_longest, shown))


def _row_style(found: Findings, i: int) -> str:
    if i in found.front:
        return "bold green"
    return STYLES.get(found.variants[i].state, "")


def _counts(results: Results) -> str:
    states = [row.state for row in results.rows]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{len(states)} run{'s' if len(states) > 1 else ''} ({counted})"


def _legend(shown: Iterable[Column]) -> Text:
    explained = [
        c for c in shown if c.name in (ON_FRONT, "top-1 %", "latency ms", "ratio", "twins")
    ]
    used = [c for c in explained if any(cell not in ("", MISSING) for cell in c.cells)]
    return Text("\n".join(f"{c.name}: {c.meaning}" for c in used), style="dim")


def _failures(found: Findings) -> list[Text]:
    return [
        Text.assemble((state, STYLES[state]), f" {run}: {reason}")
        for state, run, reason in failure_words(found)
    ]


def _paths(results: Results) -> list[Text]:
    report = str(results.report_path)
    if not results.report_path.exists():
        report = f"not built yet: python -m analysis report {results.study_dir}"
    return [
        Text(f"table  {results.csv_path}", overflow="fold"),
        Text(f"report {report}", overflow="fold"),
    ]
