"""The loop that joins study, jobs and variants: no barrier, nothing raised, nothing forgotten."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

from repghost.steps import AWAIT
from repghost.sweep.cohorts import Cohorts
from repghost.sweep.evaluator import Evaluator
from repghost.sweep.flights import DOING, Flight, Places, state_of
from repghost.sweep.jobs.contract import Backend, Job, Phase, Sight
from repghost.sweep.rungs import Curve, StopSpec, verdict
from repghost.sweep.study import Ledger
from repghost.sweep.ticket import AT_WORK, REQUEUED, TIMING, WAITING, Outcome, Ticket

AWAITED_S = 2.0  # between two looks at what workers have brought
LONGEST_PAUSE_S = 60.0  # between two tries at what the machine lost
RUNGS_S = 2.0  # between two looks at the curves


class Scheduler:
    """Brings every ticket to its end; a variant that fails is told, never raised.

    What is going on is asked of the backends and of the variants' files at every pass. `more`
    gives further tickets while there is room, as a search does.
    """

    def __init__(
        self,
        ledger: Ledger,
        evaluator: Evaluator,
        places: Places,
        *,
        max_requeues: int,
        stop: StopSpec,
        cohort: int = 1,
        more: Callable[[int], Iterable[Ticket]] = lambda room: (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger, self._evaluator, self._places = ledger, evaluator, places
        self._max_requeues, self._stop, self._more = max_requeues, stop, more
        self._cohorts = Cohorts(cohort, evaluator.stream)
        self._clock = clock
        self.flights: dict[Ticket, Flight] = {}
        self.todo: dict[Ticket, str] = {}
        self.awaiting: dict[Ticket, None] = {}  # an ordered set: a worker is to bring their latency
        self.notices: list[str] = []
        self._not_before: dict[Ticket, float] = {}
        self._curves: dict[Ticket, Curve] = {}
        self._halting: dict[Ticket, Outcome] = {}
        self._look_at_rungs = self._look_at_awaited = 0.0
        self._blocked: str | None = None

    def adopt(self, tickets: Sequence[Ticket]) -> None:
        """Take over `tickets` and all jobs of the study that are queued or running."""
        by_row = {ticket.row: ticket for ticket in [*self._ledger.tickets(), *tickets]}
        for backend in self._places.both:
            for job in backend.adopt():
                ticket = by_row.get(job.row)
                if ticket and not ticket.life.ended and ticket not in self.flights:
                    self.flights[ticket] = Flight(job, self._evaluator.progress(ticket))
        for ticket in tickets:
            known = ticket in self.flights or ticket in self.todo or ticket in self.awaiting
            if not known and not ticket.life.ended:
                self._advance(ticket)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.flights and not self.todo and not self.awaiting

    @property
    def _at_hand(self) -> int:
        return len(self.flights) + len(self.todo) + len(self.awaiting)

    @property
    def only_waits(self) -> bool:
        """Whether nothing is left to measure here, and what is left to submit found no room."""
        stages = [flight.job.stage for flight in self.flights.values()]
        return set(stages + list(self.todo.values())) <= {"train"} and not self.startable()

    def take_notices(self) -> list[str]:
        """Return what the user should be told, once."""
        said, self.notices = self.notices, []
        return said

    def one_pass(self) -> None:
        """Look at every job once, go on with those that ended, and start what may start.

        Raises:
            OSError: the ledger could not be written; another pass goes on where this one stood.
        """
        self._look()
        self._look_for_awaited()
        self._halt()
        self._take_more()
        self._start()

    def _look(self) -> None:
        for backend in self._places.both:
            mine = {f.job: t for t, f in self.flights.items() if self._at(f.job) is backend}
            for job, sight in backend.poll(mine).items() if mine else ():
                self._see(mine[job], sight)
            self.notices += backend.notices()

    def _look_for_awaited(self) -> None:
        """Go on with those whose latency a worker has brought."""
        if self.awaiting and self._clock() >= self._look_at_awaited:
            self._look_at_awaited = self._clock() + AWAITED_S
            for ticket in list(self.awaiting):
                if self._evaluator.review(ticket) != AWAIT:
                    del self.awaiting[ticket]
                    self._advance(ticket)

    def _at(self, job: Job) -> Backend:
        return self._places.of(job.stage)

    def _see(self, ticket: Ticket, sight: Sight) -> None:
        """Note what a poll saw of a variant's job."""
        flight = self.flights[ticket]
        if sight.phase is Phase.ENDED:
            self._advance(ticket, flight, sight)
        elif sight.phase is not Phase.UNKNOWN:
            flight.sight = sight
            self._note(ticket, state_of(ticket, flight), sight.reason, flight.job)

    def _note(self, ticket: Ticket, state: str, cause: str, job: Job) -> None:
        """Write a state that is new; why a job waits changes often and is only shown."""
        if ticket.life.state != state or ticket.life.job != job.id:
            self._ledger.move(ticket, state, cause=cause, job=job.id)

    def _advance(
        self, ticket: Ticket, flight: Flight | None = None, sight: Sight | None = None
    ) -> None:
        """Go on with a variant that nobody is at work on: to its next stage, or to its end."""
        step = self._evaluator.review(ticket)
        if not isinstance(step, Outcome) and ticket in self._halting:
            step = self._halting[ticket]
        if flight is None and not isinstance(step, Outcome):
            step = self._failed_before(ticket) or step
        if flight and sight and step == flight.job.stage:
            step = self._failed_or_again(ticket, flight, sight)
        if isinstance(step, Outcome):
            self._ledger.tell(ticket, step)
            self.todo.pop(ticket, None)
        elif step == AWAIT:
            self._await(ticket)
        else:
            if ticket.life.state in AT_WORK:
                self._ledger.move(ticket, WAITING, **self._lost_unseen(ticket, step, flight))
            self.todo[ticket] = step
        self.flights.pop(ticket, None)
        self._halting.pop(ticket, None)

    def _await(self, ticket: Ticket) -> None:
        """Leave a variant to the worker that measures it; no job is at work on it."""
        self.todo.pop(ticket, None)
        self.awaiting[ticket] = None
        if ticket.life.state != TIMING:
            self._ledger.move(ticket, TIMING, cause=self._evaluator.awaited(ticket), job="")

    def _failed_before(self, ticket: Ticket) -> Outcome | None:
        """Return the end of a variant whose code failed unseen, or in another study."""
        error = self._evaluator.error(ticket)
        return Outcome("failed", reason=error) if error else None

    def _lost_unseen(self, ticket: Ticket, step: str, flight: Flight | None) -> dict[str, Any]:
        """Return what to note of a job that ended without a result while no driver ran."""
        ran = "running" if ticket.life.state == "preempted" else ticket.life.state
        if flight or ran != DOING[step]:
            return {}
        progressed = self._evaluator.progress(ticket) > ticket.life.since
        requeues = 0 if progressed else ticket.life.requeues + 1
        return {"cause": f"{REQUEUED}its job ended unseen", "requeues": requeues}

    def _failed_or_again(self, ticket: Ticket, flight: Flight, sight: Sight) -> str | Outcome:
        """Tell a failure of the code from a job lost to the machine, which goes on."""
        if error := self._evaluator.error(ticket):
            return Outcome("failed", reason=error)
        cause = self._evaluator.blocked() or sight.reason or "the job ended without a result"
        progressed = self._evaluator.progress(ticket) > flight.saved
        lost = 0 if progressed else ticket.life.requeues + sight.started
        if lost > self._max_requeues:
            tries = f"{lost} jobs in a row were lost without progress (max_requeues)"
            return Outcome("failed", reason=f"{cause}; {tries}", lost=True)
        self._ledger.move(ticket, WAITING, cause=f"{REQUEUED}{cause}", requeues=lost)
        self.notices.append(f"{ticket.name}: {REQUEUED}{cause}")
        pause = min(2.0**lost, LONGEST_PAUSE_S) if lost else 0.0
        self._not_before[ticket] = self._clock() + pause
        return flight.job.stage

    def _halt(self) -> None:
        """End trainings that enough others have clearly beaten at a rung."""
        if not self._stop.active or self._clock() < self._look_at_rungs:
            return
        self._look_at_rungs = self._clock() + RUNGS_S
        for ticket in self._ledger.tickets():
            once = ticket.life.ended and ticket not in self._curves
            if (once or ticket in self.flights) and (curve := self._evaluator.curve(ticket)):
                self._curves[ticket] = curve
        for ticket, flight in self.flights.items():
            if flight.job.stage == "train" and ticket in self._curves:
                self._judge(ticket, flight)

    def _judge(self, ticket: Ticket, flight: Flight) -> None:
        """Ask a job to end if its variant's curve says so, unless other rows wait for its run."""
        curve = self._curves[ticket]
        if any(other.key == ticket.key for other in self.todo):
            return
        others = [other for other in self._curves.values() if other is not curve]
        if ticket not in self._halting and (halt := verdict(curve, others, self._stop)):
            self._halting[ticket] = Outcome("stopped", None, curve.latency_ms, str(halt))
            self._at(flight.job).cancel([flight.job])

    def _take_more(self) -> None:
        """Fill the room with further tickets; here with as many again, to be measured together."""
        slots = self._places.training.slots * self._cohorts.size
        ahead = 2 * slots if self._places.training.trains_here else slots
        while room := max(0, ahead - self._at_hand):
            tickets = list(self._more(room))
            for ticket in tickets:
                self._advance(ticket)
            if not tickets:
                return

    def _start(self) -> None:
        self._blocked, before = self._evaluator.blocked(), self._blocked
        if self._blocked:
            self.notices += [f"{self._blocked}: nothing is started until there is space"] * (
                self._blocked != before
            )
            return
        for tickets in self.startable():
            if still := [ticket for ticket in tickets if self._is_still_needed(ticket)]:
                self._submit(still)

    def _is_still_needed(self, ticket: Ticket) -> bool:
        """Look once more before a job is started: another row, or study, may have done it."""
        if self._evaluator.review(ticket) == self.todo[ticket]:
            return True
        self._advance(ticket)
        return False

    def startable(self) -> list[list[Ticket]]:
        """Return what to hand over now, together: measurements, trainings.

        What prepares or measures has this machine to itself; all that wait are measured together.
        """
        now, stages = self._clock(), [flight.job.stage for flight in self.flights.values()]
        ready = [t for t in self.todo if self._not_before.get(t, 0.0) <= now]
        here = self._places.training.trains_here
        measuring = bool(set(stages) - {"train"})
        measure = [] if measuring or (here and stages) else self._to_measure(ready)
        if here and (measuring or measure):
            return [measure] if measure else []
        return [group for group in (measure, self._to_train(ready)) if group]

    def _to_train(self, ready: Sequence[Ticket]) -> list[Ticket]:
        """Return the trainings that there is room for, those of a cohort in a row."""
        at_work = [f.job for f in self.flights.values() if f.job.stage == "train"]
        measured = [t for t, f in self.flights.items() if f.job.stage != "train"]
        coming = measured + [ticket for ticket, stage in self.todo.items() if stage != "train"]
        free = self._once(t for t in ready if self.todo[t] == "train")
        groups = self._cohorts.ready(free, coming, self._places.training.room(at_work))
        return [ticket for group in groups for ticket in group]

    def _to_measure(self, ready: Sequence[Ticket]) -> list[Ticket]:
        """Return what is to be prepared or, once all of that is, measured together."""
        for stage in ("prepare", "measure"):
            if free := list(self._free(t for t in ready if self.todo[t] == stage)):
                return free
        return []

    def _free(self, tickets: Iterable[Ticket]) -> Iterator[Ticket]:
        """Yield those on which nobody else works, such as a job of another study."""
        return (ticket for ticket in tickets if not self._evaluator.is_at_work(ticket))

    def _once(self, tickets: Iterable[Ticket]) -> Iterator[Ticket]:
        """Yield one ticket of each run that is free: rows that differ in how they are timed."""
        keys = {ticket.key for ticket, f in self.flights.items() if f.job.stage == "train"}
        for ticket in self._free(t for t in tickets if t.key not in keys):
            if ticket.key not in keys:
                keys.add(ticket.key)
                yield ticket

    def _submit(self, tickets: list[Ticket]) -> None:
        stage = self.todo[tickets[0]]
        backend = self._places.of(stage)
        while tickets:
            named = self._cohorts.named(tickets) if stage == "train" else zip(tickets, repeat(""))
            tasks = [self._evaluator.task(ticket, stage, name) for ticket, name in named]
            jobs = backend.submit(tasks)
            taken = {job.row: job for job in jobs}
            for ticket in [ticket for ticket in tickets if ticket.row in taken]:
                del self.todo[ticket]
                saved = self._evaluator.progress(ticket)
                self.flights[ticket] = Flight(taken[ticket.row], saved)
            for ticket in [ticket for ticket in tickets if ticket.row in taken]:
                self._note(ticket, "queued", "", taken[ticket.row])
            tickets = [ticket for ticket in tickets if ticket.row not in taken] if jobs else []
