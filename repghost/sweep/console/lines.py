"""From tickets and files to the lines of the board; only what moves is read again."""

import time
from collections.abc import Iterable, Mapping

from repghost.run import Run
from repghost.sweep.console.board import Board, Line
from repghost.sweep.evaluator import TrialEvaluator
from repghost.sweep.flights import Flight
from repghost.sweep.ticket import Life, Ticket

READ_S = 1.0  # between two looks at the files of a run at work


class Lines:
    """Keeps a line for every variant and shows them on a board."""

    def __init__(self, evaluator: TrialEvaluator, board: Board) -> None:
        self._evaluator, self._board = evaluator, board
        self._lines: dict[str, tuple[Life, Line]] = {}
        self._read = 0.0

    def show(self, tickets: Iterable[Ticket], flights: Mapping[Ticket, Flight]) -> None:
        """Show how far every variant is."""
        again = time.monotonic() - self._read > READ_S
        for ticket in tickets:
            life, _ = self._lines.get(ticket.row, (None, None))
            at_work = again and ticket.life.state == "running"
            if life is not ticket.life or at_work:
                line = line_of(ticket, self._evaluator, flights.get(ticket))
                self._lines[ticket.row] = ticket.life, line
        if again:
            self._read = time.monotonic()
        self._board.show([line for _, line in self._lines.values()])


def line_of(ticket: Ticket, evaluator: TrialEvaluator, flight: Flight | None = None) -> Line:
    """Read from a run's files how far it is."""
    found = evaluator.latency(ticket)
    life, epochs = ticket.life, ticket.settings.recipe.epochs
    history = Run(ticket.settings.outputs, ticket.key).history()
    last = history[-1] if history else {}
    pace = sum(record["seconds"] for record in history) / len(history) if history else None
    return Line(
        name=ticket.name,
        state=life.state,
        epoch=len(history),
        epochs=epochs,
        loss=last.get("train_loss"),
        score=last.get(ticket.settings.objective.name),
        objective=ticket.settings.objective,
        latency=(found.latency_ms, found.latency_low, found.latency_high) if found else None,
        left_s=(epochs - len(history)) * pace if pace and life.state == "running" else None,
        reason=life.cause or (flight.sight.reason if flight else ""),
    )
