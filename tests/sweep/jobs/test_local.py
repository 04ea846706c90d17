"""Processes of this machine as a backend: the contract, and what is its own."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import toy_tasks
from backend_contract import (
    FAR_S,
    BackendContract,
    Open,
    await_file,
    await_phase,
    await_pid,
    end,
    nap,
    submit,
)

from repghost.sweep.jobs.contract import Phase
from repghost.sweep.jobs.local import LocalJobs


class TestLocalJobs(BackendContract):
    @pytest.fixture
    def open_backend(self, tmp_path: Path) -> Open:
        return lambda: LocalJobs(tmp_path / "study", slots=1)


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalJobs:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return LocalJobs(tmp_path / "study", slots=1)


def test_a_killed_process_says_by_which_signal(jobs, tmp_path):
    (job,) = submit(jobs, [nap(tmp_path, "a", FAR_S)])
    os.kill(await_pid(tmp_path / "a.started"), signal.SIGKILL)
    assert await_phase(jobs, job, Phase.ENDED).reason == "killed by SIGKILL"


def test_what_stands_behind_a_killed_measurement_never_started(jobs, tmp_path):
    tasks = [nap(tmp_path, name, FAR_S, stage="measure") for name in "ab"]
    first, second = submit(jobs, tasks)
    os.kill(await_pid(tmp_path / "a.started"), signal.SIGKILL)
    assert await_phase(jobs, first, Phase.ENDED).started
    assert not await_phase(jobs, second, Phase.ENDED).started


def test_a_signal_while_a_task_is_read_ends_the_process_and_not_that_task_alone(jobs, tmp_path):
    first, second = (nap(tmp_path, name, FAR_S, stage="measure") for name in "ab")
    reads = replace(first, arguments=(*first.arguments, toy_tasks.EndsItsReader()))
    first, second = submit(jobs, [reads, second])
    assert await_phase(jobs, first, Phase.ENDED).reason == "told to end"
    assert not await_phase(jobs, second, Phase.ENDED).started
    assert not list(tmp_path.glob("*.started"))


def test_ctrl_c_in_the_driver_s_terminal_does_not_reach_a_job(jobs, tmp_path):
    (job,) = submit(jobs, [nap(tmp_path, "a", FAR_S)])
    await_file(tmp_path / "a.started")
    pid = await_pid(tmp_path / "a.started")
    assert os.getsid(pid) != os.getsid(0)
    end(jobs, [job])
