"""Jobs on this machine: separate processes, through submitit's local executor."""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repghost.run import Run
from repghost.sweep.study import Ticket
from repghost.trial import Stage, run_stage, share_cores, threads_for

NO_LIMIT_MIN = 60 * 24 * 365  # submitit's local executor kills after 2 minutes by default
ALMOST_NOTHING = 1 << 20  # bytes; with less free space a failed write is no surprise


@dataclass
class Job:
    """A process at work on one stage of one variant; `handle` is None for one that was adopted."""

    stage: Stage
    handle: Any = None


class LocalJobs:
    """Starts stages as processes that outlive their driver, and finds those of an earlier one."""

    def __init__(self, folder: Path, parallel: int) -> None:
        token = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        self._folder = folder / "jobs" / token  # fresh: submitit trusts any result file it finds
        self._threads = threads_for(parallel)
        self._executor: Any = None

    def submit(self, ticket: Ticket, stage: Stage) -> Job:
        """Start a process; it uses all cores to measure and its share of them to train."""
        if self._executor is None:
            import submitit

            share_cores()
            self._executor = submitit.LocalExecutor(self._folder)
            gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
            self._executor.update_parameters(timeout_min=NO_LIMIT_MIN, gpus_per_node=gpus)
        Run(ticket.settings.outputs, ticket.key).forgive()
        with _stderr_into(self._folder / "controllers.log"):
            handle = self._executor.submit(run_stage, ticket.settings, stage, self._threads)
        return Job(stage, handle)

    def adopt(self, ticket: Ticket) -> Job | None:
        """Return the job of an earlier driver that is still at work on this variant, if any."""
        run = Run(ticket.settings.outputs, ticket.key)
        if not run.lock.is_held():
            return None
        return Job("train" if run.history() else "measure")

    def ended(self, ticket: Ticket, job: Job) -> bool:
        """Say whether the job is over, however it ended."""
        if job.handle is None:
            return not Run(ticket.settings.outputs, ticket.key).lock.is_held()
        return bool(job.handle.done())

    def why(self, ticket: Ticket, job: Job) -> str:
        """Return in one line why a job that ended left nothing behind."""
        if reason := Run(ticket.settings.outputs, ticket.key).error():
            return reason
        free = shutil.disk_usage(ticket.settings.outputs).free
        if free < ALMOST_NOTHING:
            return f"the disk of {ticket.settings.outputs} is full ({free} bytes free)"
        last = _last_line(Path(job.handle.paths.stderr)) if job.handle else ""
        where = f"; its last words: {last}" if last else ""
        return f"the {job.stage} process ended without a result, killed from outside?{where}"


@contextlib.contextmanager
def _stderr_into(path: Path) -> Iterator[None]:
    """Let processes started meanwhile write to `path`: on Ctrl-C submitit's own complain."""
    saved = os.dup(2)
    try:
        with path.open("ab") as log:
            os.dup2(log.fileno(), 2)
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line[:200] for line in reversed(lines) if line.strip()), "")
