"""How far a study is: read from ledger, runs' files and cluster, and nothing of it changed."""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from repghost.latency.queue.database import StoreError
from repghost.latency.store import Store
from repghost.objective import TOP1, Objective
from repghost.run import Run
from repghost.sweep.console.folder import StudyFolder
from repghost.sweep.console.jobs_seen import JobsSeen, Standing, look_at_jobs
from repghost.sweep.evaluator import TrialEvaluator
from repghost.sweep.extra import Longer
from repghost.sweep.jobs.launchers import LocalSpec, SlurmSpec
from repghost.sweep.study import Ledger
from repghost.sweep.ticket import ENDS, TIMING, WAITING, Ticket

HOUR_S = 3600.0
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Progress:
    """How far the training of a run is, by its files; times in seconds."""

    epoch: int = 0
    epochs: int | None = None  # None: of no interest any more
    score: float | None = None
    seconds: float = 0.0

    @property
    def pace(self) -> float | None:
        """Seconds of one epoch, None before the first."""
        return self.seconds / self.epoch if self.epoch else None


@dataclass(frozen=True)
class Row:
    """One variant as it stands; what is not known is None. `score` is that of its `objective`."""

    variant: str
    swept: dict[str, Any]
    key: str
    state: str
    since: float | None  # Unix time
    job: str
    node: str
    epoch: int
    epochs: int | None
    score: float | None
    latency_ms: float | None
    reason: str
    requeues: int  # how often it was handed over anew
    preemptions: int
    seconds: float  # of training so far
    left_s: float | None  # of training
    objective: Objective = TOP1

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come."""
        return self.state in ENDS

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON, the score under its own name."""
        names = {"score": self.objective.name}
        rest = {name: value for name, value in vars(self).items() if name != "objective"}
        return {names.get(name, name): value for name, value in rest.items()}


@dataclass(frozen=True)
class Status:
    """One look at a study; `slots` is how many trainings go on at a time."""

    study: str
    folder: str
    command: str
    holder: str | None  # the living driver
    killed: str | None  # a driver that left without a word
    launcher: str
    remarks: list[str]
    rows: list[Row]
    hours: float  # of training, each run once
    gpus: int  # that each training asks for
    slots: int
    left_s: float | None

    @property
    def counts(self) -> dict[str, int]:
        """How many variants are in each state."""
        return counted_states(row.state for row in self.rows)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return all(row.ended for row in self.rows)

    @property
    def requeues(self) -> int:
        """How often jobs were handed over anew."""
        return sum(row.requeues for row in self.rows)

    @property
    def preemptions(self) -> int:
        """How often running jobs had to wait again."""
        return sum(row.preemptions for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "study": self.study,
            "command": self.command,
            "driver": {"alive": self.holder is not None, "holder": self.holder or self.killed},
            "launcher": self.launcher,
            "counts": self.counts,
            "done": self.done,
            "hours": self.hours,
            "gpu_hours": self.hours * self.gpus,
            "left_s": self.left_s,
            "slots": self.slots,
            "requeues": self.requeues,
            "preemptions": self.preemptions,
            "remarks": self.remarks,
            "variants": [row.as_dict() for row in self.rows],
        }


def counted_states(states: Iterable[str]) -> dict[str, int]:
    """Count states, those of work in progress first."""
    found = Counter(states)
    order = ("running", "measuring", "preempted", "queued", TIMING, WAITING, *ENDS)
    return {state: found[state] for state in order if found[state]}


def status_of(study: StudyFolder) -> Status:
    """Look at a study, whether a process drives it now or none.

    Raises:
        ValueError: its ledger cannot be read.
    """
    seen = look_at_jobs(study)  # before the ledger: what ends meanwhile has its end there
    holder, killed = driver_of(study)
    ledger = Ledger.read(study.path, study.name, study.settings)
    tickets = ledger.tickets()
    latencies, remarks = _latencies(study, tickets, ledger.longer)
    done = {ticket.key: _progress(ticket) for ticket in tickets}
    usual = _usual_pace(done.values())
    rows = [
        _row(one, seen.standing(one, bool(holder)), done[one.key], latencies, usual)
        for one in tickets
    ]
    strays = 0 if holder else seen.strays(tickets)
    slots = _slots(study, seen)
    return Status(
        study=study.name,
        folder=str(study.path),
        command=study.command,
        holder=holder,
        killed=killed,
        launcher="local" if isinstance(study.launcher, LocalSpec) else "slurm",
        remarks=[*([seen.silent] if seen.silent else []), *remarks, *_said(strays)],
        rows=rows,
        hours=sum(progress.seconds for progress in done.values()) / HOUR_S,
        gpus=_gpus(study.launcher),
        slots=slots,
        left_s=_left(rows, slots),
    )


def driver_of(study: StudyFolder) -> tuple[str | None, str | None]:
    """Return the living driver of a study, and the last one if it was killed, in words."""
    lock = study.lock
    if lock.is_held():
        return lock.holder(), None
    last = lock.holder()
    return None, last if last.startswith("process") else None  # who leaves in order leaves no name


def _said(strays: int) -> list[str]:
    end = "`python -m repghost.sweep stop` ends them"
    return [f"jobs at work on variants that have ended: {strays}; {end}"] if strays else []


def _latencies(
    study: StudyFolder, tickets: Sequence[Ticket], longer: Mapping[str, Longer]
) -> tuple[dict[str, float], list[str]]:
    """Return the latencies by row that the ledger does not have yet, and why some are missing."""
    url, outputs = study.settings.storage.url, study.settings.outputs
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists():
        return {}, []  # to open it would make it
    asked = [one for one in tickets if one.life.latency_ms is None]
    if not asked:
        return {}, []
    try:
        evaluator = TrialEvaluator(Store(url), outputs, None, longer=longer)
        evaluator.foresee(asked)
        found = {one.row: evaluator.latency(one) for one in asked}
    except StoreError as error:
        return {}, [f"latencies of what has not ended: {error}"]
    return {row: latency.latency_ms for row, latency in found.items() if latency}, []


def _progress(ticket: Ticket) -> Progress:
    run = Run(ticket.settings.outputs, ticket.key)
    name = ticket.settings.objective.name
    if result := run.result():
        epochs = result["epochs"]
        return Progress(epochs, epochs, result[name], result["seconds"])
    history = run.history()
    epochs = None if ticket.life.ended and not history else ticket.settings.recipe.epochs
    seconds = sum(record["seconds"] for record in history)
    return Progress(len(history), epochs, history[-1][name] if history else None, seconds)


def _usual_pace(found: Iterable[Progress]) -> float | None:
    """Return the mean seconds of an epoch: of trainings at their end, or else of all."""
    known = [(one.pace, one.epoch == one.epochs) for one in found]
    ended = [pace for pace, is_ended in known if pace and is_ended]
    paces = ended or [pace for pace, _ in known if pace]
    return fmean(paces) if paces else None


def _row(
    ticket: Ticket,
    standing: Standing,
    progress: Progress,
    latencies: Mapping[str, float],
    usual_pace: float | None,
) -> Row:
    life = ticket.life
    return Row(
        variant=ticket.name,
        swept=dict(ticket.swept),
        key=ticket.key,
        state=standing.state,
        since=standing.since,
        job=standing.job,
        node=standing.node,
        epoch=progress.epoch,
        epochs=progress.epochs,
        score=life.score if life.score is not None else progress.score,
        latency_ms=life.latency_ms if life.latency_ms is not None else latencies.get(ticket.row),
        reason=standing.reason,
        requeues=ticket.losses,
        preemptions=sum(one.state == "preempted" for one in ticket.lives),
        seconds=progress.seconds,
        left_s=None if life.ended else _remaining(progress, usual_pace),
        objective=ticket.settings.objective,
    )


def _remaining(progress: Progress, usual_pace: float | None) -> float | None:
    """Return the seconds until the end of a training; None where no pace is known."""
    epochs, pace = (progress.epochs or 0) - progress.epoch, progress.pace or usual_pace
    return None if epochs and not pace else epochs * (pace or 0.0)


def _left(rows: Sequence[Row], slots: int) -> float | None:
    """Return the seconds until all trainings end, filled into the slots in their order.

    None where that is not known: no pace is, or all that is left is to measure.
    """
    open_rows = {row.key: row for row in rows if not row.ended}.values()
    lengths = [row.left_s for row in sorted(open_rows, key=lambda row: row.state != "running")]
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths) or (lengths and not sum(known)):
        return None
    ends = [0.0] * slots
    for length in known:
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)


def _slots(study: StudyFolder, seen: JobsSeen) -> int:
    """Return how many train at a time; where a cluster lets jobs wait, as many as run there."""
    if isinstance(study.launcher, LocalSpec):
        return study.settings.parallel
    most = study.launcher.array_parallelism
    return min(most, seen.training) if seen.training and seen.queued else most


def _gpus(launcher: LocalSpec | SlurmSpec) -> int:
    if isinstance(launcher, LocalSpec):
        return 0
    named = [resource.strip().split(":") for resource in (launcher.gres or "").split(",")]
    counts = [_count(words[-1]) for words in named if words[0] in ("gpu", "gres/gpu")]
    tasks = (launcher.gpus_per_task or 0) * launcher.tasks_per_node
    return launcher.nodes * (launcher.gpus_per_node or tasks or sum(counts))


def _count(word: str) -> int:
    """Return the number of a resource such as "2", or "2(S:0)"; without one it is 1."""
    number = word.partition("(")[0]
    return int(number) if number.isdecimal() else 1
