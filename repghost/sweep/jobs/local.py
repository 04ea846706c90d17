"""Jobs on this machine: processes that outlive their driver and are found again by their locks."""

import contextlib
import fcntl
import itertools
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from repghost.interrupt import INTERRUPTED
from repghost.lock import Lock
from repghost.sweep.jobs.contract import Job, Phase, Sight, Task
from repghost.sweep.jobs.snapshot import environment
from repghost.sweep.jobs.task_file import HALT, STARTED, read_task, write_task
from repghost.sweep.jobs.watch import lost_rank
from repghost.sweep.jobs.work import TOGETHER

WAITS = ".task"  # suffix of a task that its process has not come to yet
PID = "pid"  # file of a process, beside its tasks


class LocalJobs:
    """Starts tasks as processes in sessions of their own, which Ctrl-C does not reach.

    Trainings get a process each, or one for a cohort, measurements one process together: each would
    import torch for seconds. Every task's file is locked by its process for as long as it is at
    work on it or will be, through a descriptor that the process inherits, so that no kill can come
    in between.
    """

    trains_here = True

    def __init__(self, folder: Path, slots: int, snapshot: Path | None = None) -> None:
        self.slots = slots
        self._jobs = folder / "jobs"
        self._snapshot = snapshot
        self._children: dict[str, subprocess.Popen[bytes]] = {}  # by the folder of their tasks

    def room(self, at_work: Collection[Job]) -> int:
        """Return the free slots."""
        return max(0, self.slots - len({_process(job) for job in at_work}))

    def submit(self, tasks: Sequence[Task]) -> list[Job]:
        """Start the tasks: all that measure in one process, or one training, or one cohort."""
        if not tasks:
            return []
        first = tasks[0]
        if first.stage == "train" and not first.cohort:
            return self._start([first])
        alike = (first.stage, first.cohort)
        return self._start(
            list(itertools.takewhile(lambda task: (task.stage, task.cohort) == alike, tasks))
        )

    def _start(self, tasks: Sequence[Task]) -> list[Job]:
        folder = self._jobs / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        folder.mkdir(parents=True)
        paths = [folder / f"{number}{WAITS}" for number in range(len(tasks))]
        with contextlib.ExitStack() as held:
            locks = []
            for path, task in zip(paths, tasks, strict=True):
                write_task(path, task)
                locks.append(held.enter_context(_locked(path)))
            words = [f"{lock}:{path.resolve()}" for lock, path in zip(locks, paths, strict=True)]
            with (folder / "log.err").open("ab") as err, (folder / "log.out").open("ab") as out:
                together = [TOGETHER] if tasks[0].cohort else []
                child = subprocess.Popen(
                    [sys.executable, "-m", "repghost.sweep.jobs.work", *together, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    pass_fds=locks,
                    start_new_session=True,
                    env=self._environment(),
                )
        (folder / PID).write_text(str(child.pid))
        self._children[folder.name] = child
        return [_job(path, task.row, task.stage) for path, task in zip(paths, tasks, strict=True)]

    def _environment(self) -> dict[str, str]:
        unbuffered = dict(os.environ) | {"PYTHONUNBUFFERED": "1"}  # a kill leaves the log whole
        return environment(self._snapshot, unbuffered) if self._snapshot else unbuffered

    def adopt(self) -> list[Job]:
        """Return the jobs of earlier drivers whose processes are alive."""
        found = []
        for path in sorted([*self._jobs.glob(f"*/*{WAITS}"), *self._jobs.glob(f"*/*{STARTED}")]):
            if _is_locked(path):
                task = read_task(path)
                found.append(_job(path, task.row, task.stage))
        return found

    def poll(self, jobs: Collection[Job]) -> dict[Job, Sight]:
        """Look at the lock of every job's task."""
        return {job: self._sight(job) for job in jobs}

    def _sight(self, job: Job) -> Sight:
        waiting = self._jobs / f"{job.id}{WAITS}"
        started = waiting.with_suffix(STARTED)
        if _is_locked(started):
            return Sight(Phase.RUNNING)
        if _is_locked(waiting):
            return Sight(Phase.QUEUED, "behind another measurement")
        if _is_locked(started):  # it was started between the two looks
            return Sight(Phase.RUNNING)
        finished = not waiting.exists() and not started.exists()
        began = not waiting.exists()
        reason = lost_rank(job.log) if finished else self._last_words(job)
        for path in (waiting, started):
            path.unlink(missing_ok=True)
        return Sight(Phase.ENDED, reason, started=began)

    def _last_words(self, job: Job) -> str:
        """Say how the process of a task that it left unfinished ended, as far as can be known."""
        child = self._children.get(_process(job))
        code = None if child is None else child.wait()
        if code == INTERRUPTED:
            return "told to end"
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        if reason := lost_rank(job.log):
            return reason
        return "the process is gone" if code is None else f"the process ended with code {code}"

    def cancel(self, jobs: Iterable[Job]) -> None:
        """Ask the processes of these jobs to save and end, with all that is queued in them.

        Of a cohort only those members; if it is all of them, the process.
        """
        asked: dict[str, set[str]] = {}
        for job in jobs:
            if self._is_alive(job):
                asked.setdefault(_process(job), set()).add(job.id)
        for name, ids in asked.items():
            if self._goes_on_without(ids, name):
                for id in ids:
                    (self._jobs / f"{id}{HALT}").touch()
                continue
            with contextlib.suppress(OSError, ValueError):
                os.killpg(int((self._jobs / name / PID).read_text()), signal.SIGTERM)

    def _goes_on_without(self, ids: Collection[str], name: str) -> bool:
        """Whether a process trains others of a cohort than these."""
        others = [job for job in self.adopt() if _process(job) == name and job.id not in ids]
        return any(self._task(job).cohort for job in others)

    def _task(self, job: Job) -> Task:
        waiting = self._jobs / f"{job.id}{WAITS}"
        return read_task(waiting if waiting.exists() else waiting.with_suffix(STARTED))

    def _is_alive(self, job: Job) -> bool:
        path = self._jobs / f"{job.id}{WAITS}"
        return _is_locked(path) or _is_locked(path.with_suffix(STARTED))

    def notices(self) -> list[str]:
        """There is nothing to say."""
        return []


def _process(job: Job) -> str:
    """Return the folder of the tasks of the job's process."""
    return job.id.partition("/")[0]


def _job(path: Path, row: str, stage: str) -> Job:
    return Job(f"{path.parent.name}/{path.stem}", row, stage, path.parent / "log.err")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Hold the lock of a file; a process that inherits the descriptor holds it on."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _is_locked(path: Path) -> bool:
    return Lock(path, lease=False).is_held()
