"""What a user sees of a study from outside: nothing of it may change by being looked at."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from small_study import COMMAND, EPOCHS, HERE, ScriptedSlurm, SmallStudy, command

from repghost.lock import Lock
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.settings import Settings
from repghost.sweep.console.folder import find_study
from repghost.sweep.console.status import Status, status_of
from repghost.sweep.console.view import page, print_page
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.sweep.jobs.slurm import SlurmJobs
from repghost.sweep.space.points import Point
from repghost.sweep.study import Ledger
from repghost.sweep.ticket import Outcome


def printed(status: Status, width: int = 100, most: int | None = 40) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    print_page(page(status, console.width, time.time(), most), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_state_is_counted_and_shown_with_how_far_it_is(tmp_path):
    study = SmallStudy(tmp_path, "bn", "id", "dconv", "none")
    ledger, tickets = study.ledger, study.tickets
    study.trained("bn", 10)
    ledger.tell(tickets["bn"], Outcome("finished", 97.5, 1.25))
    study.trained("id", 4)
    study.measured("id", 1.75)
    ledger.move(tickets["id"], "running", job="20260101-000000-abcdef/0")
    ledger.tell(tickets["dconv"], Outcome("failed", reason="loss is nan at epoch 3"))
    status = status_of(study.folder)
    assert status.counts == {"running": 1, "waiting": 1, "finished": 1, "failed": 1}
    running = next(row for row in status.rows if row.state == "running")
    assert (running.epoch, running.epochs, running.score) == (4, 10, 53.0)
    assert running.latency_ms == 1.75
    said = printed(status)
    for words in ("abcdef/0", "4/10", "53.00", "1.750", "10/10", "97.50", "1.250"):
        assert words in said
    assert "loss is nan at epoch 3" in said


def test_looking_writes_nothing_and_mends_nothing(tmp_path):
    study = SmallStudy(tmp_path, "bn", "id")
    study.trained("bn", 3)
    journal = study.path / "study.journal"
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 8, "torn')
    before = content(tmp_path)
    assert status_of(study.folder).counts == {"waiting": 2}
    assert content(tmp_path) == before


def test_a_living_driver_is_named_and_its_study_can_be_looked_at(tmp_path):
    study = SmallStudy(tmp_path, "bn")
    lock = Lock(study.path / "driver.lock")
    lock.acquire()
    try:
        status = status_of(study.folder)
    finally:
        lock.release()
    assert status.holder is not None and f"process {os.getpid()} on" in status.holder
    assert f"process {os.getpid()} on" in printed(status)
    after = status_of(study.folder)
    assert (after.holder, after.killed) == (None, None)
    assert f"driver  none; to go on: `{COMMAND}`" in printed(after)


def test_a_killed_driver_is_told_from_one_that_left(tmp_path):
    study = SmallStudy(tmp_path, "bn")
    code = (
        "import sys, time; from pathlib import Path; from repghost.lock import Lock\n"
        "lock = Lock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(study.path / "driver.lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None and driver.stdout.readline() == "held\n"
        assert f"process {driver.pid} " in str(status_of(study.folder).holder)
        driver.kill()
    status = status_of(study.folder)
    assert status.holder is None
    assert f"none (process {driver.pid} on" in printed(status)
    assert "was killed); to go on: `python launch.py" in printed(status)


def test_a_job_that_the_ledger_does_not_know_yet_counts(tmp_path):
    study = SmallStudy(tmp_path, "bn", "id")
    job = study.start("bn")
    try:
        row = next(row for row in status_of(study.folder).rows if row.variant == "reparam=bn")
        assert (row.state, row.job, row.since) == ("running", job.id, None)
    finally:
        study.jobs.cancel([job])


def test_what_ended_well_after_submit_and_leave_counts_as_finished(tmp_path):
    study = SmallStudy(tmp_path, "bn", "id")
    study.trained("bn", EPOCHS)
    for ticket in study.tickets.values():
        study.ledger.move(ticket, "queued", job="20260101-000000-abcdef/0")
    status = status_of(study.folder)
    assert [row.state for row in status.rows] == ["finished", "queued"]
    assert "its result is there" in printed(status)


def test_a_job_that_is_gone_without_a_driver_is_said_to_be(tmp_path):
    study = SmallStudy(tmp_path, "bn")
    study.ledger.move(study.tickets["bn"], "running", job="20260101-000000-abcdef/0")
    assert "its job has ended, nobody looked yet" in printed(status_of(study.folder))
    lock = Lock(study.path / "driver.lock")
    lock.acquire()
    try:
        assert "has ended" not in printed(status_of(study.folder)), "the driver looks in a moment"
    finally:
        lock.release()


def test_time_left_is_that_of_the_epochs_left_at_the_pace_known_in_the_slots(tmp_path):
    study = SmallStudy(tmp_path, "bn", "id", "dconv", "none")
    assert status_of(study.folder).left_s is None
    assert "time left unknown" in printed(status_of(study.folder))
    study.trained("bn", 10, seconds=6.0)
    study.ledger.tell(study.tickets["bn"], Outcome("finished", 97.5, 1.25))
    study.trained("id", 5, seconds=20.0)
    study.ledger.move(study.tickets["id"], "running")
    status = status_of(study.folder)
    assert status.left_s == 60.0 + 60.0, "two waiting ones at 60 s each beside 100 s of `id`"
    assert status.hours == pytest.approx((60 + 100) / 3600)
    assert "trained 3 min; about 2 min left, 2 at a time" in printed(status)


def test_two_rows_of_one_run_count_its_hours_once(tmp_path):
    study = SmallStudy(tmp_path, "bn")
    study.trained("bn", 10)
    settings = study.tickets["bn"].settings
    timed = replace(settings, latency=replace(settings.latency, batch_size=8))
    study.ledger.enroll([Point({"model.reparam": "bn", "latency.batch_size": 8}, timed)])
    status = status_of(study.folder)
    assert len(status.rows) == 2
    assert status.hours == pytest.approx(60 / 3600)


def test_requeues_and_preemptions_are_counted(tmp_path):
    study = SmallStudy(tmp_path, "bn")
    ticket = study.tickets["bn"]
    for state in ("queued", "running", "preempted", "running"):
        study.ledger.move(ticket, state, job="17")
    study.ledger.move(ticket, "waiting", cause="requeued: node failure on node3")
    study.ledger.move(ticket, "running", job="18")
    status = status_of(study.folder)
    assert (status.requeues, status.preemptions) == (1, 1)
    assert "1 handed over anew, 1 preempted" in printed(status)


def big_study(folder: Path, number: int) -> Ledger:
    base = replace(Settings(), study="big", outputs=str(folder / "outputs"))
    ledger = Ledger(folder / "outputs/big", "big", base)
    model = RepGhostNetSpec(reparam="bn")
    settings = (replace(base, seed=seed, model=model) for seed in range(number))
    ledger.enroll([Point({"seed": one.seed}, one) for one in settings])
    return ledger


def test_of_many_variants_those_that_failed_or_are_at_work_are_shown(tmp_path):
    ledger = big_study(tmp_path, 50)
    tickets = ledger.tickets()
    ledger.move(tickets[48], "running")
    ledger.tell(tickets[49], Outcome("failed", reason="broken"))
    status = status_of(find_study(tmp_path / "outputs", "big"))
    said = printed(status)
    assert "seed=48" in said and "seed=49" in said and "seed=7 " not in said
    assert "not shown: 48 waiting (--all shows them)" in said
    assert all(f"seed={seed}" in printed(status, most=None) for seed in range(50))


def test_of_very_many_at_work_neither_failures_nor_the_rest_crowd_the_other_out(tmp_path):
    ledger = big_study(tmp_path, 120)
    for ticket in ledger.tickets():
        if ticket.number < 60:
            ledger.tell(ticket, Outcome("failed", reason="broken"))
        else:
            ledger.move(ticket, "running" if ticket.number < 70 else "queued")
    said = printed(status_of(find_study(tmp_path / "outputs", "big")))
    assert "not shown: 40 queued, 40 failed (--all shows them)" in said
    table = said.partition("not shown")[0]
    assert sum(" failed " in line for line in table.splitlines()) == 20
    assert sum(" running " in line for line in table.splitlines()) == 10


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_table_fits_the_terminal(tmp_path, width):
    study = SmallStudy(tmp_path, "bn", "id+dconv", "none")
    for branch in ("bn", "id+dconv"):
        study.trained(branch, 5)
        study.measured(branch, 12.345)
        study.ledger.move(study.tickets[branch], "running", job="20260101-000000-abcdef/0")
    study.ledger.tell(study.tickets["none"], Outcome("failed", reason="a long reason " * 12))
    said = printed(status_of(study.folder), width)
    lines = said.splitlines()
    rows = [line for line in lines if "abcdef" in line]
    assert len(rows) == 2 and max(map(len, rows)) <= width
    assert "12.345" in rows[0] and "5/10" in rows[0]
    assert said.count("a long reason") == 12


def slurm_study(folder: Path, *branches: str, **spec) -> tuple[SmallStudy, ScriptedSlurm]:
    slurm = ScriptedSlurm(folder)
    return SmallStudy(folder, *branches, launcher=SlurmSpec(poll_s=0.1, **spec)), slurm


def test_a_queued_job_has_the_cluster_s_reason_and_gpu_hours_are_told(tmp_path, monkeypatch):
    study, slurm = slurm_study(tmp_path, "bn", "id", gpus_per_node=8)
    monkeypatch.setenv("PATH", str(slurm.path), prepend=os.pathsep)
    (job,) = SlurmJobs(study.path, SlurmSpec()).submit([study.task("bn")])
    study.trained("bn", 5, seconds=1800.0)
    (row, other) = status_of(study.folder).rows
    assert (row.state, row.job, row.reason) == ("queued", job.id, "Priority")
    assert other.state == "waiting"
    slurm.run_all("node7")
    status = status_of(study.folder)
    assert (status.rows[0].state, status.rows[0].node) == ("running", "node7")
    assert "trained 2 h 30 min (20.0 GPU hours)" in printed(status)


def test_what_was_submitted_twice_is_left_to_the_driver(tmp_path, monkeypatch):
    study, slurm = slurm_study(tmp_path, "bn")
    monkeypatch.setenv("PATH", str(slurm.path), prepend=os.pathsep)
    SlurmJobs(study.path, SlurmSpec()).submit([study.task("bn")])
    slurm.queue.write_text(slurm.queue.read_text() + slurm.queue.read_text().replace("47", "48"))
    assert status_of(study.folder).counts == {"queued": 1}
    assert slurm.cancelled == ""


def test_a_cluster_that_does_not_answer_is_said_and_the_ledger_shown(tmp_path, monkeypatch):
    study, slurm = slurm_study(tmp_path, "bn")
    monkeypatch.setenv("PATH", str(slurm.path), prepend=os.pathsep)
    study.ledger.move(study.tickets["bn"], "queued", job="4711")
    slurm.fall_silent()
    start = time.monotonic()
    status = status_of(study.folder)
    assert time.monotonic() - start < 10
    assert status.counts == {"queued": 1}
    said = printed(status)
    assert "the SLURM controller does not answer" in said
    assert "its job has ended" not in said


def test_without_slurm_on_this_machine_the_ledger_is_shown(tmp_path, monkeypatch):
    study, _ = slurm_study(tmp_path, "bn")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no sbatch here" in printed(status_of(study.folder))


def test_all_studies_are_listed_the_last_changed_first(tmp_path):
    study = SmallStudy(tmp_path, "bn", "id")
    study.ledger.tell(study.tickets["bn"], Outcome("finished", 97.5, 1.25))
    big_study(tmp_path, 3)
    os.utime(study.path / "study.journal", (time.time() - 7200,) * 2)
    (tmp_path / "outputs/torn").mkdir()
    (tmp_path / "outputs/torn/study.journal").write_text("rubbish\n" * 3)
    done = command(tmp_path, "status", columns=200)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    names = [line[0] for line in lines]
    assert names.index("big") < names.index("s")
    (of_s,) = [" ".join(line) for line in lines if line[0] == "s"]
    assert of_s == "s 1 waiting, 1 finished none 2 h ago"
    assert "cannot be read" in done.stdout


def test_no_study_at_all_says_how_to_start_one(tmp_path):
    done = command(tmp_path, "status")
    assert done.returncode == 0
    assert done.stdout.startswith("no study in outputs; `python launch.py -m")


def test_a_study_that_does_not_exist_is_one_line_with_those_that_do(tmp_path):
    SmallStudy(tmp_path, "bn")
    for word in ("status", "stop"):
        done = command(tmp_path, word, "x")
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr == "error: no study x in outputs; there are s\n"
    done = command(tmp_path, "status", "x", "--outputs", "elsewhere")
    assert done.stderr.startswith("error: no study x: there is none in elsewhere")


def test_json_is_one_object_with_every_variant(tmp_path):
    study = SmallStudy(tmp_path, "bn", "id")
    study.ledger.tell(study.tickets["bn"], Outcome("finished", 97.5, 1.25))
    done = command(tmp_path, "status", "s", "--json")
    found = json.loads(done.stdout)
    assert found["counts"] == {"waiting": 1, "finished": 1}
    assert found["driver"] == {"alive": False, "holder": None}
    assert [(v["swept"], v["top1"]) for v in found["variants"]] == [
        ({"model.reparam": "bn"}, 97.5),
        ({"model.reparam": "id"}, None),
    ]
    assert json.loads(command(tmp_path, "status", "--json").stdout)["studies"][0]["study"] == "s"


def test_a_watch_looks_again_and_ends_quietly_with_ctrl_c(tmp_path):
    SmallStudy(tmp_path, "bn")
    words = [sys.executable, "-m", "repghost.sweep", "status", "s", "--json", "--watch", "0.1"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=-1, stderr=-1, text=True) as watch:
        assert watch.stdout is not None and watch.stderr is not None
        looks = [json.loads(watch.stdout.readline()) for _ in range(2)]
        watch.send_signal(signal.SIGINT)
        assert watch.wait(timeout=30) == 0
        assert watch.stderr.read() == ""
    assert [look["counts"] for look in looks] == [{"waiting": 1}] * 2


def test_a_thousand_variants_take_less_than_three_seconds_and_no_torch(tmp_path):
    ledger = big_study(tmp_path, 1000)
    for ticket in ledger.tickets()[:300]:
        ledger.move(ticket, "queued", job="17")
    code = (
        "import sys, time; from repghost.sweep.__main__ import main\n"
        "assert main(['status', 'big']) == 0; used = time.process_time()\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
        "assert used < 3.0, used"
    )
    words = [sys.executable, "-c", code]
    env = os.environ | {"PYTHONPATH": str(HERE)}
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert "1000 variants: 300 queued, 700 waiting" in done.stdout


@pytest.mark.parametrize("words", [["status", "--watch", "0"], ["status", "--watch", "x"], ["go"]])
def test_bad_words_are_one_line(tmp_path, words):
    done = command(tmp_path, *words)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: ")
