"""The real SLURM that slurm.sh starts, as tests drive it."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPT = Path(__file__).with_name("slurm.sh")
UP = "slurm is not up: run bash tests/services/slurm.sh start"
POLL_S = 0.2


class Slurm:
    """The cluster of slurm.sh, with the settings that are in the environment."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def script(self, *command: str) -> str:
        """Run slurm.sh with `command`, such as ("kill-node", "3"); return what it printed.

        Raises:
            RuntimeError: it failed, with what it said.
        """
        return self._run("bash", str(SCRIPT), *command)

    def submit(self, *arguments: str) -> str:
        """Hand `arguments` to sbatch; return the id of the job."""
        return self._run("sbatch", "--parsable", *arguments).strip()

    def jobs(self) -> dict[str, str]:
        """Return the state of every job that is queued or running, array tasks each by its own."""
        lines = self._run("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def state(self, job: str) -> str:
        """Return the state of a job, also of one that ended in the last five minutes."""
        shown = self._run("scontrol", "--oneliner", "show", "job", job)
        return shown.split("JobState=")[1].split()[0]

    def cancel_all(self) -> None:
        """End every job; it may take `await_idle` until none is left."""
        jobs = {job.split("_")[0] for job in self.jobs()}
        if jobs:
            self._run("scancel", *jobs)

    def await_idle(self, timeout_s: float = 60.0) -> None:
        """Return when no job is left and every node is idle."""
        await_true(self._is_idle, timeout_s)

    def reset(self) -> None:
        """Bring the cluster back to what the settings say, all of it up and idle."""
        self.script("start")
        self.cancel_all()
        self.await_idle()

    @contextmanager
    def configured(self, **settings: object) -> Iterator[None]:
        """Have a cluster with other settings, such as ACCT="dbd", in this block: an empty one."""
        before = self._environment
        self._environment = before | {name: str(value) for name, value in settings.items()}
        try:
            self.script("start")
            yield
        finally:
            self._environment = before
            self.script("start")

    def _is_idle(self) -> bool:
        states = self._run("sinfo", "--noheader", "-N", "-p", "main", "--format=%t").split()
        return set(states) == {"idle"} and not self.jobs()

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
        return done.stdout


def await_true(
    is_true: Callable[[], object], timeout_s: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Return when `is_true()` is.

    Raises:
        TimeoutError: it was not, for `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() > end:
            raise TimeoutError(f"{is_true} was not true within {timeout_s} s")
        sleep(POLL_S)


def missing() -> str:
    """Return why there is no SLURM here, "" where there is."""
    done = subprocess.run(["bash", str(SCRIPT), "status"], capture_output=True, text=True)
    return UP if done.returncode else ""
