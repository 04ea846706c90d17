"""`python -m repghost.latency doctor`: what makes a device's numbers doubtful, a line each."""

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from repghost.latency.devices.contract import Check, DeviceError
from repghost.latency.devices.opening import open_device
from repghost.latency.devices.spec import device_spec

MARKS = {"ok": ("ok", "green"), "warn": ("?", "yellow"), "fail": ("X", "red")}
WIDEST = max(len(mark) for mark, _ in MARKS.values())


def doctor_command(words: Sequence[str]) -> int:
    """Look at the device that words such as ["device=local"] describe, and print what was found.

    Returns 0 where it can be timed on, however doubtful, and 1 where it cannot.

    Raises:
        ValueError: a word is no setting of that device.
    """
    spec = device_spec(words)
    try:
        checks = open_device(spec).checks()
    except DeviceError as error:
        checks = [Check("device", "fail", str(error))]
    show(checks, Console(highlight=False))
    return int(any(check.level == "fail" for check in checks))


def show(checks: Sequence[Check], console: Console) -> None:
    """Print the checks: aligned and coloured on a terminal, one plain line each elsewhere."""
    width = max((len(check.what) for check in checks), default=0)
    for check in checks:
        if console.is_terminal:
            console.print(_row(check, width))
        else:
            line = f"{MARKS[check.level][0]:{WIDEST}}  {check.what:{width}}  {_said(check)}"
            console.print(line, markup=False, soft_wrap=True)
    console.print(Text(verdict(checks)), soft_wrap=True)


def verdict(checks: Sequence[Check]) -> str:
    """Return the whole in one line."""
    levels = [check.level for check in checks]
    failed, doubtful = levels.count("fail"), levels.count("warn")
    if failed:
        return f"nothing can be timed here: {failed} of {len(levels)} checks failed"
    if doubtful:
        return f"numbers from here are doubtful: {doubtful} of {len(levels)} checks"
    return f"numbers from here can be trusted: all {len(levels)} checks are fine"


def _said(check: Check) -> str:
    return (
        f"{check.found} -> {check.advice}" if check.advice and check.level != "ok" else check.found
    )


def _row(check: Check, width: int) -> Padding:
    """Return one line whose text wraps within its own column."""
    mark, style = MARKS[check.level]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=WIDEST)
    table.add_column(width=width)
    table.add_column(overflow="fold")
    said = Text(check.found)
    if check.advice and check.level != "ok":
        said.append(f" -> {check.advice}", style="bold")
    table.add_row(Text(mark, style=style), Text(check.what), said)
    return Padding(table, 0)
