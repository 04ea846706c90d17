"""What a sweep asks of its variants: how far each is by its files, and what to run next."""

import shutil
from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Protocol

from repghost.cores import threads_for
from repghost.failures import ALMOST_NOTHING
from repghost.latency.record import Measurement
from repghost.latency.store import Store
from repghost.run import Run
from repghost.settings import Settings
from repghost.steps import End, Step, next_step
from repghost.sweep.extra import Longer, ways_to_time
from repghost.sweep.jobs.contract import Task
from repghost.sweep.rungs import Curve
from repghost.sweep.ticket import Outcome, Ticket
from repghost.timing import Mark, Timings, waits_for_worker
from repghost.trial import run_stage


class Evaluator(Protocol):
    """Everything that the scheduler knows of what a variant is."""

    def review(self, ticket: Ticket) -> str | Outcome:
        """Say from the files alone which stage a variant needs next, or how it ended."""
        ...

    def task(self, ticket: Ticket, stage: str, cohort: str = "") -> Task:
        """Return the work of one stage, ready for a job, alone or in the cohort of that name."""
        ...

    def stream(self, ticket: Ticket) -> str:
        """Name the batches that the variant is trained on: equal for those that get the same."""
        ...

    def error(self, ticket: Ticket) -> str | None:
        """Return why the variant's code failed, None where it did not."""
        ...

    def progress(self, ticket: Ticket) -> float:
        """Return a number that grows whenever something was saved that a new job goes on from."""
        ...

    def is_at_work(self, ticket: Ticket) -> bool:
        """Whether some process works on the variant now, such as a job of another study."""
        ...

    def curve(self, ticket: Ticket) -> Curve | None:
        """Return the epochs so far, for early stopping; None before the first."""
        ...

    def blocked(self) -> str | None:
        """Return why no job should be started now, such as a full disk."""
        ...

    def awaited(self, ticket: Ticket) -> str:
        """Say in words what a variant waits for that no job here brings."""
        ...


class TrialEvaluator:
    """The road of `repghost.trial`: prepare, measure, train.

    Trainings on this machine share its cores, `parallel` at a time, each of so many `processes`;
    with None each takes what the cluster gives to its job. `longer` are the study's longer
    measurements by graph, as its ledger has them, each in place of the one before once it is made.
    """

    def __init__(
        self,
        store: Store,
        outputs: str,
        parallel: int | None,
        processes: int = 1,
        *,
        longer: Mapping[str, Longer] = MappingProxyType({}),
    ) -> None:
        self.timings = Timings(store)
        self._outputs = outputs
        self._threads = {
            "prepare": threads_for(1),
            "measure": threads_for(1),
            "train": None if parallel is None else threads_for(parallel * processes),
        }
        self._processes = processes
        self._longer = longer

    def latency(self, ticket: Ticket, name: str | None = None) -> Measurement | None:
        """Return the latency of the variant's network, by default on the first device."""
        run, first = self._run(ticket), ticket.settings.latency.devices[0]
        ways = self._ways(ticket) if name in (None, first) else [ticket.settings]
        return next(filter(None, (self.timings.latency(way, run, name) for way in ways)), None)

    def backbone(self, ticket: Ticket) -> Measurement | None:
        """Return the latency of a detector's backbone on the first device."""
        graphs = self._run(ticket).graphs(ticket.settings.timed_shape)[1:]
        pairs = ((way, graph) for way in self._ways(ticket) for graph in graphs)
        return next(filter(None, (self.timings.of_graph(*pair) for pair in pairs)), None)

    def foresee(self, tickets: Iterable[Ticket]) -> None:
        """Read what is known of these variants' latencies in few queries."""
        graphs = (self._run(ticket).graphs(ticket.settings.timed_shape) for ticket in tickets)
        self.timings.read({graph for some in graphs for graph in some})

    def review(self, ticket: Ticket) -> Step | Outcome:
        """Say from files and database alone which stage a variant needs next, or how it ended."""
        _, step = self._next(ticket)
        if not isinstance(step, End):
            return step
        latency = step.latency
        ms, ratio = (latency.latency_ms, latency.latency_ratio) if latency else (None, None)
        return Outcome(step.state, step.score, ms, step.reason, ratio=ratio)

    def _next(self, ticket: Ticket) -> tuple[Settings, Step | End]:
        """Return what a variant needs next, or its end, and the settings of that.

        After the end comes a longer measurement; the end stands where that one fails.
        """
        run, (*longer, own) = self._run(ticket), self._ways(ticket)
        step = next_step(own, run, self.timings)
        if not isinstance(step, End) or step.state == "failed":
            return own, step
        for settings in longer:
            further = next_step(settings, run, self.timings)
            if not isinstance(further, End) or further.state != "failed":
                return settings, further
        return own, step

    def _ways(self, ticket: Ticket) -> list[Settings]:
        return ways_to_time(ticket.settings, self._run(ticket), self._longer)

    def awaited(self, ticket: Ticket) -> str:
        """Name the device whose worker is waited for."""
        return f"waits for its latency on {ticket.settings.latency.devices[0]}"

    def further(self, ticket: Ticket) -> dict[str, Mark]:
        """Return how far the latency is on each device but the first that is timed on."""
        deployed = self._run(ticket).deployed(ticket.settings.timed_shape)
        if deployed is None or len(ticket.settings.latency.devices) < 2:
            return {}
        marks = self.timings.marks(ticket.settings, deployed["fingerprint"])
        first = ticket.settings.latency.devices[0]
        return {name: mark for name, mark in marks.items() if name != first}

    def needed_of_workers(self, ticket: Ticket) -> set[str]:
        """Return the devices on which a worker has yet to make the variant's latency.

        One that ended without its first latency, such as a stopped one, does not need it any more.
        """
        if not ticket.life.ended:
            return self.timings.needed_of_workers(self._next(ticket)[0], self._run(ticket))
        marks = self.further(ticket).items()
        return {name for name, mark in marks if waits_for_worker(name, mark)}

    def task(self, ticket: Ticket, stage: str, cohort: str = "") -> Task:
        """Return a stage of `repghost.trial`."""
        arguments = (self._next(ticket)[0], stage, self._threads[stage])
        several = stage == "train" and self._processes > 1
        function = partial(run_stage, processes=self._processes) if several else run_stage
        return Task(ticket.row, ticket.key, stage, function, arguments, cohort)

    def stream(self, ticket: Ticket) -> str:
        """As `Settings.stream`."""
        return ticket.settings.stream

    def error(self, ticket: Ticket) -> str | None:
        """Return the first line of the run's `error.txt`."""
        return self._run(ticket).error()

    def forgive(self, ticket: Ticket) -> None:
        """Forget why the variant's code or its measurement failed, before another try."""
        run = self._run(ticket)
        run.forgive()
        self.timings.forgive(ticket.settings, run)

    def progress(self, ticket: Ticket) -> float:
        """Return when the last checkpoint was written, 0 before the first."""
        try:
            return self._run(ticket).checkpoint.stat().st_mtime
        except OSError:
            return 0.0

    def is_at_work(self, ticket: Ticket) -> bool:
        """Whether a process holds the run's lock."""
        return self._run(ticket).lock.is_held()

    def curve(self, ticket: Ticket) -> Curve | None:
        """Return the first objective after each epoch so far."""
        history, latency = self._run(ticket).history(), self.latency(ticket)
        if not history or latency is None:
            return None
        objective = ticket.settings.objective
        return Curve(
            row=ticket.row,
            group=ticket.configuration,
            latency_ms=latency.latency_ms,
            epochs=ticket.settings.recipe.epochs,
            scores=tuple(record[objective.name] for record in history),
            label=objective.label,
            task=ticket.settings.task.kind,
        )

    def blocked(self) -> str | None:
        """Say that the disk of the outputs is full, where it is."""
        free = shutil.disk_usage(self._outputs).free
        if free >= ALMOST_NOTHING:
            return None
        return f"the disk of {self._outputs} is full ({free} bytes free)"

    def _run(self, ticket: Ticket) -> Run:
        return Run(ticket.settings.outputs, ticket.key)
