"""Inside a job: several trainings side by side on one stream of batches, see `training.cohort`."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from repghost.interrupt import Interrupted, Stop
from repghost.lock import Held
from repghost.sweep.jobs.chain import Over
from repghost.sweep.jobs.contract import Task
from repghost.sweep.jobs.task_file import HALT, LONGEST_MESSAGE, leave, read_task
from repghost.training.cohort import Member, MemberStop, Stream, conduct
from repghost.training.memory import OutOfMemory

Failures = tuple[type[Exception], ...]
PUT_OFF: Failures = (OutOfMemory, Held)  # of these a member is run alone, later
WAIT_S = 1.0  # between two looks whether somebody else is still at work on a run


class PutOff(Interrupted):
    """It could not run beside the others, or somebody else is at work on its run."""


def run_together(paths: Sequence[Path], over: Over) -> int:
    """Run the tasks as one cohort; return the exit code. `over` is told of each that has ended.

    One that does not fit into memory beside the others, or whose run somebody else is at work on,
    is run alone after them.

    Raises:
        SystemExit: the job was told to end; what had not ended is to be run again.
    """
    job = Stop()
    with job.deferred():
        job.listen()
        errors = dict(zip(paths, _side_by_side(paths, over, job, PUT_OFF), strict=True))
        _leave_if_told(job, errors)
        for path in [path for path, error in errors.items() if isinstance(error, PutOff)]:
            _say(read_task(path), errors[path])
            errors[path] = _alone(path, over, job)
            _leave_if_told(job, errors)
    return int(any(errors.values()))


def _leave_if_told(job: Stop, errors: Mapping[Path, BaseException | None]) -> None:
    if job.asked and any(isinstance(error, Interrupted) for error in errors.values()):
        leave(f"{len(errors)} trainings: told to end by {job.asked}")


def _alone(path: Path, over: Over, job: Stop) -> BaseException | None:
    """Run a task that was put off, once nobody else is at work on its run; return its error."""
    stop = MemberStop(job, path.with_suffix(HALT).exists)
    while not stop.look():
        (error,) = _side_by_side([path], over, job, (Held,))
        if not isinstance(error, PutOff):
            return error
        time.sleep(WAIT_S)
    if not stop.by_job:
        over(path, None)
    return Interrupted(f"told to end by {stop.asked}")


def _side_by_side(
    paths: Sequence[Path], over: Over, job: Stop, later: Failures
) -> list[BaseException | None]:
    """Run the tasks; return what each ended with. `over` is not told of those to run `later`."""
    stream, members = Stream(), list[Member]()
    for path in paths:
        stop = MemberStop(job, path.with_suffix(HALT).exists)
        task = read_task(path)
        members.append(member := Member(task.row, stop, stream))
        member.begin(partial(_work, task, member, partial(over, path), later))
    conduct(members, stream)
    return [member.error for member in members]


def _work(
    task: Task,
    member: Member,
    over: Callable[[Exception | None], None],
    later: Failures,
) -> None:
    """Run one task on its member's thread; what it raises stands in the run's folder too."""
    try:
        task.function(*task.arguments, stop=member.stop, member=member)
    except Interrupted as interrupted:
        member.say(str(interrupted))
        if not member.stop.by_job:
            over(None)
        raise
    except later as error:
        raise PutOff(f"{type(error).__name__}: {error}") from None
    except Exception as error:
        _say(task, error)
        over(error)
        raise
    over(None)


def _say(task: Task, error: BaseException | None) -> None:
    text = f"{task.row}: {type(error).__name__}: {error}"
    print(text[:LONGEST_MESSAGE], file=sys.stderr, flush=True)
