"""What the user sees while a sweep runs: a live table, or plain lines without a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from repghost.objective import TOP1, Objective, in_common

NO_VALUE = "–"
MANY = 12  # variants that move together are counted, not named


@dataclass(frozen=True)
class Line:
    """One variant as it stands now; what is not known yet is None."""

    name: str
    state: str
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    score: float | None = None
    objective: Objective = TOP1
    latency: tuple[float, float, float] | None = None
    left_s: float | None = None
    reason: str = ""

    def cells(self) -> list[str]:
        """Return the texts of the table's columns."""
        return [
            self.name,
            self.state,
            f"{self.epoch}/{self.epochs}" if self.epoch else NO_VALUE,
            _number(self.loss, ".3f"),
            _number(self.score, ".2f"),
            "{:.3f} [{:.3f}, {:.3f}]".format(*self.latency) if self.latency else NO_VALUE,
            _clock(self.left_s) if self.left_s is not None else NO_VALUE,
        ]


class Board(Protocol):
    """Shows the sweep; entered once, updated often."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: Any) -> None: ...
    def show(self, lines: Sequence[Line]) -> None: ...


def open_board(console: Console) -> Board:
    """Return a live table on a terminal and plain lines elsewhere."""
    return LiveBoard(console) if console.is_terminal else PlainBoard(console)


class LiveBoard:
    """A table that is redrawn in place; the rows that move come into sight first."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def show(self, lines: Sequence[Line]) -> None:
        table = Table(*_columns(lines), title=_counts(lines), title_justify="left", expand=False)
        room = max(3, self._live.console.height - 8)
        active = sorted(lines, key=lambda line: line.state not in ("running", "measuring"))
        for line in lines if len(lines) <= room else active[:room]:
            table.add_row(*(Text(cell) for cell in line.cells()))
        self._live.update(table)


class PlainBoard:
    """A line whenever a variant changes its state or finishes an epoch."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        return None

    def show(self, lines: Sequence[Line]) -> None:
        moved: dict[str, list[Line]] = {}
        for line in lines:
            now = (line.state, line.epoch)
            if self._seen.get(line.name) != now and line.state != "waiting":
                moved.setdefault(line.state, []).append(line)
            self._seen[line.name] = now
        for state, group in moved.items():
            if len(group) > MANY:
                self._print(f"{len(group)} variants: {state}")
            else:
                for line in group:
                    self._print(_sentence(line))

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _columns(lines: Sequence[Line]) -> tuple[str, ...]:
    score = in_common(line.objective for line in lines).label
    return ("variant", "state", "epoch", "loss", f"{score} %", "latency ms", "left")


def _sentence(line: Line) -> str:
    _, state, epoch, loss, score, latency, left = line.cells()
    parts = [f"{line.name}: {state}"]
    if line.epoch:
        parts += [f"epoch {epoch}", f"loss {loss}", f"{line.objective.label} {score} %"]
    if line.latency:
        parts.append(f"{latency} ms")
    if line.left_s is not None:
        parts.append(f"{left} left")
    return "  ".join([*parts, *([line.reason] if line.reason else [])])


def _counts(lines: Sequence[Line]) -> str:
    states = dict.fromkeys(line.state for line in lines)
    return ", ".join(f"{sum(o.state == state for o in lines)} {state}" for state in states)


def _number(value: float | None, style: str) -> str:
    return NO_VALUE if value is None else format(value, style)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
