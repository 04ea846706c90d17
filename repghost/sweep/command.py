"""The command `launch.py -m`: from a grid to a table, continued where an earlier one stopped."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from analysis.report import write_report
from analysis.results import load
from analysis.table import print_summary
from repghost.atomic import write_json
from repghost.latency.store import Store
from repghost.lock import Held, Lock
from repghost.provenance import commit, versions
from repghost.run import Run
from repghost.settings import Settings
from repghost.sweep.board import Line, open_board
from repghost.sweep.jobs import Job, LocalJobs
from repghost.sweep.results import write_results
from repghost.sweep.scheduler import drive
from repghost.sweep.space import Point
from repghost.sweep.study import Ledger, Outcome, Ticket
from repghost.trial import Stage, ends_as, latency_of

DOING = {"measure": "measuring", "train": "training"}


def sweep(points: Sequence[Point], study: str, command: str, console: Console) -> int:
    """Run what is missing of `points` and print the study's table; return the exit code.

    Raises:
        ValueError: another process drives the study, or a file or database cannot be used.
    """
    base = replace(points[0].settings, study=study)
    folder = Path(base.outputs) / study
    lock = Lock(folder / "driver.lock")
    try:
        lock.acquire()
    except Held as held:
        raise ValueError(
            f"study {study} is being driven by {held}; wait for it, or stop it"
        ) from None
    try:
        return Sweep(points, base, folder, command, console).run()
    finally:
        lock.release()


class Sweep:
    """One command's pass over one study: what it reads, writes and shows."""

    def __init__(
        self, points: Sequence[Point], base: Settings, folder: Path, command: str, console: Console
    ) -> None:
        assert base.study is not None
        self._points, self._base, self._study, self._folder = points, base, base.study, folder
        self._command, self._console = command, console
        self._store = Store(base.storage.url)
        self._ledger = Ledger(folder, self._study, base)
        self._results = folder / "results.csv"
        self._lines: dict[str, Line] = {}
        self._doing: dict[str, str] = {}  # what is being done to whom, by row

    def run(self) -> int:
        """Drive the missing variants, then print the table; 1 if a variant failed, else 0."""
        write_json(self._folder / "study.json", self._provenance())
        points = [self._named(point) for point in self._points]
        self._ledger.enroll(points, self._is_done)
        self._ledger.start()
        self._say_twins(len(points))
        self._tickets = self._ledger.asked()
        todo = [ticket for ticket in self._tickets if ticket.state == "running"]
        jobs = LocalJobs(self._folder, self._base.parallel)
        with open_board(self._console) as self._board:
            self._show({})
            drive(
                todo,
                jobs,
                review=self._review,
                tell=self._tell,
                parallel=self._base.parallel,
                sleep=time.sleep,
                show=self._show,
            )
        return self._close()

    def _review(self, ticket: Ticket) -> Stage | Outcome:
        """Say from the files alone what a variant needs next, or how it ended."""
        run = Run(ticket.settings.outputs, ticket.key)
        latency = latency_of(ticket.settings, run, self._store)
        if latency is None:
            return "measure"
        if state := ends_as(ticket.settings, latency.latency_ms):
            limit = ticket.settings.latency.max_ms
            over = f"{latency.latency_ms:.3f} ms is over latency.max_ms={limit}"
            reason = over if state == "pruned" else ""
            return Outcome(state, latency_ms=latency.latency_ms, reason=reason)
        result = run.result()
        if result is None:
            return "train"
        return Outcome("finished", result["top1"], latency.latency_ms)

    def _is_done(self, ticket: Ticket) -> bool:
        """Say whether what the study noted of a variant is what its files say now."""
        outcome = self._review(ticket)
        if not isinstance(outcome, Outcome) or outcome.state != ticket.state:
            return False
        return ticket.state != "finished" or ticket.values == (outcome.top1, outcome.latency_ms)

    def _tell(self, ticket: Ticket, outcome: Outcome) -> None:
        self._ledger.tell(ticket, outcome)
        self._tickets = self._ledger.asked()
        self._write()

    def _show(self, running: dict[Ticket, Job]) -> None:
        """Draw the board; only what is running or has changed is read again."""
        self._doing = doing = {t.row: DOING[job.stage] for t, job in running.items()}
        for ticket in self._tickets:
            state = doing.get(ticket.row, "waiting") if ticket.state == "running" else ticket.state
            seen = self._lines.get(ticket.row)
            if seen is None or seen.state != state or ticket.row in doing:
                self._lines[ticket.row] = _line(ticket, state, self._store)
        self._board.show(list(self._lines.values()))

    def _write(self) -> None:
        tickets = self._ledger.tickets()
        write_results(self._results, self._study, tickets, self._doing, self._store)

    def _close(self) -> int:
        """Write table and report, print them, and count the failures."""
        self._write()
        try:
            write_report(self._folder)
        except OSError as error:  # the table does not have to wait for a larger disk
            self._console.print(f"no report: {error}", style="red", markup=False)
        print_summary(load(self._folder), self._console)
        remarks: dict[str, list[str]] = {}
        for ticket in self._tickets:
            for remark in self._remarks(ticket):
                remarks.setdefault(remark, []).append(_name(ticket))
        for remark, names in remarks.items():
            who = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
            self._console.print(f"{who}: {remark}", markup=False, soft_wrap=True)
        return int(any(ticket.state == "failed" for ticket in self._tickets))

    def _remarks(self, ticket: Ticket) -> list[str]:
        """Return what a reader of the table should know beside its numbers."""
        run = Run(self._base.outputs, ticket.key)
        latency = latency_of(ticket.settings, run, self._store)
        if latency is None or latency.settled:
            return run.remarks()
        goal = f"{ticket.settings.latency.precision:.0%}"
        noise = (
            f"latency did not settle to {goal} ({latency.ended});"
            " a quieter machine or more latency.max_rounds would help"
        )
        return [noise, *run.remarks()]

    def _say_twins(self, points: int) -> None:
        variants = len(self._ledger.asked())
        if variants < points:
            self._console.print(f"{points} combinations are {variants} different variants")

    def _named(self, point: Point) -> Point:
        return replace(point, settings=replace(point.settings, study=self._study))

    def _provenance(self) -> dict[str, object]:
        return {
            "study": self._study,
            "command": self._command,
            "commit": commit(),
            "versions": versions(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }


def _line(ticket: Ticket, state: str, store: Store) -> Line:
    """Read from a run's files how far it is."""
    run = Run(ticket.settings.outputs, ticket.key)
    found = latency_of(ticket.settings, run, store)
    history, epochs = run.history(), ticket.settings.recipe.epochs
    last = history[-1] if history else {}
    pace = sum(record["seconds"] for record in history) / len(history) if history else None
    return Line(
        name=_name(ticket),
        state=state,
        epoch=len(history),
        epochs=epochs,
        loss=last.get("train_loss"),
        top1=last.get("top1"),
        latency=(found.latency_ms, found.latency_low, found.latency_high) if found else None,
        left_s=(epochs - len(history)) * pace if pace and state == "training" else None,
        reason=ticket.reason,
    )


def _name(ticket: Ticket) -> str:
    return " ".join(f"{key.split('.')[-1]}={value}" for key, value in ticket.swept.items()) or "run"
