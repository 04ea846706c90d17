"""The loop that joins study, jobs and variants: no barrier, nothing raised, nothing forgotten."""

from collections.abc import Callable, Sequence
from typing import Protocol

from repghost.sweep.jobs import Job
from repghost.sweep.study import Outcome, Ticket
from repghost.trial import Stage

POLL_S = 0.3


class Backend(Protocol):
    """Where stages run."""

    def submit(self, ticket: Ticket, stage: Stage) -> Job: ...
    def adopt(self, ticket: Ticket) -> Job | None: ...
    def ended(self, ticket: Ticket, job: Job) -> bool: ...
    def why(self, ticket: Ticket, job: Job) -> str: ...


def drive(
    tickets: Sequence[Ticket],
    backend: Backend,
    *,
    review: Callable[[Ticket], Stage | Outcome],
    tell: Callable[[Ticket, Outcome], None],
    parallel: int,
    sleep: Callable[[float], None],
    show: Callable[[dict[Ticket, Job]], None],
) -> None:
    """Bring every ticket to its end, up to `parallel` trainings at a time.

    `review` says from the files alone what a variant needs next or how it ended; `tell` records an
    end; `show` sees what is running. A variant that fails is told, never raised.
    """
    running = {ticket: job for ticket in tickets if (job := backend.adopt(ticket))}
    todo: dict[Ticket, Stage] = {}

    def advance(ticket: Ticket, ended: Job | None) -> None:
        step = review(ticket)
        if ended and step == ended.stage:
            step = Outcome("failed", reason=backend.why(ticket, ended))
        if isinstance(step, Outcome):
            tell(ticket, step)
        else:
            todo[ticket] = step

    for ticket in tickets:
        if ticket not in running:
            advance(ticket, None)
    while todo or running:
        for ticket in [ticket for ticket, job in running.items() if backend.ended(ticket, job)]:
            advance(ticket, running.pop(ticket))
        for ticket in startable(todo, running, parallel):
            running[ticket] = backend.submit(ticket, todo.pop(ticket))
        show(running)
        sleep(POLL_S)


def startable(todo: dict[Ticket, Stage], running: dict[Ticket, Job], parallel: int) -> list[Ticket]:
    """Return the tickets to start now: a measurement has the machine to itself, and comes first."""
    to_measure = [ticket for ticket, stage in todo.items() if stage == "measure"]
    if to_measure:
        return [] if running else to_measure[:1]
    if any(job.stage == "measure" for job in running.values()):
        return []
    return list(todo)[: max(0, parallel - len(running))]
