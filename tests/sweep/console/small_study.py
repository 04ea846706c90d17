"""A study on disk as sweeps leave it, with real jobs of this machine and a scripted SLURM."""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from repghost.atomic import write_json
from repghost.interrupt import Stop
from repghost.latency.record import Measurement
from repghost.latency.spec import StorageSpec
from repghost.latency.store import Store
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.run import Run
from repghost.settings import Settings
from repghost.sweep.console.folder import StudyFolder
from repghost.sweep.jobs.contract import Job, Task
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.sweep.jobs.local import LocalJobs
from repghost.sweep.space.points import Point
from repghost.sweep.study import Ledger
from repghost.timing import Timings

HERE = Path(__file__).parent
COMMAND = "python launch.py -m model.reparam=bn,id"
EPOCHS = 10


def save_when_told(checkpoint: str, *, stop: Stop) -> None:
    """Stands for a training: works until it is told to end, then saves and leaves."""
    Path(checkpoint).write_text("started")
    with stop.deferred():
        while stop.asked is None:
            time.sleep(0.02)
        Path(checkpoint).write_text("saved")
    stop.obey()


def heed_nothing(checkpoint: str, *, stop: Stop) -> None:
    """Stands for a training that hangs; it ends by itself after a minute."""
    Path(checkpoint).write_text("started")
    with stop.deferred():
        time.sleep(60)


class SmallStudy:
    """The study `s` below `folder / "outputs"`, one variant for each of `branches`."""

    def __init__(self, folder: Path, *branches: str, launcher: SlurmSpec | None = None) -> None:
        self.outputs = folder / "outputs"
        self.path = self.outputs / "s"
        recipe = replace(Settings().recipe, epochs=EPOCHS)
        storage = StorageSpec(f"sqlite:///{folder}/latency.db")
        self.base = replace(
            Settings(), recipe=recipe, storage=storage, study="s", outputs=str(self.outputs)
        )
        kind = {"kind": "local"} if launcher is None else {"kind": "slurm", **asdict(launcher)}
        noted = {"command": COMMAND, "launcher": kind, "storage": storage.url, "parallel": 2}
        write_json(self.path / "study.json", noted)
        self.ledger = Ledger(self.path, "s", self.base)
        points = [self.point(branch) for branch in branches]
        self.tickets = dict(zip(branches, self.ledger.enroll(points), strict=True))
        self.jobs = LocalJobs(self.path, slots=1, snapshot=HERE)

    def point(self, branch: str) -> Point:
        """Return the variant with these branches."""
        settings = replace(self.base, model=RepGhostNetSpec(reparam=branch))
        return Point({"model.reparam": branch}, settings)

    @property
    def folder(self) -> StudyFolder:
        """The study as a command finds it."""
        return StudyFolder(self.path)

    def states(self) -> dict[str, str]:
        """Return what the ledger on disk says of every variant."""
        tickets = Ledger.read(self.path, "s", self.base).tickets()
        return {str(ticket.swept["model.reparam"]): ticket.life.state for ticket in tickets}

    def run(self, branch: str) -> Run:
        """Return the run of a variant."""
        return Run(self.outputs, self.tickets[branch].key)

    def trained(self, branch: str, epochs: int, seconds: float = 6.0) -> None:
        """Leave the records of so many epochs, of `seconds` each."""
        run = self.run(branch)
        run.folder.mkdir(parents=True, exist_ok=True)
        rows = [{"epoch": i, "top1": 50.0 + i, "seconds": seconds} for i in range(epochs)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (run.folder / "metrics.jsonl").write_text(text)
        if epochs == EPOCHS:
            scores = {"top1": 97.5, "top5": 99.0, "commit": "c0ffee"}
            run.finish(scores | {"epochs": epochs, "seconds": epochs * seconds})

    def measured(self, branch: str, latency_ms: float) -> None:
        """Have the latency of a variant in the database."""
        settings = self.tickets[branch].settings
        graph = {"fingerprint": branch, "params": 1, "macs": 1, "training_params": 1}
        self.run(branch).add_deployed(settings.timed_shape, graph)
        store, times = Store(settings.storage.url), (latency_ms,) * 3
        identity = Timings(store).identity(settings, branch, "local")
        nothing = (None,) * 4
        store.add(
            Measurement(identity, *times, *nothing, times, (), 1, 1, True, "", (), {}, "", "", "")
        )

    def task(self, branch: str, function: Callable[..., None] = save_when_told) -> Task:
        """Return a training of a variant that does as `function` does."""
        ticket, run = self.tickets[branch], self.run(branch)
        run.folder.mkdir(parents=True, exist_ok=True)
        return Task(ticket.row, ticket.key, "train", function, (str(run.checkpoint),))

    def start(self, branch: str, function: Callable[..., None] = save_when_told) -> Job:
        """Start a training on this machine and wait until it is at work."""
        (job,) = self.jobs.submit([self.task(branch, function)])
        checkpoint = self.run(branch).checkpoint
        wait_for(checkpoint.exists)
        return job


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until a condition holds, for `seconds` at most."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def command(folder: Path, *words: str, columns: int = 100) -> subprocess.CompletedProcess[str]:
    """Run `python -m repghost.sweep` in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "repghost.sweep", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": str(HERE), "COLUMNS": str(columns)},
    )


SBATCH = """\
comment=$(sed -n 's/^#SBATCH --comment=//p' "$2")
number=$((4711 + $(wc -l < queue)))
echo "$number|PENDING||1:00:00|Priority|$comment" >> queue
echo $number
"""
SQUEUE = """\
[ -e silent ] && { echo 'Unable to contact slurm controller (connect failure)' >&2; exit 1; }
cat queue
"""


class ScriptedSlurm:
    """SLURM's commands as scripts over a file that is the queue; put `path` first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "slurm"
        self.path.mkdir()
        self.queue = self.path / "queue"
        self.queue.touch()
        scripts = {
            "sbatch": SBATCH,
            "squeue": SQUEUE,
            "scancel": 'echo "$@" >> cancelled; : > queue',
            "sinfo": "echo elsewhere",
            "scontrol": "echo 'AccountingStorageType = (null)'",
        }
        for name, text in scripts.items():
            script = self.path / name
            script.write_text(f"#!/bin/sh\ncd {self.path}\n{text}\n")
            script.chmod(script.stat().st_mode | stat.S_IXUSR)

    def fall_silent(self) -> None:
        """Have the controller answer no more."""
        (self.path / "silent").touch()

    def run_all(self, node: str) -> None:
        """Start every job that waits."""
        self.queue.write_text(self.queue.read_text().replace("|PENDING||", f"|RUNNING|{node}|"))

    @property
    def cancelled(self) -> str:
        """What scancel was called with."""
        file = self.path / "cancelled"
        return file.read_text() if file.exists() else ""
