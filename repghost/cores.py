"""How many threads a training gets, and how they share the cores; no torch here."""

import os


def share_cores() -> None:
    """Let a thread that waits for the others sleep soon, in processes started from now on.

    Before torch is imported. OpenMP's threads spin by default: on a machine that somebody else uses
    too a step took up to 13 s instead of 0.14 s. Spinning not at all costs 1.8x on a quiet one.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def threads_for(parallel: int) -> int:
    """Return the threads of each of `parallel` trainings on this machine."""
    return max(1, len(os.sched_getaffinity(0)) // parallel)


def cores_of_job() -> int:
    """Return the cores that SLURM gave to a task of this job, elsewhere all that we may use."""
    if of_task := os.environ.get("SLURM_CPUS_PER_TASK"):
        return int(of_task)
    given = int(os.environ.get("SLURM_CPUS_ON_NODE") or threads_for(1))
    return max(1, given // int(os.environ.get("SLURM_NTASKS_PER_NODE") or 1))
