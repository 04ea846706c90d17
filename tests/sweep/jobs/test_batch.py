"""A batch of tasks: the job script, and what a job finds when it starts.

`python tests/sweep/jobs/test_batch.py` writes the golden job script anew; `git diff` shows what
changed.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import toy_tasks
from submitit.core.utils import DelayedSubmission

from repghost.sweep.jobs.batch import Batch, run_indexed, script_text, token_in
from repghost.sweep.jobs.contract import Task
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.training.team import MEETING

GOLDEN = Path(__file__).with_name("golden_job.sh")
EVERYTHING = SlurmSpec(
    timeout_min=90,
    cpus_per_task=4,
    gpus_per_node=2,
    mem_gb=1.5,
    name="my sweep",
    partition="gpu,low",
    qos="long",
    comment="project 7",
    constraint="a100|h100",
    exclude="node1,node2",
    gres="scratch:1",
    account="lab",
    signal_delay_s=300,
    additional_parameters={"mail-type": "FAIL", "exclusive": True},
    array_parallelism=3,
    setup=["module load cuda", "ulimit -n 4096"],
    python="apptainer exec --nv image.sif python",
)


def tasks(count: int, folder: Path = Path()) -> list[Task]:
    return [
        Task(f"row {n}", f"key{n}", "train", toy_tasks.nap, (str(folder), f"t{n}", 0))
        for n in range(count)
    ]


def golden_text() -> str:
    folder = Path("/out/my study/jobs/20260101-000000-ab12cd34")
    snapshot = Path("/out/my study/code/9f")
    return script_text(folder, range(12), EVERYTHING, "repghost:0123456789ab:ab12cd34", snapshot)


def test_the_job_script_is_the_golden_one():
    assert golden_text() == GOLDEN.read_text()


def test_the_job_script_is_one_that_a_shell_can_read():
    assert subprocess.run(["bash", "-n", str(GOLDEN)]).returncode == 0


def test_a_script_asks_for_nothing_that_was_not_set():
    text = script_text(Path("/out/s/jobs/t-1"), (0,), SlurmSpec(), "repghost:0:1", None)
    options = {line.split("=")[0] for line in text.splitlines() if line.startswith("#SBATCH")}
    always = ("comment", "error", "job-name", "nodes", "ntasks-per-node", "open-mode", "output")
    assert options == {f"#SBATCH --{name}" for name in (*always, "signal", "time", "wckey")}
    assert "PYTHON" not in text


def test_the_tasks_of_a_job_meet_in_a_file_of_this_start_of_the_job():
    spec = SlurmSpec(tasks_per_node=2, nodes=3)
    text = script_text(Path("/out/s/jobs/t-1"), (0,), spec, "repghost:0:1", None)
    assert "#SBATCH --nodes=3" in text and "#SBATCH --ntasks-per-node=2" in text
    meeting = '"${SLURM_JOB_ID}-${SLURM_RESTART_COUNT:-0}".team'
    assert f"export REPGHOST_TEAM=/out/s/jobs/t-1/{meeting}" in text
    assert "REPGHOST_TEAM" not in golden_text()


def test_a_batch_is_found_again_by_its_token_with_its_rows_in_order(tmp_path: Path):
    written = Batch.write(tmp_path, tasks(3))
    found = Batch.find(tmp_path, written.token)
    assert found is not None and found.folder == written.folder
    assert found.jobs("7", SlurmSpec()) == written.jobs("7", SlurmSpec())
    assert [(job.id, job.row, job.stage) for job in found.jobs("7", SlurmSpec())] == [
        (f"7_{n}", f"row {n}", "train") for n in range(3)
    ]


def test_a_batch_of_one_is_a_plain_job(tmp_path: Path):
    batch = Batch.write(tmp_path, tasks(1))
    assert [job.id for job in batch.jobs("7", SlurmSpec())] == ["7"]
    assert batch.job("7_1", SlurmSpec()) is None


def test_a_batch_whose_folder_is_gone_is_not_found(tmp_path: Path):
    batch = Batch.write(tmp_path, tasks(1))
    batch.discard()
    assert Batch.find(tmp_path, batch.token) is None


def test_the_log_is_the_one_that_the_script_names(tmp_path: Path):
    for spec in (SlurmSpec(), SlurmSpec(stderr_to_stdout=True)):
        batch = Batch.write(tmp_path, tasks(2))
        script = batch.write_script(spec, "repghost:0:1", None).read_text()
        job = batch.job("7_1", spec)
        assert job is not None and job.log is not None
        pattern = str(job.log).replace("7_1", "%A_%a")
        assert pattern in script


@pytest.mark.parametrize("index", [0, 2])
def test_a_job_runs_the_task_at_its_place(
    index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    batch = Batch.write(tmp_path, tasks(3, tmp_path))
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(index))
    run_indexed(str(batch.folder), (0, 1, 2), short_s=0.0, limit_s=3600.0)
    assert [path.name for path in tmp_path.glob("*.done")] == [f"t{index}.done"]


def test_what_submitit_loads_in_a_job_runs_the_task_without_any_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    batch = Batch.write(tmp_path, tasks(1, tmp_path))
    batch.write_script(SlurmSpec(), "repghost:0:1", None)
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    DelayedSubmission.load(batch.folder / "start.pkl").result()
    assert (tmp_path / "t0.done").exists()


@pytest.mark.parametrize(
    ("comment", "token"),
    [
        ("repghost:0123456789ab:ab12cd34", "ab12cd34"),
        ("repghost:0123456789ab:ab12cd34 project: 7", "ab12cd34"),
        ("repghost:another:ab12cd34", None),
        ("", None),
        ("project 7", None),
    ],
)
def test_the_token_is_read_from_a_comment_of_this_study_alone(comment: str, token: str | None):
    assert token_in(comment, "repghost:0123456789ab:") == token


def test_all_tasks_of_a_job_work_on_one_task_after_the_other(tmp_path: Path):
    batch = Batch.write(
        tmp_path,
        [
            Task(f"row {n}", f"key{n}", "train", toy_tasks.add_ranks, (str(tmp_path), f"t{n}"))
            for n in range(2)
        ],
    )
    job = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"from {run_indexed.__module__} import run_indexed as run;"
                f" run({str(batch.folder)!r}, (0, 1), 600.0, 600.0)",
            ],
            env=os.environ
            | {
                "PYTHONPATH": str(Path(__file__).parent),
                MEETING: str(tmp_path / "1-0.team"),
                "SLURM_NTASKS": "2",
                "SLURM_NNODES": "1",
                "SLURM_PROCID": str(rank),
                "SLURM_LOCALID": str(rank),
            },
        )
        for rank in range(2)
    ]
    assert [task.wait(60) for task in job] == [0, 0]
    assert [(tmp_path / f"t{n}.done").read_text() for n in range(2)] == ["3\n", "3\n"]
    assert (tmp_path / "1-0.team").stat().st_mode & 0o077 == 0  # others could have it run anything


if __name__ == "__main__":
    GOLDEN.write_text(golden_text())
