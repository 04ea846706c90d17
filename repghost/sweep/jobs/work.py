"""The command of a job on this machine: run tasks, each from a file of its own.

`python -m repghost.sweep.jobs.work FD:PATH ...` runs several, one after another, and holds the lock
of each (an inherited descriptor) until it is done: who finds the lock free knows that it has ended.
With `--together` first it runs them side by side, as a cohort. On SLURM `batch` does all that.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from repghost.sweep.jobs.task_file import HALT, LONGEST_MESSAGE, STARTED, run_task

TOGETHER = "--together"


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
