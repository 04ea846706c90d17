"""All tasks of a SLURM job train one network, on the real SLURM."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest
from backend_contract import await_file, await_phase, submit
from services.cluster import Slurm

from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.run import Run
from repghost.settings import Settings
from repghost.sweep.jobs.contract import Job, Phase, Task
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.sweep.jobs.slurm import SlurmJobs
from repghost.tracking.spec import TrackingSpec
from repghost.training.spec import RecipeSpec
from repghost.trial import run_stage

pytestmark = pytest.mark.slurm
SPEC = SlurmSpec(tasks_per_node=2, cpus_per_task=1)
END_S = 120.0


@pytest.fixture
def chosen(slurm: Slurm, tmp_path: Path) -> Settings:
    return Settings(
        model=RepGhostNetSpec(width=0.1, num_classes=10),
        recipe=RecipeSpec(epochs=4, batch_size=256, checkpoint_every_s=1e-9),
        tracking=TrackingSpec("none"),
        outputs=str(tmp_path / "outputs"),
    )


def start(chosen: Settings, study: Path) -> tuple[SlurmJobs, Job]:
    backend = SlurmJobs(study, SPEC)
    task = Task("row", chosen.variant.key, "train", run_stage, (chosen, "train", None))
    (job,) = submit(backend, [task])
    return backend, job


def process_of(job: Job, rank: int) -> int:
    """Return the Python of a task of a running job; the nodes are processes of this machine."""
    wanted = {f"SLURM_JOB_ID={job.id}", f"SLURM_PROCID={rank}"}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            around = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            program = Path((folder / "exe").readlink()).name  # srun has these variables too
            if wanted <= set(around) and program.startswith("python"):
                return int(folder.name)
    raise AssertionError(f"no task {rank} of {job}")


def log_of(job: Job) -> str:
    return job.log.read_text() if job.log and job.log.exists() else ""


def test_two_tasks_train_one_network_and_go_on_after_a_signal(chosen, tmp_path):
    backend, job = start(chosen, tmp_path / "study")
    run = Run(chosen.outputs, chosen.variant.key)
    await_file(run.folder / "metrics.jsonl")
    subprocess.run(["scancel", "--signal=USR2", job.id], check=True)
    await_phase(backend, job, Phase.ENDED, END_S)
    result = run.result()
    assert result is not None, (log_of(job), run.error())
    assert (result["processes"], result["epochs"]) == (2, 4)
    assert "told to end" in log_of(job)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_task_ends_the_job_and_the_next_one_goes_on(rank, chosen, tmp_path):
    backend, job = start(chosen, tmp_path / "study")
    run = Run(chosen.outputs, chosen.variant.key)
    await_file(run.folder / "metrics.jsonl")
    os.kill(process_of(job, rank), signal.SIGKILL)
    sight = await_phase(backend, job, Phase.ENDED, END_S)
    reason = "rank 1 died" if rank else "failed: Killed"
    assert sight.reason == reason, (sight, log_of(job)[-900:])
    assert run.error() is None and run.result() is None
    backend, job = start(chosen, tmp_path / "study")
    await_phase(backend, job, Phase.ENDED, END_S)
    result = run.result()
    assert result is not None, (log_of(job), run.error())
    assert [record["epoch"] for record in run.history()] == [0, 1, 2, 3]
