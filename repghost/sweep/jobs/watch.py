"""What is known of jobs from looking at SLURM's queue: seldom, all at once, and never guessed."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from repghost.sweep.jobs.batch import token_in
from repghost.sweep.jobs.cluster import ENDS, Cluster, Limits, Row
from repghost.sweep.jobs.contract import Job, Phase, Sight
from repghost.sweep.jobs.refusals import Unreachable

LONGEST_PAUSE_S = 8.0  # between two looks while the controller is silent
GRACE_S = 4.0  # a new job may not be listed for so long
ACCOUNTING_S = 4.0  # accounting lags behind; after so long a job that is gone needs no reason
NEXT_QUESTION_S = 3.0  # between two calls of sacct
LAST_BYTES, LAST_LINES = 4096, 8  # of a log, where SLURM says how a job ended
FAILED = ENDS["FAILED"]
MEMORY = re.compile(r"oom[_-]kill|out of memory|exceeded (job )?memory limit", re.IGNORECASE)
LOST = re.compile(r"RankLost: (.+)")  # one process of a training missed another
EXIT = re.compile(r"srun: error: \S+: task \d+: (\w+(?: \w+)*)")  # such as "Killed"
WAITS = Sight(Phase.QUEUED)
UNKNOWN = Sight(Phase.UNKNOWN, "the controller does not answer")
NOT_LISTED = Sight(Phase.UNKNOWN, "not in the queue; looking again")
GONE = Sight(Phase.ENDED, "vanished from the queue")
NEVER_BEGAN = Sight(Phase.ENDED, "cancelled before it began", started=False)


@dataclass(frozen=True, eq=False)
class Look:
    """The queue as one squeue showed it; `at` is the clock's time, in seconds, before that."""

    at: float
    rows: dict[str, Row]

    def live(self) -> int:
        """Return how many jobs of this user wait or run."""
        return sum(row.is_live for row in self.rows.values())


class Watch:
    """Looks at the queue every `poll_s` seconds, less often while the controller is silent."""

    def __init__(
        self,
        cluster: Cluster,
        poll_s: float,
        clock: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self._cluster, self._poll_s, self._clock, self._say = cluster, poll_s, clock, say
        self._look: Look | None = None  # the last one
        self._next = float("-inf")
        self._failures = 0
        self._limits: Limits | None = None
        self._submitted: dict[str, float] = {}  # ids that no look has shown yet, and when
        self._ran: set[str] = set()
        self._lost: dict[str, float] = {}  # ids that a look did not show, and when
        self._causes: dict[str, Sight] = {}  # what accounting says of those
        self._next_question = float("-inf")

    def look(self, *, fresh: bool = False) -> Look | None:
        """Return the queue, None while the controller is silent; `fresh`: not the one of before."""
        now = self._clock()
        if now < self._next and (self._failures or not fresh):
            return None if self._failures else self._look
        try:
            self._look = Look(now, self._cluster.queue())
        except Unreachable as silence:
            self._failures += 1
            if self._failures == 1:
                self._say(f"the SLURM controller does not answer ({silence}); waiting for it")
            pause = min(self._poll_s * 2**self._failures, LONGEST_PAUSE_S)
            self._next = self._clock() + pause
            return None
        if self._failures:
            self._say("the SLURM controller answers again")
        self._failures = 0
        self._next = now + self._poll_s
        self._submitted = {
            id: at for id, at in self._submitted.items() if id not in self._look.rows
        }
        return self._look

    def limits(self) -> Limits | None:
        """Return the cluster's limits, asked once; None while the controller is silent."""
        if self._limits is None:
            try:
                self._limits = self._cluster.limits()
            except Unreachable:
                return None
        return self._limits

    def expect(self, jobs: Collection[Job]) -> None:
        """Note jobs that were submitted just now."""
        self._submitted |= dict.fromkeys((job.id for job in jobs), self._clock())

    def unseen(self) -> int:
        """Return how many submitted jobs no look has shown yet."""
        return len(self._submitted)

    def sights(self, jobs: Collection[Job], look: Look) -> dict[Job, Sight]:
        """Return what `look` says of each job; the fate of missing ones is asked for at once."""
        found = {job: _row(job, look) for job in jobs}
        missing = [job.id for job, row in found.items() if row is None and self._is_due(job, look)]
        self._ask_accounting(missing, look)
        seen = {
            job: self._missing(job, look) if row is None else self._listed(row)
            for job, row in found.items()
        }
        return {job: _explained(sight, job.log) for job, sight in seen.items()}

    def _is_due(self, job: Job, look: Look) -> bool:
        return look.at > self._submitted.get(job.id, float("-inf")) + GRACE_S

    def _listed(self, row: Row) -> Sight:
        self._lost.pop(row.id, None)
        if row.sight.phase is Phase.RUNNING:
            self._ran.add(row.id)
        elif row.id in self._ran and not row.sight.started:  # it ran before it was requeued
            return replace(row.sight, started=True)
        return row.sight

    def _missing(self, job: Job, look: Look) -> Sight:
        if not self._is_due(job, look):
            return WAITS
        if job.id in self._causes:
            return self._causes[job.id]
        began = job.id in self._ran or job.log is None or job.log.exists()  # SLURM makes the log
        patience = ACCOUNTING_S if began and self._has_accounting() else 0.0
        if look.at - self._lost[job.id] <= patience:
            return NOT_LISTED
        return GONE if began else NEVER_BEGAN

    def _ask_accounting(self, missing: Collection[str], look: Look) -> None:
        for id in missing:
            self._lost.setdefault(id, look.at)
        unclear = [id for id in missing if id not in self._causes]
        if not unclear or self._clock() < self._next_question or not self._has_accounting():
            return
        self._next_question = self._clock() + NEXT_QUESTION_S
        try:
            self._causes |= self._cluster.endings(unclear)
        except Unreachable:
            return  # the queue alone decides then

    def _has_accounting(self) -> bool:
        limits = self.limits()
        return limits is not None and limits.accounting


def _row(job: Job, look: Look) -> Row | None:
    """Return the job's row, None for another job that got its id after the ids began anew."""
    row = look.rows.get(job.id)
    if row is None or job.log is None:
        return row
    token = token_in(row.comment)
    return row if token is None or job.log.parent.name.endswith(f"-{token}") else None


def _explained(sight: Sight, log: Path | None) -> Sight:
    """Say more of a job that SLURM only calls failed, from what it wrote to the job's log."""
    if sight.reason != FAILED or log is None:
        return sight
    last = "\n".join(_last_lines(log))
    if MEMORY.search(last):
        return replace(sight, reason="out of memory")
    told = LOST.findall(last) or EXIT.findall(last)
    causes = [one for one in told if not one.startswith("Exited")] or told  # others leave after it
    return replace(sight, reason=f"{FAILED}: {causes[-1]}") if causes else sight


def lost_rank(log: Path | None) -> str:
    """Say which process a training missed, by the log of its job; "" where it missed none."""
    return lost_in("\n".join(_last_lines(log))) if log else ""


def lost_in(text: str) -> str:
    """Say which process a training missed, by what it said when it ended."""
    said = LOST.findall(text)
    return said[-1] if said else ""


def _last_lines(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_BYTES))
            return file.read().decode(errors="replace").splitlines()[-LAST_LINES:]
    except OSError:
        return []
