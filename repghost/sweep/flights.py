"""Jobs at work on variants, and the places where they run."""

from dataclasses import dataclass, field

from repghost.sweep.jobs.contract import Backend, Job, Phase, Sight
from repghost.sweep.ticket import Ticket

DOING = {"prepare": "measuring", "measure": "measuring", "train": "running"}  # stage -> state


@dataclass(frozen=True)
class Places:
    """Where jobs run: measurements beside the driver, trainings here or on a cluster."""

    measuring: Backend
    training: Backend

    def of(self, stage: str) -> Backend:
        """Return the backend for a stage."""
        return self.training if stage == "train" else self.measuring

    @property
    def both(self) -> list[Backend]:
        """Each backend once."""
        one = self.training is self.measuring
        return [self.training] if one else [self.measuring, self.training]


@dataclass
class Flight:
    """A job at work on a variant, and what the variant had saved when it was handed over."""

    job: Job
    saved: float
    sight: Sight = field(default_factory=lambda: Sight(Phase.QUEUED))


def state_of(ticket: Ticket, flight: Flight) -> str:
    """Name the state of a job that has not ended; one that ran and waits again was preempted."""
    if flight.sight.phase is Phase.RUNNING:
        return DOING[flight.job.stage]
    ran = ticket.life.state in ("running", "preempted") and ticket.life.job == flight.job.id
    return "preempted" if ran else "queued"
