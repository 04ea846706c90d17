"""Trainings of two processes as jobs of this machine: whichever is lost, the job ends, and why."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from backend_contract import await_phase, submit

from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.run import Run
from repghost.settings import Settings
from repghost.sweep.jobs.contract import Job, Phase, Task
from repghost.sweep.jobs.local import LocalJobs
from repghost.tracking.spec import TrackingSpec
from repghost.training.spec import RecipeSpec
from repghost.trial import run_stage

SOON_S = 15.0


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return Settings(
        model=RepGhostNetSpec(width=0.1, num_classes=10),
        recipe=RecipeSpec(epochs=4, batch_size=256, checkpoint_every_s=1e-9),
        tracking=TrackingSpec("none"),
        outputs=str(tmp_path / "outputs"),
    )


def processes(job: Job, study: Path) -> list[int]:
    """Return the process of a job and the one that it started."""
    leader = int((study / "jobs" / job.id.partition("/")[0] / "pid").read_text())
    children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
    return [leader, *map(int, children)]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def saved(run: Run) -> float:
    return run.checkpoint.stat().st_mtime if run.checkpoint.exists() else 0.0


@pytest.mark.slow
def test_a_training_of_two_processes_survives_the_loss_of_either(chosen, tmp_path):
    study, run = tmp_path / "study", Run(chosen.outputs, chosen.variant.key)
    backend = LocalJobs(study, slots=1)
    function = partial(run_stage, processes=2)
    task = Task("row", chosen.variant.key, "train", function, (chosen, "train", 1))
    for victim, number, reason in (
        (1, signal.SIGKILL, "rank 1 died"),
        (0, signal.SIGKILL, "killed by SIGKILL"),
        (0, signal.SIGTERM, "told to end"),
    ):
        before, limit = saved(run), time.monotonic() + 60
        (job,) = submit(backend, [task])
        while saved(run) == before:
            assert time.monotonic() < limit, job.log and job.log.read_text()
            time.sleep(0.01)
        both = processes(job, study)
        assert len(both) == 2
        os.kill(both[victim], number)
        assert await_phase(backend, job, Phase.ENDED).reason == reason
        assert run.error() is None and run.result() is None
        limit = time.monotonic() + SOON_S
        while any(map(is_alive, both)):
            assert time.monotonic() < limit, "a process outlives the other"
            time.sleep(0.05)
    (job,) = submit(backend, [task])
    await_phase(backend, job, Phase.ENDED)
    result = run.result()
    assert result is not None, run.error()
    assert (result["processes"], result["epochs"]) == (2, 4)
    assert [record["epoch"] for record in run.history()] == [0, 1, 2, 3]
