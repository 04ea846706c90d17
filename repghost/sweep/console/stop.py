"""End a study's work: its driver leaves, its jobs save and end, what was open is cancelled."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from repghost.latency.queue.database import StoreError
from repghost.latency.store import Store
from repghost.lock import Held, Lock
from repghost.run import Run
from repghost.sweep.console.folder import StudyFolder
from repghost.sweep.driver import STOP
from repghost.sweep.evaluator import TrialEvaluator
from repghost.sweep.jobs.contract import Backend, Job, Phase
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.sweep.jobs.local import LocalJobs
from repghost.sweep.results import Results
from repghost.sweep.study import Ledger
from repghost.sweep.ticket import IN_JOBS, Outcome, Ticket
from repghost.words import counted

CAUSE = "stopped by python -m repghost.sweep stop"
LEAVES_WITHIN_S = 30.0  # a driver looks every two seconds
ENDS_WITHIN_S = 120.0  # a job saves first; SLURM kills it after half a minute by default
POLL_S = 0.5
Say = Callable[[str], None]


@dataclass
class Ended:
    """What became of a study's jobs; `silent` says why those of a place are not known."""

    told: set[Job] = field(default_factory=set)
    alive: set[Job] = field(default_factory=set)
    silent: str = ""

    def may_go_on(self, ticket: Ticket) -> bool:
        """Whether a job may still be at work on a variant."""
        if self.silent and ticket.life.state in IN_JOBS:
            return True
        return any(job.row == ticket.row for job in self.alive)


def stop_study(
    study: StudyFolder,
    say: Say,
    *,
    leaves_within_s: float = LEAVES_WITHIN_S,
    ends_within_s: float = ENDS_WITHIN_S,
) -> int:
    """End all jobs of a study and cancel what has not ended; return 1 if some may go on, else 0.

    Raises:
        ValueError: its driver does not leave, or the cluster cannot be asked from here.
    """
    places = _places(study)
    lock = study.lock
    _take(lock, study, say, leaves_within_s)
    try:
        (study.path / STOP).unlink(missing_ok=True)
        ledger = Ledger(study.path, study.name, study.settings)
        ended = _end_all(places, say, ends_within_s)
        moved = _cancel(study, ledger, ended, say)
        _report(study, ledger, ended, moved, say)
    finally:
        lock.release()
    return int(bool(ended.alive or ended.silent))


def _places(study: StudyFolder) -> list[Backend]:
    places: list[Backend] = [LocalJobs(study.path, slots=1)]
    if isinstance(study.launcher, SlurmSpec):
        from repghost.sweep.jobs.slurm import SlurmJobs

        places.append(SlurmJobs(study.path, study.launcher))
    return places


def _take(lock: Lock, study: StudyFolder, say: Say, patience_s: float) -> None:
    """Take the driver's lock; a driver that has it is asked to leave.

    Raises:
        ValueError: it does not.
    """
    give_up = time.monotonic() + patience_s
    asked = False
    while True:
        try:
            return lock.acquire()
        except Held as held:
            if time.monotonic() > give_up:
                raise ValueError(
                    f"study {study.name}: {held} was asked to leave but holds it for"
                    f" {patience_s:g} s more; end that process and run this again"
                ) from None
            if not asked:
                say(f"asking the driver to leave: {held}")
            asked = True
            (study.path / STOP).touch()  # every time: a driver that starts takes an old one away
            time.sleep(POLL_S)


def _end_all(places: Sequence[Backend], say: Say, patience_s: float) -> Ended:
    ended = Ended()
    for place in places:
        try:
            _end(place, ended, say, patience_s)
        except ValueError as error:
            ended.silent = str(error)
        for notice in place.notices():
            say(notice)
    return ended


def _end(place: Backend, ended: Ended, say: Say, patience_s: float) -> None:
    """Have the jobs of a place end, and wait for that; those that rise again meanwhile too.

    Raises:
        ValueError: the place does not answer.
    """
    give_up = time.monotonic() + patience_s
    told: set[Job] = set()
    while new := set(place.adopt()) - told:
        say(f"ending {counted(len(new), 'job')}; a training saves its checkpoint first")
        place.cancel(new)
        told |= new
        ended.told |= new
        while alive := _alive(place, told):
            if time.monotonic() > give_up:
                ended.alive |= alive
                return
            time.sleep(POLL_S)


def _alive(place: Backend, jobs: set[Job]) -> set[Job]:
    return {job for job, sight in place.poll(jobs).items() if sight.phase is not Phase.ENDED}


def _cancel(study: StudyFolder, ledger: Ledger, ended: Ended, say: Say) -> Counter[str]:
    """Tell what has a result, cancel what has none, and count both by their state."""
    tickets = [one for one in ledger.tickets() if not one.life.ended and not ended.may_go_on(one)]
    evaluator = _evaluator(study, say)
    with ledger.together():
        for ticket in tickets:
            step = evaluator.review(ticket) if evaluator else None
            if isinstance(step, Outcome):
                ledger.tell(ticket, step)
            else:
                ledger.move(ticket, "cancelled", cause=CAUSE)
    if evaluator and tickets:
        results = Results(study.path / "results.csv", study.name, evaluator)
        results.update(ledger.tickets())
        results.write()
    return Counter(ticket.life.state for ticket in tickets)


def _evaluator(study: StudyFolder, say: Say) -> TrialEvaluator | None:
    """Without a database nobody knows what has a result; the next driver finds it in the files."""
    settings = study.settings
    try:
        return TrialEvaluator(Store(settings.storage.url), settings.outputs, None)
    except StoreError as error:
        say(str(error))
        return None


def _report(
    study: StudyFolder, ledger: Ledger, ended: Ended, moved: Counter[str], say: Say
) -> None:
    tickets = ledger.tickets()
    if ended.silent:
        say(f"{ended.silent}; what may run there is left as it is: run this again")
    if ended.alive:
        ids = ", ".join(sorted(job.id for job in ended.alive))
        say(f"told to end but still there: {ids}; run this again in a while")
    if not moved and not ended.told:
        left = sum(not ticket.life.ended for ticket in tickets)
        say(f"study {study.name}: {'nothing was' if left else 'there is nothing to be'} stopped")
    else:
        states = ", ".join(f"{count} {state}" for state, count in moved.items())
        say(f"study {study.name}: {states or 'no variant was open'}")
    say(_kept(study, tickets))
    say(f"  go on from there  {study.command}")


def _kept(study: StudyFolder, tickets: Sequence[Ticket]) -> str:
    runs = [Run(study.settings.outputs, key) for key in {ticket.key for ticket in tickets}]
    results = sum(run.result() is not None for run in runs)
    saved = sum(run.checkpoint.exists() and run.result() is None for run in runs)
    return f"kept: {counted(results, 'result')}, {counted(saved, 'checkpoint')} of unfinished runs"
