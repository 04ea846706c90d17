"""Inside a job: run its task; when told to end, leave in time and ask to be run again.

A task lies in a file of its own. On SLURM submitit calls `run_task` with its path; here
`python -m repghost.sweep.jobs.work FD:PATH ...` runs several, one after another, and holds the lock
of each (an inherited descriptor) until it is done: who finds the lock free knows that it has ended.
With `--together` first it runs them side by side, as a cohort.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from repghost.atomic import replace_file
from repghost.interrupt import INTERRUPTED, Interrupted, Stop
from repghost.sweep.jobs.contract import Task

ASK_S = 20.0  # for an answer of the cluster to a job that has to leave
TOGETHER = "--together"
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


def main(arguments: Sequence[str]) -> int:
    """Run the tasks `FD:PATH` in order; one that fails does not stop the others."""
    if arguments[0] == TOGETHER:
        return _main_together(arguments[1:])
    code = 0
    for argument in arguments:
        lock, path = _begun(argument)
        try:
            run_task(path)
        except SystemExit as told_to_end:
            return int(told_to_end.code or 0)
        except Exception as error:  # it stands in the run's folder, with its traceback
            print(f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE], file=sys.stderr, flush=True)
            code = 1
        path.unlink(missing_ok=True)
        _close(lock)
    return code


def _main_together(arguments: Sequence[str]) -> int:
    locks = {path: lock for lock, path in map(_begun, arguments)}
    from repghost.sweep.jobs.together import run_together  # it imports torch

    def over(path: Path, _: Exception | None) -> None:  # the error stands in the run's folder
        path.with_suffix(HALT).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        _close(locks[path])

    return run_together(list(locks), over)


def _begun(argument: str) -> tuple[int, Path]:
    """Return lock and file of a task that this process is at work on from now on."""
    lock, _, name = argument.partition(":")
    os.register_at_fork(after_in_child=partial(_close, int(lock)))  # loader workers outlive us
    return int(lock), Path(name).rename(Path(name).with_suffix(STARTED))


def _close(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.close(fd)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
