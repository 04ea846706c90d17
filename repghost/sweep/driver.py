"""One command's pass over one study: it starts, follows, notes and shows, and can leave."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from repghost.cores import share_cores
from repghost.failures import MACHINES_ERRORS
from repghost.latency.queue.database import StoreError
from repghost.latency.store import Store
from repghost.lock import Lock
from repghost.settings import Settings
from repghost.sweep.console.board import open_board
from repghost.sweep.console.closing import close
from repghost.sweep.console.lines import Lines
from repghost.sweep.console.workers import WorkerWatch, left_to_workers
from repghost.sweep.evaluator import TrialEvaluator
from repghost.sweep.flights import Places
from repghost.sweep.jobs.launchers import LocalSpec, SlurmSpec
from repghost.sweep.jobs.local import LocalJobs
from repghost.sweep.jobs.snapshot import take
from repghost.sweep.refine import Refine
from repghost.sweep.results import Results
from repghost.sweep.scheduler import Scheduler
from repghost.sweep.space.points import Point
from repghost.sweep.study import Ledger
from repghost.sweep.ticket import Outcome, Ticket
from repghost.timing import waits_for_worker

POLL_S = 0.3
WRITE_S = 3.0  # between two writes of results.csv
CHECK_S = 2.0  # between two looks for a request to stop
FULL_S = 5.0  # between two tries at a ledger that could not be written
STOP = "stop"  # the file that asks a driver to leave, see `repghost.sweep.console.stop`
INTERRUPTED = 130  # exit code after Ctrl-C

More = Callable[[int], Iterable[Ticket]]
Launcher = LocalSpec | SlurmSpec


class StopAsked(Exception):
    """`python -m repghost.sweep stop` asked this driver to leave, or another one took over."""


class Driver:
    """One command's pass over one study: what it reads, writes and shows."""

    def __init__(
        self,
        base: Settings,
        folder: Path,
        lock: Lock,
        command: str,
        console: Console,
        launcher: Launcher,
    ) -> None:
        assert base.study is not None
        self.base, self._study, self._folder, self._lock = base, base.study, folder, lock
        self._command, self.console, self._launcher = command, console, launcher
        (folder / STOP).unlink(missing_ok=True)
        _check_cohort(base.sweep.cohort, launcher)
        store = Store(base.storage.url)
        self.ledger = Ledger(folder, self._study, base)
        local = isinstance(launcher, LocalSpec)
        self.evaluator = TrialEvaluator(
            store,
            base.outputs,
            base.parallel if local else None,
            launcher.tasks_per_node if local else 1,
            longer=self.ledger.longer,
        )
        self.evaluator.foresee(self.ledger.tickets())
        self.refine = Refine(
            self.ledger,
            self.evaluator,
            self.enroll,
            count=base.sweep.refine,
            assumed=base.stop.points,
        )
        self._results = Results(folder / "results.csv", self._study, self.evaluator)
        asked = (ticket.settings for ticket in self.ledger.tickets()[:1])
        self._watch = WorkerWatch(self.evaluator.timings.workers, [base, *asked], base.storage.url)
        self._written = self._checked = 0.0
        self._complained = ""

    def enroll(self, points: Sequence[Point]) -> list[Ticket]:
        """Add what is new or wanted again to the ledger; return the tickets of all points."""
        named = [replace(p, settings=replace(p.settings, study=self._study)) for p in points]
        return self.ledger.enroll(named, self.is_wanted)

    def drive(self, tickets: Sequence[Ticket], more: More | None = None) -> int:
        """Bring `tickets`, and those that `more` gives, to their end; return the exit code.

        Raises:
            DeviceError: the first device is this machine's own, and is not there.
        """
        self._say_skipped(tickets)
        if more is None and all(ticket.life.ended for ticket in tickets):
            return self._close()
        for ticket in tickets if self.base.retry == "failed" else ():
            if not ticket.life.ended:
                self.evaluator.forgive(ticket)
        scheduler = self._scheduler(more or (lambda room: ()))
        try:
            with open_board(self.console) as board:
                self._lines = Lines(self.evaluator, board)
                scheduler.adopt(tickets)
                self._loop(scheduler)
        except KeyboardInterrupt:
            return self._leave(scheduler, INTERRUPTED)
        except StopAsked as asked:
            self.say(str(asked))
            return INTERRUPTED
        return self._close() if scheduler.done else self._leave(scheduler, 0)

    def is_wanted(self, ticket: Ticket) -> bool:
        """Say whether a variant that ended is to be gone on with: by its files, and as asked."""
        step, life = self.evaluator.review(ticket), ticket.life
        if isinstance(step, Outcome) and step.state != "failed":
            same = step.state == life.state and life.score == step.score
            if step.ratio is not None and life.ratio is not None:
                return not same or life.ratio != step.ratio  # ms follow the reference's long run
            return not same or life.latency_ms != step.latency_ms
        if life.state == "failed":
            return life.lost or self.base.retry == "failed"
        return life.state != "stopped" or self.base.stop.resume

    def _scheduler(self, more: More) -> Scheduler:
        share_cores()
        return Scheduler(
            self.ledger,
            self.evaluator,
            self._places(),
            max_requeues=self.base.max_requeues,
            stop=self.base.stop,
            cohort=self.base.sweep.cohort,
            more=more,
        )

    def _places(self) -> Places:
        """Measurements run here, trainings where the launcher says; all from a copy of the code."""
        code = take(self._folder).path
        here = LocalJobs(self._folder, self.base.parallel, code)
        if isinstance(self._launcher, LocalSpec):
            return Places(here, here)
        from repghost.sweep.jobs.slurm import SlurmJobs

        return Places(here, SlurmJobs(self._folder, self._launcher, code))

    def _loop(self, scheduler: Scheduler) -> None:
        """Make passes until nothing is left, or, detached, until nothing can be submitted."""
        while True:
            try:
                scheduler.one_pass()
                self._show(scheduler)
            except OSError as error:
                if error.errno not in MACHINES_ERRORS:
                    raise
                self._wait_for_disk(error)
                scheduler.adopt(self.ledger.asked())
            except StoreError as error:
                if not error.away:
                    raise
                self._wait_for_database(error)
            if self._is_over(scheduler) or (self.base.detach and scheduler.only_waits):
                return
            self._pause(POLL_S)

    def _is_over(self, scheduler: Scheduler) -> bool:
        """Whether every variant has ended, and no worker is about to bring a further latency."""
        return scheduler.done and not any(map(self._watch.is_served, self._still_to_come()))

    def _say_skipped(self, tickets: Sequence[Ticket]) -> None:
        asked = [self.base, *(ticket.settings for ticket in tickets)]
        once = {tuple(one.latency.devices): one for one in asked}
        skipped: dict[str, str] = {}
        for settings in once.values():
            skipped |= self.evaluator.timings.skipped(settings)
        for name, why in skipped.items():
            self.say(f"device {name}: skipped: {why}")

    def _needed(self) -> set[str]:
        """Return the devices of workers from which this study still needs something."""
        return set().union(*map(self.evaluator.needed_of_workers, self.ledger.asked()))

    def _still_to_come(self) -> Counter[str]:
        """Count the measurements on further devices that workers have not made yet, by device."""
        marks = (self.evaluator.further(ticket).items() for ticket in self.ledger.asked())
        found = (name for some in marks for name, mark in some if waits_for_worker(name, mark))
        return Counter(found)

    def _show(self, scheduler: Scheduler) -> None:
        chosen, self.refine.notices = self.refine.notices, []
        for notice in [*self._watch.notices(self._needed), *scheduler.take_notices(), *chosen]:
            self.say(notice)
        tickets = self.ledger.tickets()
        self._lines.show(tickets, scheduler.flights)
        if time.monotonic() - self._written > WRITE_S and self._results.update(tickets):
            self._results.write()
            self._written = time.monotonic()

    def _wait_for_disk(self, error: OSError) -> None:
        self.say(f"{error.filename or self._folder}: {error.strerror}; trying again")
        self._pause(FULL_S)

    def _wait_for_database(self, error: StoreError) -> None:
        if self._complained != str(error):
            self.say(f"{error}; trying again")
        self._complained = str(error)
        self._pause(FULL_S)

    def _pause(self, seconds: float) -> None:
        """Sleep; now and then see whether this process should still drive the study.

        Raises:
            StopAsked: it should not.
        """
        time.sleep(seconds)
        if time.monotonic() - self._checked < CHECK_S:
            return
        self._checked = time.monotonic()
        if (self._folder / STOP).exists():
            raise StopAsked("stopped by `python -m repghost.sweep stop`")
        if not self._lock.still_ours():
            raise StopAsked(f"study {self._study} was taken over by {self._lock.holder()}")

    def _leave(self, scheduler: Scheduler, code: int) -> int:
        """Say what goes on without this command, and how to come back."""
        self._results.update(self.ledger.tickets())
        self._results.write()
        states = [ticket.life.state for ticket in (*scheduler.flights, *scheduler.awaiting)]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        left = len(scheduler.todo)
        rest = f"; {left} not submitted yet" if left else ""
        self.say(f"detached: {counts or 'no job'} without this command{rest}")
        self.say(f"  come back  {self._command}")
        self.say(f"  look       python -m repghost.sweep status {self._study}{self._where()}")
        self.say(f"  end them   python -m repghost.sweep stop {self._study}{self._where()}")
        return code

    def _where(self) -> str:
        return "" if self.base.outputs == "outputs" else f" --outputs {self.base.outputs}"

    def _close(self) -> int:
        """Write table and report where they changed, print the table, and count the failures."""
        tickets = self.ledger.tickets()
        self._results.update(tickets, anew=True)
        asked, changed = self.ledger.asked(), self._results.write()
        tracking = self.base.tracking
        close(self._folder, asked, self.evaluator, changed, self.console, tracking)
        for line in left_to_workers(self._still_to_come()):
            self.say(line)
        failed = [ticket for ticket in asked if ticket.life.state == "failed"]
        if any(not ticket.life.lost for ticket in failed):
            self.say("what failed is not tried again by itself: retry=failed does it")
        return int(bool(failed))

    def say(self, text: str) -> None:
        """Print a line as it is."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _check_cohort(cohort: int, launcher: Launcher) -> None:
    """Refuse cohorts of trainings that have several processes each.

    Raises:
        ValueError: that was asked for.
    """
    nodes = launcher.nodes if isinstance(launcher, SlurmSpec) else 1
    if cohort > 1 and launcher.tasks_per_node * nodes > 1:
        raise ValueError(
            f"sweep.cohort={cohort}: needs trainings of one process each"
            " (hydra.launcher.tasks_per_node=1, nodes=1)"
        )
