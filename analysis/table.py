"""A study in the terminal: the table, what it says, and where the files are."""

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.columns import Column, columns
from analysis.devices import flag_words
from analysis.findings import Findings, failure_words, find, headline
from analysis.fitting import COMFORTABLE_WIDTH, NAME_WIDTH, fitted, is_roomy, longest
from analysis.printing import titled_table
from analysis.results import Results
from analysis.texts import listed

DOUBT = "yellow"
STYLES = {"failed": "bold red", "pruned": "yellow", "stopped": "yellow"}


def summary(results: Results, width: int = COMFORTABLE_WIDTH) -> list[RenderableType]:
    """Return what a sweep prints at its end on `width` columns, top to bottom.

    Nothing in it is read as markup.
    """
    found = find(results)
    wanted = columns(results, found)
    shown = fitted(wanted, width)
    left_out = [column.name for column in wanted if column.name not in {c.name for c in shown}]
    return [
        _table(results, found, shown, width),
        _legend(shown, left_out),
        Text(),
        *(Text(sentence) for sentence in headline(found)),
        *_doubts(found),
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
    roomy = is_roomy(shown, width)
    table = titled_table(f"{results.study}: {_counts(results)}", roomy=roomy)
    for column in shown:
        table.add_column(
            Text("\n".join(column.name.split())),
            justify="right" if column.numeric else "left",
            vertical="top",
            no_wrap=column.numeric,
            overflow="fold",
            min_width=min(longest(column), NAME_WIDTH),
        )
    for i, cells in enumerate(zip(*(column.cells for column in shown), strict=True)):
        table.add_row(*map(Text, cells), style=_row_style(found, i))
    return table


def _row_style(found: Findings, i: int) -> str:
    if i in found.front:
        return "bold green"
    return STYLES.get(found.variants[i].state, "")


def _counts(results: Results) -> str:
    states = [row.state for row in results.rows]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{len(states)} run{'s' if len(states) > 1 else ''} ({counted})"


def _legend(shown: Sequence[Column], left_out: Sequence[str]) -> Text:
    lines = [f"{column.name}: {column.meaning}" for column in shown if column.explained]
    if left_out:
        lines.append(f"no room for: {listed(left_out)}; a wider terminal or the report shows them")
    return Text("\n".join(lines), style="dim")


def _doubts(found: Findings) -> list[Text]:
    return [
        Text.assemble(("doubtful latency", DOUBT), f" {words}")
        for words in flag_words(found.variants)
    ]


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
