"""Stopping a study: nothing goes on, nothing is lost, and nobody is surprised by a second time."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_study import COMMAND, ScriptedSlurm, SmallStudy, command, heed_nothing, wait_for

from repghost.lock import Lock
from repghost.sweep.console.stop import stop_study
from repghost.sweep.jobs.contract import Job
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.sweep.jobs.slurm import SlurmJobs
from repghost.sweep.study import Ledger
from repghost.sweep.ticket import Outcome

LEAVES = """\
import sys, time
from pathlib import Path
from repghost.lock import Lock
folder = Path(sys.argv[1])
lock = Lock(folder / "driver.lock")
lock.acquire()
print("held", flush=True)
while not (folder / "stop").exists() or sys.argv[2] == "deaf":
    time.sleep(0.02)
"""


@contextlib.contextmanager
def driver(study: SmallStudy, manner: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the study and leaves when asked to, unless it is deaf."""
    words = [sys.executable, "-c", LEAVES, str(study.path), manner]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def kill(study: SmallStudy, job: Job) -> None:
    pid = (study.path / "jobs" / job.id).with_name("pid").read_text()
    os.killpg(int(pid), signal.SIGKILL)


def test_jobs_save_and_end_and_what_was_open_is_cancelled(tmp_path):
    study = SmallStudy(tmp_path, "bn", "id", "none")
    study.trained("none", 10)
    study.ledger.tell(study.tickets["none"], Outcome("finished", 97.5, 1.25))
    job = study.start("bn")
    study.ledger.move(study.tickets["bn"], "running", job=job.id)
    said: list[str] = []
    assert stop_study(study.folder, said.append) == 0
    assert study.states() == {"bn": "cancelled", "id": "cancelled", "none": "finished"}
    assert study.run("bn").checkpoint.read_text() == "saved"
    assert study.jobs.adopt() == []
    assert "ending 1 job; a training saves its checkpoint first" in said
    assert "study s: 2 cancelled" in said
    assert "kept: 1 result, 1 checkpoint of unfinished runs" in said
    assert said[-1].endswith(COMMAND)


def test_a_second_stop_changes_nothing_and_says_so(tmp_path):
    study = SmallStudy(tmp_path, "bn")
    assert stop_study(study.folder, print) == 0
    (before,) = Ledger.read(study.path, "s", study.base).tickets()
    said: list[str] = []
    assert stop_study(study.folder, said.append) == 0
    (after,) = Ledger.read(study.path, "s", study.base).tickets()
    assert (after.number, after.lives) == (before.number, before.lives)
    assert "study s: there is nothing to be stopped" in said
    assert f"to take up what was cancelled: `{COMMAND}`" in command(tmp_path, "status", "s").stdout


def test_what_has_its_result_already_is_told_and_not_cancelled(tmp_path):
    study = SmallStudy(tmp_path, "bn", "id")
    study.trained("bn", 10)
    study.measured("bn", 1.25)
    study.ledger.move(study.tickets["bn"], "running", job="20260101-000000-abcdef/0")
    assert stop_study(study.folder, print) == 0
    assert study.states() == {"bn": "finished", "id": "cancelled"}
    table = (study.path / "results.csv").read_text().splitlines()
    assert len(table) == 3
    assert "finished" in table[1] and ",97.5," in table[1] and "cancelled" in table[2]


def test_a_living_driver_is_asked_to_leave_first(tmp_path):
    study = SmallStudy(tmp_path, "bn")
    said: list[str] = []
    with driver(study, "polite") as process:
        assert stop_study(study.folder, said.append) == 0
        assert process.wait(timeout=10) == 0
    assert f"asking the driver to leave: process {process.pid} on" in said[0]
    assert study.states() == {"bn": "cancelled"}
    assert not (study.path / "stop").exists(), "the next driver would leave at once"


def test_a_driver_that_was_just_starting_is_asked_again(tmp_path):
    study = SmallStudy(tmp_path, "bn")
    lock = Lock(study.path / "driver.lock")
    lock.acquire()
    request = study.path / "stop"
    stopper = threading.Thread(target=stop_study, args=(study.folder, print))
    stopper.start()
    wait_for(request.exists)
    request.unlink()  # what a driver does with an old request when it starts
    wait_for(request.exists)
    lock.release()
    stopper.join(timeout=30)
    assert study.states() == {"bn": "cancelled"}


def test_a_driver_that_does_not_leave_is_named_and_nothing_is_cancelled(tmp_path):
    study = SmallStudy(tmp_path, "bn")
    with (
        driver(study, "deaf") as process,
        pytest.raises(ValueError, match=rf"process {process.pid} on .* end that process"),
    ):
        stop_study(study.folder, print, leaves_within_s=0.5)
    assert study.states() == {"bn": "waiting"}


def test_a_job_that_does_not_end_in_time_is_named_and_its_variant_left(tmp_path):
    study = SmallStudy(tmp_path, "bn", "id")
    job = study.start("bn", heed_nothing)
    study.ledger.move(study.tickets["bn"], "running", job=job.id)
    said: list[str] = []
    try:
        assert stop_study(study.folder, said.append, ends_within_s=0.5) == 1
    finally:
        kill(study, job)
    assert study.states() == {"bn": "running", "id": "cancelled"}
    assert f"told to end but still there: {job.id}; run this again in a while" in said
    wait_for(lambda: not study.jobs.adopt())
    assert stop_study(study.folder, said.append) == 0
    assert study.states() == {"bn": "cancelled", "id": "cancelled"}


def test_stop_on_the_command_line_ends_a_job_and_the_study_goes_on_from_there(tmp_path):
    study = SmallStudy(tmp_path, "bn")
    job = study.start("bn")
    study.ledger.move(study.tickets["bn"], "running", job=job.id)
    done = command(tmp_path, "stop", "s")
    assert (done.returncode, done.stderr) == (0, "")
    assert "study s: 1 cancelled" in done.stdout.splitlines()
    assert study.states() == {"bn": "cancelled"}
    ledger = Ledger(study.path, "s", study.base)
    (again,) = ledger.enroll([study.point("bn")], lambda ticket: ticket.life.state == "cancelled")
    assert again.life.state == "waiting"


def test_ctrl_c_while_it_waits_is_one_line(tmp_path):
    study = SmallStudy(tmp_path, "bn")
    with driver(study, "deaf"):
        words = [sys.executable, "-m", "repghost.sweep", "stop", "s"]
        with subprocess.Popen(words, cwd=tmp_path, stderr=-1, stdout=-1, text=True) as stop:
            wait_for((study.path / "stop").exists)
            time.sleep(0.2)
            stop.send_signal(signal.SIGINT)
            _, said = stop.communicate(timeout=30)
    assert stop.returncode == 130
    assert said.strip().splitlines() == [
        "interrupted; what was told to end does, run it again for the rest"
    ]


def slurm_study(folder: Path, *branches: str) -> tuple[SmallStudy, ScriptedSlurm]:
    slurm = ScriptedSlurm(folder)
    return SmallStudy(folder, *branches, launcher=SlurmSpec(poll_s=0.1)), slurm


def test_jobs_on_the_cluster_are_cancelled_known_to_the_ledger_or_not(tmp_path, monkeypatch):
    study, slurm = slurm_study(tmp_path, "bn", "id")
    monkeypatch.setenv("PATH", str(slurm.path), prepend=os.pathsep)
    (job,) = SlurmJobs(study.path, SlurmSpec()).submit([study.task("bn")])
    assert stop_study(study.folder, print) == 0
    assert job.id in slurm.cancelled
    assert study.states() == {"bn": "cancelled", "id": "cancelled"}


def test_a_silent_cluster_keeps_what_may_run_there_and_says_to_stop_again(tmp_path, monkeypatch):
    study, slurm = slurm_study(tmp_path, "bn", "id")
    monkeypatch.setenv("PATH", str(slurm.path), prepend=os.pathsep)
    monkeypatch.setattr("repghost.sweep.jobs.slurm.ANSWERS_WITHIN_S", 0.5)
    study.ledger.move(study.tickets["bn"], "queued", job="4711")
    slurm.fall_silent()
    said: list[str] = []
    assert stop_study(study.folder, said.append) == 1
    assert study.states() == {"bn": "queued", "id": "cancelled"}
    assert any("does not answer" in line and "run this again" in line for line in said)


def test_where_there_is_no_slurm_nothing_is_touched(tmp_path, monkeypatch):
    study, _ = slurm_study(tmp_path, "bn")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="there is no sbatch here"):
        stop_study(study.folder, print)
    assert study.states() == {"bn": "waiting"}
