"""What befalls a sweep on a cluster: ten kinds of faults, chosen by a seed."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SERVICE = Path(__file__).parents[1] / "tests/services/slurm.sh"
NODES = 4
JOBS = (b"submitit.core._submit", b"repghost.sweep.jobs.work")  # in the command lines of our jobs
OUTAGE_S = (2.0, 30.0)  # how long a node stays away
FULL_S = (2.0, 6.0)  # how long the disk stays full
PREEMPT_S = 4  # how long a job of higher priority runs


@dataclass
class Adversary:
    """Injects faults into the sweep that is driven from `folder`, whose disk it may fill.

    A fault that finds no victim (no job runs, no checkpoint is there) is not counted. What it
    takes away for a while, it gives back by itself: see `repair`.
    """

    folder: Path
    rng: random.Random
    driver: Callable[[], subprocess.Popen[bytes]]
    counts: dict[str, int] = field(default_factory=dict)
    _repairs: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    @property
    def kinds(self) -> dict[str, Callable[[], bool]]:
        """Every fault by its name; each says whether it found a victim."""
        return {
            "kill the driver": self._kill_driver,
            "kill a job's process": self._kill_job,
            "scancel": self._cancel,
            "scontrol requeue": self._requeue,
            "preemption": self._preempt,
            "stop a node's slurmd": self._stop_node,
            "power failure of a node": self._kill_node,
            "restart slurmctld": self._restart_controller,
            "full disk": self._fill_disk,
            "corrupt checkpoint": self._corrupt,
        }

    def strike(self) -> str | None:
        """Inject one fault; return its name, None if it found no victim."""
        name = self.rng.choice(sorted(self.kinds))
        if not self.kinds[name]():
            return None
        self.counts[name] = self.counts.get(name, 0) + 1
        return name

    def repair(self, everything: bool = False) -> None:
        """Give back what was taken away and is due."""
        due = [entry for entry in self._repairs if everything or entry[0] <= time.monotonic()]
        self._repairs = [entry for entry in self._repairs if entry not in due]
        for _, mend in due:
            mend()

    def _later(self, seconds: tuple[float, float], mend: Callable[[], None]) -> None:
        self._repairs.append((time.monotonic() + self.rng.uniform(*seconds), mend))

    def _kill_driver(self) -> bool:
        driver = self.driver()
        if driver.poll() is not None:
            return False
        driver.kill()
        driver.wait()
        return True

    def _kill_job(self) -> bool:
        victims = job_processes(self.folder)
        if not victims:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.rng.choice(victims), signal.SIGKILL)
        return True

    def _cancel(self) -> bool:
        jobs = queue()
        return bool(jobs) and _quietly("scancel", self.rng.choice(jobs))

    def _requeue(self) -> bool:
        jobs = queue("RUNNING")
        return bool(jobs) and _quietly("scontrol", "requeue", self.rng.choice(jobs))

    def _preempt(self) -> bool:
        if not queue("RUNNING"):
            return False
        words = ["sbatch", "-p", "high", "--exclusive", f"--wrap=sleep {PREEMPT_S}", "-J", "vip"]
        return _quietly(*words, "-o", "/dev/null", "-t", "1")

    def _stop_node(self) -> bool:
        return self._lose_node("stop-node")

    def _kill_node(self) -> bool:
        return self._lose_node("kill-node")

    def _lose_node(self, how: str) -> bool:
        node = str(self.rng.randint(1, NODES))
        service(how, node)
        self._later(OUTAGE_S, lambda: service("start-node", node))
        return True

    def _restart_controller(self) -> bool:
        service("restart-controller")
        return True

    def _fill_disk(self) -> bool:
        ballast = self.folder / "ballast"
        if ballast.exists():
            return False
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(bytes(1 << 16))
        self._later(FULL_S, lambda: ballast.unlink(missing_ok=True))
        return True

    def _corrupt(self) -> bool:
        found = sorted(self.folder.glob("outputs/runs/*/checkpoint.pt"))
        live = [path for path in found if not (path.parent / "result.json").exists()]
        if not live:
            return False
        path = self.rng.choice(live)
        with contextlib.suppress(OSError), path.open("rb+") as file:
            file.seek(path.stat().st_size // 2)
            file.write(b"rubbish" * 100)
        return True


def queue(state: str = "PENDING,RUNNING") -> list[str]:
    """Return the ids of the sweep's jobs in these states, by name of the partition it uses."""
    words = ["squeue", "-h", "-r", "-p", "low", "-o", "%i", "-t", state]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.split()


def job_processes(folder: Path) -> list[int]:
    """Return the pids of the jobs' Python processes that were started from `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            mine = (entry / "cwd").readlink() == folder.resolve()
            if mine and b"srun" not in words and any(job in words for job in JOBS):
                found.append(int(entry.name))
    return found


def service(*words: str) -> None:
    """Run a command of the service's script."""
    subprocess.run(["bash", str(SERVICE), *words], capture_output=True, check=False, timeout=120)


def _quietly(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0
