"""Parts of an answer on the terminal, and JSON."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

NON_TERMINAL_WIDTH = 100
ROOMY = 100  # from this width on intervals stand beside their means


def print_json(value: Any) -> None:
    """Print JSON that every reader takes: what is not finite is refused."""
    print(json.dumps(value, indent=1, allow_nan=False))


def print_parts(parts: Callable[[int], Iterable[RenderableType]]) -> None:
    """Print what `parts` makes for the terminal's width, or for 100 columns without one."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=NON_TERMINAL_WIDTH)
    put(console, parts(console.width))


def put(console: Console, parts: Iterable[RenderableType]) -> None:
    """Print the parts; a text with `no_wrap` stays on one line however narrow, to be copied."""
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text) and bool(part.no_wrap))


def titled_table(title: str, *, roomy: bool) -> Table:
    """Return a table without rows, its columns a space apart where it is `roomy`."""
    return Table(
        title=Text(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1 if roomy else 0, 0, 0),
        pad_edge=False,
    )
