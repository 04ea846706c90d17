"""The services themselves: what the other tests take for granted of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from services.cluster import Slurm, await_true

DEAD_NODE_S = 120  # 37 s on an idle machine: pings, SlurmdTimeout, the credential's life
SLEEPER = """#!/bin/bash
#SBATCH --requeue --open-mode=append --output={output}
echo "$SLURMD_NODENAME ${{SLURM_RESTART_COUNT:-0}}"
sleep 300
"""


@pytest.fixture
def sleeper(tmp_path: Path) -> Path:
    """A job script whose output, beside it as `output`, gets a line for each start."""
    script = tmp_path / "sleeper.sh"
    script.write_text(SLEEPER.format(output=tmp_path / "output"))
    return script


def starts(script: Path) -> list[tuple[str, str]]:
    """Return (node, restarts) for each start of the sleeper so far."""
    output = script.with_name("output")
    lines = output.read_text().splitlines() if output.exists() else []
    return [(line.split()[0], line.split()[1]) for line in lines if line.startswith("node")]


@pytest.mark.slurm
def test_a_job_runs_and_leaves_its_output(slurm: Slurm, tmp_path: Path) -> None:
    job = slurm.submit(f"--output={tmp_path}/output", "--wrap", "echo hello from $SLURM_JOB_ID")
    slurm.await_idle()
    assert slurm.state(job) == "COMPLETED"
    assert (tmp_path / "output").read_text() == f"hello from {job}\n"


@pytest.mark.slurm
@pytest.mark.slow
def test_the_job_of_a_killed_node_runs_again_on_another(slurm: Slurm, sleeper: Path) -> None:
    job = slurm.submit(str(sleeper))
    await_true(lambda: starts(sleeper), 30)
    ((node, _),) = starts(sleeper)
    slurm.script("kill-node", node.removeprefix("node"))
    await_true(lambda: len(starts(sleeper)) == 2, DEAD_NODE_S)
    (_, (other, restarts)) = starts(sleeper)
    assert other != node and restarts == "1"
    assert slurm.jobs() == {job: "RUNNING"}


@pytest.mark.slurm
def test_a_restarted_controller_still_knows_its_jobs(slurm: Slurm, sleeper: Path) -> None:
    job = slurm.submit(str(sleeper))
    await_true(lambda: starts(sleeper), 30)
    slurm.script("restart-controller")
    assert slurm.jobs() == {job: "RUNNING"}
    assert len(starts(sleeper)) == 1


@pytest.mark.slurm
def test_without_its_controller_the_cluster_does_not_answer(slurm: Slurm) -> None:
    slurm.script("stop-controller")
    with pytest.raises(RuntimeError, match="squeue"):
        slurm.jobs()


@pytest.mark.slurm
def test_a_job_above_its_memory_is_killed_and_its_log_says_so(slurm: Slurm, tmp_path: Path) -> None:
    eater = "import time; x = b'x' * 400_000_000; time.sleep(60)"
    command = f"{sys.executable} -c {eater!r}"
    job = slurm.submit(f"--output={tmp_path}/output", "--mem=200M", "--wrap", command)
    slurm.await_idle(30)
    assert slurm.state(job) == "FAILED"
    assert "exceeded memory limit" in (tmp_path / "output").read_text()


@pytest.mark.slurm
def test_an_array_above_the_limit_is_refused(slurm: Slurm) -> None:
    with (
        slurm.configured(MAX_ARRAY_SIZE=11),
        pytest.raises(RuntimeError, match="Invalid job array specification"),
    ):
        slurm.submit("--array=0-11", "--wrap", "true")


@pytest.mark.slurm
def test_gpus_are_handed_out_by_number(slurm: Slurm, tmp_path: Path) -> None:
    with slurm.configured(GPUS=2):
        both = [f"--output={tmp_path}/%a", "--array=0-1", "--gpus-per-node=1", "--nodelist=node2"]
        slurm.submit(*both, "--wrap", "echo $CUDA_VISIBLE_DEVICES; sleep 3")
        slurm.await_idle()
    assert {(tmp_path / task).read_text() for task in "01"} == {"0\n", "1\n"}


@pytest.mark.slurm
@pytest.mark.slow
def test_with_accounting_sacct_answers_and_a_qos_limits_the_jobs(slurm: Slurm) -> None:
    with slurm.configured(ACCT="dbd", FEW=2):
        jobs = [slurm.submit("--qos=few", "--output=/dev/null", "--wrap", "sleep 2") for _ in "ab"]
        with pytest.raises(RuntimeError, match="QOSMaxSubmitJobPerUserLimit"):
            slurm.submit("--qos=few", "--wrap", "true")
        slurm.await_idle()
        await_true(lambda: accounted(jobs) == ["COMPLETED", "COMPLETED"], 30)


def accounted(jobs: list[str]) -> list[str]:
    command = ["sacct", "-X", "--noheader", "--format=State", "--jobs", ",".join(jobs)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.slurm
def test_without_accounting_sacct_fails(slurm: Slurm) -> None:
    with slurm.configured(ACCT="none"):
        done = subprocess.run(["sacct"], capture_output=True, text=True)
    assert done.returncode != 0 and "accounting storage is disabled" in done.stderr


NEEDS_ALL = """
import pytest

pytest_plugins = ["services.plugin"]

@pytest.mark.slurm
def test_slurm(): ...

@pytest.mark.postgres
def test_postgres(): ...
"""


@pytest.mark.parametrize(
    ("required", "outcome"), [("", "2 skipped"), ("1", "2 errors")], ids=["skips", "fails"]
)
def test_a_test_without_its_service(required: str, outcome: str, tmp_path: Path) -> None:
    (tmp_path / "test_needy.py").write_text(NEEDS_ALL)
    nowhere = {
        "SLURM_CONF": str(tmp_path / "slurm.conf"),
        "LAB_ROOT": str(tmp_path / "lab"),
        "PGPORT": "1",
        "REPGHOST_REQUIRE_SERVICES": required,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = [sys.executable, "-m", "pytest", "-rsE", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        command, env=os.environ | nowhere, cwd=tmp_path, capture_output=True, text=True
    )
    assert outcome in done.stdout
    assert "run bash tests/services/slurm.sh start" in done.stdout
    assert "run bash tests/services/postgres.sh start" in done.stdout
