"""How a table's columns are made to fit a terminal: intervals folded, the least needed left out."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.cells import cell_len

from analysis.columns import Column

COMFORTABLE_WIDTH = 100  # columns of text that a table takes at most, if it can
NAME_WIDTH = 12  # a longer name may be folded
LEAST_NEEDED = (  # these go first where nothing else helps
    *("top-5 %", "AP75 %", "MACs M", "Params M", "AP50 %", "share %", "backbone ms"),
)
FIRST_DEVICE = ("ratio", "latency ms")


def fitted(shown: Sequence[Column], width: int) -> list[Column]:
    """Return columns that fit the width: intervals go below their medians, then are cut in two.

    Columns that still have no room are left out, of further devices the last one first.
    """
    fitting, further = list(shown), _further(shown)
    for name in (*FIRST_DEVICE, *further):
        if not _has_room(fitting, width):
            fitting = _changed(fitting, name, _folded)
    for name in (*reversed(further), *FIRST_DEVICE):
        if not _squeezes_in(fitting, width):
            fitting = _changed(fitting, name, _in_two)
    for name in (*LEAST_NEEDED, *reversed(further)):
        if not _squeezes_in(fitting, width):
            fitting = [column for column in fitting if column.name != name]
    return fitting


def is_roomy(shown: Sequence[Column], width: int) -> bool:
    """Say if there is room for two blanks between columns."""
    return _full_width(shown) + 2 * len(shown) < min(width, COMFORTABLE_WIDTH)


def longest(column: Column) -> int:
    """Return the width of a column whose heading is folded between words."""
    lines = (line for cell in column.cells for line in cell.split("\n"))
    return max(map(cell_len, (*column.name.split(), *lines)))


def _further(shown: Sequence[Column]) -> list[str]:
    return [column.name for column in shown if column.further]


def _changed(
    shown: Sequence[Column], name: str, change: Callable[[Column], Column]
) -> list[Column]:
    return [change(column) if column.name == name else column for column in shown]


def _folded(column: Column) -> Column:
    return column.folded


def _in_two(column: Column) -> Column:
    cells = column.folded.cells
    return replace(column, cells=tuple(cell.replace(", ", ",\n") for cell in cells))


def _has_room(shown: Sequence[Column], width: int) -> bool:
    return _full_width(shown) + 2 * len(shown) <= min(width, COMFORTABLE_WIDTH)


def _squeezes_in(shown: Sequence[Column], width: int) -> bool:
    """Say if the columns fit with names folded and a blank beside each."""
    least = [longest(c) if c.numeric else min(longest(c), NAME_WIDTH) for c in shown]
    return sum(least) + len(shown) + 1 <= width


def _full_width(shown: Sequence[Column]) -> int:
    return sum(map(longest, shown))
