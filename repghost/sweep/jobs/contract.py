"""What a scheduler and a place where jobs run say to each other."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Task:
    """One stage of one variant as a job gets it: a module's function and what to call it with."""

    row: str  # the study's name for the variant, see `Point.row`
    key: str  # of the run
    stage: str
    function: Callable[..., None]
    arguments: tuple[Any, ...]
    cohort: str = ""  # tasks of one name, handed over in a row, are trained in one process


@dataclass(frozen=True)
class Job:
    """A task that was handed over; `id` is the cluster's or the system's name for it."""

    id: str
    row: str
    stage: str
    log: Path | None = None  # what the job wrote to stderr


class Phase(Enum):
    """How far a job is, as far as its backend can see."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"  # the cluster does not answer: nothing may be concluded


@dataclass(frozen=True)
class Sight:
    """What one poll saw of a job.

    `reason` is the cluster's word for why a job still waits, or why it ended ("node failure on
    node3", "time limit", "out of memory", "" where it is not known). `started` is False for a job
    that ended before it ran at all. `left_s` is what remains of its time limit.
    """

    phase: Phase
    reason: str = ""
    started: bool = True
    node: str = ""
    left_s: float | None = None


class Backend(Protocol):
    """Where jobs run; every backend passes `tests/sweep/jobs/backend_contract.py`.

    Its jobs outlive the driver. The state of a job comes from the system, never from memory.
    """

    slots: int  # trainings, or cohorts, at a time
    trains_here: bool  # a job may run on this very machine, so nothing may be timed meanwhile

    def room(self, at_work: Collection[Job]) -> int:
        """Return how many more cohorts (or single trainings) may be handed over beside these."""
        ...

    def submit(self, tasks: Sequence[Task]) -> list[Job]:
        """Hand over as many of `tasks`, from the first on, as are taken now; return their jobs.

        Fewer than given (or none) means that a limit was met: offer the rest again later.

        Raises:
            ValueError: it would never be taken (unknown partition, bad option); one clear line.
        """
        ...

    def adopt(self) -> list[Job]:
        """Return the jobs of this study that are queued or running, whoever submitted them."""
        ...

    def poll(self, jobs: Collection[Job]) -> dict[Job, Sight]:
        """Return what is known of every one of `jobs` now, from one look at the system."""
        ...

    def cancel(self, jobs: Iterable[Job]) -> None:
        """End jobs, queued or running; those that have ended already are left alone.

        The others of a cohort go on.
        """
        ...

    def notices(self) -> list[str]:
        """Return what the user should be told once, such as a limit that was met; then forget."""
        ...
