"""A table with its notes, for the terminal and for GitHub."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Sheet:
    """A title, headings, rows of cells, and the sentences that the numbers need.

    The first `names` columns are text; the others are numbers and stand to the right.
    """

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: Sequence[str] = ()
    names: int = 1


def print_sheets(sheets: Sequence[Sheet], console: Console) -> None:
    """Print the sheets as tables; nothing in them is read as markup."""
    for sheet in sheets:
        if sheet.rows:
            console.print(_table(sheet))
        else:
            console.print(Text(sheet.title))
        for note in sheet.notes:
            console.print(Text(note))
        console.print()


def markdown(sheets: Sequence[Sheet]) -> str:
    """Return the sheets as GitHub's Markdown."""
    return "\n".join(line for sheet in sheets for line in _lines(sheet))


def _table(sheet: Sheet) -> Table:
    table = Table(
        title=Text(sheet.title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for i, heading in enumerate(sheet.headings):
        side = "left" if i < sheet.names else "right"
        table.add_column(Text(heading), justify=side, no_wrap=True)  # type: ignore[arg-type]
    for row in sheet.rows:
        table.add_row(*map(Text, row))
    return table


def _lines(sheet: Sheet) -> Iterator[str]:
    yield f"**{_escaped(sheet.title)}**"
    yield ""
    if sheet.rows:
        yield _line([heading.replace("\n", " ") for heading in sheet.headings])
        yield _line(["---" if i < sheet.names else "---:" for i in range(len(sheet.headings))])
        yield from map(_line, sheet.rows)
        yield ""
    for note in sheet.notes:
        yield f"- {_escaped(note)}"
    if sheet.notes:
        yield ""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    for char in "|*_<":
        text = text.replace(char, f"\\{char}")
    return text
