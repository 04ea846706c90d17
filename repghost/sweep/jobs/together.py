"""Inside a job: several trainings side by side on one stream of batches, see `training.cohort`."""

import itertools
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from repghost.interrupt import Interrupted, Stop
from repghost.lock import Held
from repghost.sweep.jobs.chain import Over
from repghost.sweep.jobs.contract import Task
from repghost.sweep.jobs.task_file import HALT, LONGEST_MESSAGE, leave, read_task, run_task
from repghost.training.cohort import Member, MemberStop, Stream, conduct
from repghost.training.memory import OutOfMemory


def run_together(paths: Sequence[Path], over: Over) -> int:
    """Run the tasks as one cohort; return the exit code. `over` is told of each that has ended.

    One that does not fit into memory beside the others, or whose run somebody else is at work on,
    is run alone after them.

    Raises:
        SystemExit: the job was told to end; what had not ended is to be run again.
    """
    job = Stop()
    job.listen()
    with job.deferred():
        errors = _side_by_side(paths, over, job)
    if job.asked and any(isinstance(error, Interrupted) for error in errors):
        leave(f"{len(paths)} trainings: told to end by {job.asked}")
    put_off = [isinstance(error, OutOfMemory | Held) for error in errors]
    failed = any(error and not later for error, later in zip(errors, put_off, strict=True))
    for path in itertools.compress(paths, put_off):
        try:
            run_task(path)
        except Exception as error:
            _say(read_task(path), error)
            failed = True
            over(path, error)
        else:
            over(path, None)
    return int(failed)


def _side_by_side(paths: Sequence[Path], over: Over, job: Stop) -> list[BaseException | None]:
    stream, members = Stream(), list[Member]()
    for path in paths:
        stop = MemberStop(job, path.with_suffix(HALT).exists)
        task = read_task(path)
        members.append(member := Member(task.row, stop, stream))
        member.begin(partial(_work, task, member, partial(over, path)))
    conduct(members, stream)
    return [member.error for member in members]


def _work(task: Task, member: Member, over: Callable[[Exception | None], None]) -> None:
    """Run one task on its member's thread; what it raises stands in the run's folder too."""
    try:
        task.function(*task.arguments, stop=member.stop, member=member)
    except Interrupted as interrupted:
        member.say(str(interrupted))
        if not member.stop.by_job:
            over(None)
        raise
    except Exception as error:
        _say(task, error)
        if not isinstance(error, OutOfMemory | Held):
            over(error)
        raise
    over(None)


def _say(task: Task, error: Exception) -> None:
    text = f"{task.row}: {type(error).__name__}: {error}"
    print(text[:LONGEST_MESSAGE], file=sys.stderr, flush=True)
