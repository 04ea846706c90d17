"""The jobs of a study as somebody sees them who only looks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from repghost.run import Run
from repghost.sweep.console.folder import StudyFolder
from repghost.sweep.flights import DOING
from repghost.sweep.jobs.contract import Backend, Job, Phase, Sight
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.sweep.jobs.local import LocalJobs
from repghost.sweep.ticket import IN_JOBS, Ticket

UNTOLD = "its result is there; the next command puts it into the table"
GONE = "its job has ended, nobody looked yet"


@dataclass(frozen=True)
class Standing:
    """What a variant is at by its job, or by the ledger where it has none."""

    state: str
    since: float | None = None  # Unix time; None: it is not known
    job: str = ""
    node: str = ""
    reason: str = ""


@dataclass
class JobsSeen:
    """Jobs that are queued or running, by their row; `silent` says why some cannot be seen."""

    jobs: dict[str, tuple[Job, Sight]] = field(default_factory=dict)
    silent: str = ""

    @property
    def training(self) -> int:
        """How many trainings run."""
        return self._count(Phase.RUNNING)

    @property
    def queued(self) -> int:
        """How many trainings wait in the queue."""
        return self._count(Phase.QUEUED)

    def _count(self, phase: Phase) -> int:
        return sum(j.stage == "train" and s.phase is phase for j, s in self.jobs.values())

    def standing(self, ticket: Ticket, driven: bool) -> Standing:
        """Return where a variant stands; without a driver the ledger may be behind its job."""
        life = ticket.life
        noted = Standing(life.state, life.since, life.job, reason=life.cause)
        if life.ended:
            return noted
        if ticket.row not in self.jobs:
            lost = life.state in IN_JOBS and not driven and not self.silent
            if lost and Run(ticket.settings.outputs, ticket.key).result():
                return Standing("finished", life.since, life.job, reason=UNTOLD)
            return Standing(life.state, life.since, life.job, reason=GONE) if lost else noted
        job, sight = self.jobs[ticket.row]
        state = _state(ticket, job, sight)
        same = (state, job.id) == (life.state, life.job)
        since, cause = (life.since, life.cause) if same else (None, "")
        return Standing(state, since, job.id, sight.node, sight.reason or cause)

    def strays(self, tickets: Sequence[Ticket]) -> int:
        """Count the jobs that are at work on what has ended."""
        open_rows = {ticket.row for ticket in tickets if not ticket.life.ended}
        return len(self.jobs.keys() - open_rows)


def look_at_jobs(study: StudyFolder) -> JobsSeen:
    """Return the jobs of a study, from one look at this machine and one at its cluster."""
    seen = JobsSeen(_alive(LocalJobs(study.path, slots=1)))
    if isinstance(study.launcher, SlurmSpec):
        try:
            seen.jobs |= _alive(_slurm(study, study.launcher))
        except ValueError as error:
            seen.silent = str(error)
    return seen


def _alive(backend: Backend) -> dict[str, tuple[Job, Sight]]:
    sights = backend.poll(backend.adopt())
    return {job.row: (job, s) for job, s in sights.items() if s.phase is not Phase.ENDED}


def _slurm(study: StudyFolder, spec: SlurmSpec) -> Backend:
    """The cluster for one who asks once and touches nothing."""
    from repghost.sweep.jobs.cluster import Cluster
    from repghost.sweep.jobs.slurm import SlurmJobs

    class Looked(Cluster):
        def cancel(self, ids: Sequence[str]) -> None:
            """A driver cancels what was submitted twice; it knows which one to keep."""

        def hosts(self, partition: str | None) -> set[str]:
            """Nothing is timed here, so whether trainings run here does not matter."""
            return set()

    return SlurmJobs(study.path, spec, cluster=Looked(), sleep=_give_up)


def _give_up(_seconds: float) -> None:
    raise ValueError("the SLURM controller does not answer: what its jobs do is not known")


def _state(ticket: Ticket, job: Job, sight: Sight) -> str:
    """Name the state as a driver would; one that ran and waits again was preempted."""
    life = ticket.life
    if sight.phase is Phase.RUNNING:
        return DOING[job.stage]
    if sight.phase is Phase.UNKNOWN:
        return life.state
    ran = life.state in ("running", "preempted") and life.job == job.id
    return "preempted" if ran else "queued"
