"""Inside a job: a task in a file of its own; told to end, leave in time to be run again."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from repghost.atomic import replace_file
from repghost.interrupt import INTERRUPTED, Interrupted, Stop
from repghost.sweep.jobs.contract import Task

ASK_S = 20.0  # for an answer of the cluster to a job that has to leave
STARTED = ".running"  # suffix of a task that a process of this machine is at work on
HALT = ".halt"  # suffix of the file that asks one member of a cohort to save and end
LONGEST_MESSAGE = 2000


def write_task(path: Path, task: Task) -> None:
    """Write `task` for a job that will read it, perhaps days later."""

    def write(draft: Path) -> None:
        draft.write_bytes(pickle.dumps(task))

    replace_file(path, write)


def read_task(path: Path) -> Task:
    """Return the task in the file that `write_task` wrote; it lies in the study's own folder."""
    task = pickle.loads(path.read_bytes())
    assert isinstance(task, Task)
    return task


def run_task(path: Path, **around: object) -> None:
    """Run the task in the file `path`; where it is told to end, exit with a code of its own.

    `around` is what the job has for all of its tasks.
    """
    stop = Stop()
    try:
        with stop.deferred():  # a task is read for a second, torch and all: it must be known then
            stop.listen()
            task = read_task(path)
        stop.obey()
        task.function(*task.arguments, stop=stop, **around)
    except Interrupted as interrupted:
        leave(f"{task.stage} of {task.key}: {interrupted}")


def leave(reason: str) -> NoReturn:
    """End a job that was told to, with the code that has it run again."""
    print(reason, file=sys.stderr, flush=True)
    _ignore_signals()
    _requeue_self()
    sys.exit(INTERRUPTED)


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def _requeue_self() -> None:
    """Have the cluster run this job again, also while no driver is there to submit it anew.

    A job that is preempted or near its time limit still counts as running; one that somebody
    cancelled does not, and must not rise again.
    """
    job = _slurm_job()
    if job is None:
        return
    try:
        ask = ["squeue", "-h", "-o", "%T", "-j", job]
        state = subprocess.run(ask, capture_output=True, text=True, timeout=ASK_S, check=True)
        if state.stdout.strip() == "RUNNING":
            subprocess.run(["scontrol", "requeue", job], timeout=ASK_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"not requeued: {error}", file=sys.stderr, flush=True)  # the driver will do it


def _slurm_job() -> str | None:
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ.get("SLURM_JOB_ID")
