"""SLURM as a backend on the real SLURM: whatever happens to a job, its driver and its cluster."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import toy_tasks
from backend_contract import (
    FAR_S,
    NOTICED_S,
    BackendContract,
    Open,
    await_file,
    await_phase,
    await_pid,
    end,
    lines,
    nap,
    submit,
)
from services.cluster import Slurm

from repghost.sweep.jobs.cluster import Cluster
from repghost.sweep.jobs.contract import Job, Phase, Task
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.sweep.jobs.slurm import SlurmJobs

pytestmark = pytest.mark.slurm
REQUEUED_S = 60.0


@pytest.fixture
def study(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study's folder, with a blank in its name; jobs can import `toy_tasks`."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return tmp_path / "my study"


def driver(study: Path, snapshot: Path | None = None, **settings: object) -> SlurmJobs:
    """Return a backend as a new driver of the study would have it."""
    return SlurmJobs(study, SlurmSpec(**settings), snapshot)  # type: ignore[arg-type]


def shell(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class TestSlurmJobs(BackendContract):
    crowd = 9  # four nodes with two CPUs each

    @pytest.fixture
    def open_backend(self, study: Path) -> Open:
        return lambda: driver(study)


# --- what happens to a job ------------------------------------------------------------------------


def test_a_job_is_seen_with_its_node_and_the_time_it_has_left(study: Path, tmp_path: Path) -> None:
    backend = driver(study, timeout_min=10)
    (job,) = submit(backend, [nap(tmp_path, "a", FAR_S)])
    sight = await_phase(backend, job, Phase.RUNNING)
    assert sight.node.startswith("node")
    assert sight.left_s is not None and 500 < sight.left_s <= 600


def test_a_queued_job_says_what_it_waits_for(study: Path, tmp_path: Path) -> None:
    backend = driver(study, additional_parameters={"begin": "now+1hour"})
    (job,) = submit(backend, [nap(tmp_path, "a", 0)])
    time.sleep(2.1)
    assert backend.poll([job])[job].reason == "BeginTime"


def test_a_job_that_somebody_cancels_is_noticed(study: Path, tmp_path: Path) -> None:
    backend = driver(study)
    (job,) = submit(backend, [nap(tmp_path, "a", FAR_S)])
    await_file(tmp_path / "a.started")
    shell("scancel", job.id)
    start = time.monotonic()
    sight = await_phase(backend, job, Phase.ENDED)
    assert (sight.reason, sight.started) == ("cancelled", True)
    assert time.monotonic() - start < NOTICED_S


@pytest.mark.parametrize("count", [1, 2])
def test_a_queued_job_that_somebody_cancels_never_started(
    study: Path, tmp_path: Path, count: int
) -> None:
    backend = driver(study, additional_parameters={"hold": True})
    jobs = submit(backend, [nap(tmp_path, f"t{n}", 0) for n in range(count)])
    shell("scancel", jobs[-1].id)
    sight = await_phase(backend, jobs[-1], Phase.ENDED)
    assert not sight.started and sight.reason.startswith("cancelled")


@pytest.mark.slow
def test_a_requeued_job_waits_and_runs_again_under_its_old_name(
    study: Path, tmp_path: Path
) -> None:
    backend = driver(study)
    (job, *_) = submit(backend, [nap(tmp_path, f"t{n}", FAR_S) for n in range(2)])
    await_file(tmp_path / "t0.started")
    shell("scontrol", "requeue", job.id)
    await_phase(backend, job, Phase.QUEUED)
    await_phase(backend, job, Phase.RUNNING)
    limit = time.monotonic() + REQUEUED_S
    while lines(tmp_path / "t0.started") < 2 and time.monotonic() < limit:
        time.sleep(0.1)
    assert lines(tmp_path / "t0.started") == 2


def test_a_preempted_job_leaves_and_waits_and_is_never_seen_as_ended(
    slurm: Slurm, study: Path, tmp_path: Path
) -> None:
    backend = driver(study, partition="low", cpus_per_task=2)
    jobs = submit(backend, [nap(tmp_path, f"t{n}", FAR_S) for n in range(4)])
    for number in range(4):
        await_file(tmp_path / f"t{number}.started")
    slurm.submit("-p", "high", "-c2", "-o", "/dev/null", "--wrap", "sleep 5")
    limit = time.monotonic() + REQUEUED_S
    seen = set()
    while Phase.QUEUED not in seen and time.monotonic() < limit:
        seen |= {sight.phase for sight in backend.poll(jobs).values()}
        time.sleep(0.1)
    assert Phase.QUEUED in seen and Phase.ENDED not in seen


def test_a_job_over_its_memory_is_said_to_be_out_of_memory(study: Path, tmp_path: Path) -> None:
    backend = driver(study, mem_gb=0.2)
    task = Task("row a", "a", "train", toy_tasks.eat_memory, (str(tmp_path), "a", 600))
    (job,) = submit(backend, [task])
    assert await_phase(backend, job, Phase.ENDED).reason == "out of memory"


@pytest.mark.slow
def test_the_job_of_a_dead_node_runs_on_another(slurm: Slurm, study: Path, tmp_path: Path) -> None:
    backend = driver(study)
    (job,) = submit(backend, [nap(tmp_path, "a", FAR_S)])
    node = await_phase(backend, job, Phase.RUNNING).node
    await_file(tmp_path / "a.started")
    slurm.script("kill-node", node.removeprefix("node"))
    limit = time.monotonic() + 2 * REQUEUED_S
    while lines(tmp_path / "a.started") < 2 and time.monotonic() < limit:
        assert backend.poll([job])[job].phase is not Phase.ENDED
        time.sleep(0.5)
    assert await_phase(backend, job, Phase.RUNNING).node != node


@pytest.mark.slow
def test_a_job_of_a_dead_node_that_slurm_does_not_requeue_has_ended_with_its_node_named(
    slurm: Slurm, study: Path, tmp_path: Path
) -> None:
    backend = driver(study, additional_parameters={"no-requeue": True})
    (job,) = submit(backend, [nap(tmp_path, "a", FAR_S)])
    node = await_phase(backend, job, Phase.RUNNING).node
    slurm.script("kill-node", node.removeprefix("node"))
    sight = await_phase(backend, job, Phase.ENDED, patience_s=2 * REQUEUED_S)
    assert sight.reason == f"node failure on {node}"


@pytest.mark.slow
def test_a_job_at_its_time_limit_is_told_before_and_goes_on_by_itself(
    study: Path, tmp_path: Path
) -> None:
    backend = driver(study, timeout_min=1, signal_delay_s=25)  # it comes 5 to 35 s after the start
    (job,) = submit(backend, [nap(tmp_path, "a", FAR_S)])
    limit = time.monotonic() + 2 * REQUEUED_S
    while lines(tmp_path / "a.started") < 2:
        assert time.monotonic() < limit
        assert backend.poll([job])[job].phase is not Phase.ENDED
        time.sleep(0.5)


# --- what happens to the cluster ------------------------------------------------------------------


def test_a_controller_that_restarts_ends_no_job(slurm: Slurm, study: Path, tmp_path: Path) -> None:
    backend = driver(study)
    (job,) = submit(backend, [nap(tmp_path, "a", FAR_S)])
    await_phase(backend, job, Phase.RUNNING)
    slurm.script("stop-controller")
    time.sleep(2.1)
    assert backend.poll([job])[job].phase is Phase.UNKNOWN
    assert backend.submit([nap(tmp_path, "b", 0)]) == []
    slurm.script("start-controller")
    limit = time.monotonic() + REQUEUED_S
    while (sight := backend.poll([job])[job]).phase is Phase.UNKNOWN:
        assert time.monotonic() < limit
        time.sleep(0.2)
    assert sight.phase is Phase.RUNNING
    assert [notice.split(" (")[0] for notice in backend.notices()] == [
        "the SLURM controller does not answer",
        "the SLURM controller answers again",
    ]


def test_a_cancel_that_the_controller_missed_is_done_when_it_is_back(
    slurm: Slurm, study: Path, tmp_path: Path
) -> None:
    backend = driver(study)
    (job,) = submit(backend, [nap(tmp_path, "a", FAR_S)])
    await_phase(backend, job, Phase.RUNNING)
    slurm.script("stop-controller")
    backend.cancel([job])
    slurm.script("start-controller")
    assert await_phase(backend, job, Phase.ENDED).reason == "cancelled"


# --- what happens to the driver -------------------------------------------------------------------


class Killed(BaseException):
    """The driver is killed where this is raised."""


class DeadlyCluster(Cluster):
    """sbatch takes the job, but the driver is killed before it knows."""

    def submit(self, script: Path) -> str:
        super().submit(script)
        raise Killed


def test_jobs_of_a_driver_that_was_killed_during_sbatch_run_and_are_adopted(
    study: Path, tmp_path: Path
) -> None:
    tasks = [nap(tmp_path, f"t{n}", 5) for n in range(3)]
    with pytest.raises(Killed):
        SlurmJobs(study, SlurmSpec(), cluster=DeadlyCluster()).submit(tasks)
    backend = driver(study)
    adopted = backend.adopt()
    assert [job.row for job in adopted] == [task.row for task in tasks]
    assert backend.submit(tasks) == adopted
    for job in adopted:
        await_phase(backend, job, Phase.ENDED)
    assert [lines(tmp_path / f"t{n}.done") for n in range(3)] == [1, 1, 1]


def test_a_task_that_was_submitted_twice_runs_once(study: Path, tmp_path: Path) -> None:
    first, second = driver(study, poll_s=60), driver(study, poll_s=60)
    second.adopt()
    (one,) = submit(first, [nap(tmp_path, "a", FAR_S)])
    (two,) = submit(second, [nap(tmp_path, "a", FAR_S)])
    assert one != two
    backend = driver(study)
    (kept,) = backend.adopt()
    (gone,) = {one, two} - {kept}
    await_phase(backend, gone, Phase.ENDED)
    assert backend.poll([kept])[kept].phase is not Phase.ENDED
    end(backend, [kept])


# --- many jobs and limits -------------------------------------------------------------------------


def test_fifty_jobs_are_one_array_and_each_look_is_one_squeue(study: Path, tmp_path: Path) -> None:
    cluster = Counted()
    backend = SlurmJobs(study, SlurmSpec(), cluster=cluster)
    jobs = backend.submit([nap(tmp_path, f"t{n}", 0) for n in range(50)])
    assert len({job.id.partition("_")[0] for job in jobs}) == 1
    start, cluster.looks = time.monotonic(), 0
    left = list(jobs)
    while left:
        seen = backend.poll(left)
        left = [job for job in left if seen[job].phase is not Phase.ENDED]
        time.sleep(0.05)
    assert cluster.looks <= (time.monotonic() - start) / SlurmSpec().poll_s + 1
    assert len(list(tmp_path.glob("*.done"))) == 50


class Counted(Cluster):
    """Counts its looks at the queue."""

    looks = 0

    def queue(self):  # type: ignore[no-untyped-def]
        self.looks += 1
        return super().queue()


@pytest.mark.slow
def test_a_small_max_array_size_is_respected(slurm: Slurm, study: Path, tmp_path: Path) -> None:
    with slurm.configured(MAX_ARRAY_SIZE=4):
        backend = driver(study)
        jobs = backend.submit([nap(tmp_path, f"t{n}", 0) for n in range(10)])
        assert [job.id.partition("_")[2] for job in jobs] == [*"0123", *"0123", *"01"]
        for job in jobs:
            await_phase(backend, job, Phase.ENDED)
        assert len(list(tmp_path.glob("*.done"))) == 10


@pytest.mark.slow
def test_a_queue_that_is_full_is_filled_to_the_last_place_without_waiting(
    slurm: Slurm, study: Path, tmp_path: Path
) -> None:
    with slurm.configured(MAX_JOB_COUNT=10):
        backend = driver(study, additional_parameters={"hold": True})
        start = time.monotonic()
        jobs = backend.submit([nap(tmp_path, f"t{n}", 0) for n in range(40)])
        assert 5 < len(jobs) <= 10
        assert time.monotonic() - start < 5
        assert "queue is full" in backend.notices()[0]
        backend.cancel(jobs)


@pytest.mark.slow
def test_with_accounting_limits_are_met_and_ends_explained(
    slurm: Slurm, study: Path, tmp_path: Path
) -> None:
    with slurm.configured(ACCT="dbd", FEW=4):
        backend = driver(study, qos="few")
        tasks = [nap(tmp_path, f"t{n}", 1) for n in range(10)]
        jobs: list[Job] = []
        limit = time.monotonic() + 2 * REQUEUED_S
        while len(jobs) < len(tasks):
            jobs += backend.submit(tasks[len(jobs) :])
            live = [sight.phase is not Phase.ENDED for sight in backend.poll(jobs).values()]
            assert sum(live) <= 4 and time.monotonic() < limit
            time.sleep(0.2)
        assert [notice for notice in backend.notices() if "QOSMaxSubmitJobPerUserLimit" in notice]
        for job in jobs:
            await_phase(backend, job, Phase.ENDED)
        killed, cancelled = kill_and_cancel(driver(study), tmp_path)
        limit = time.monotonic() + NOTICED_S
        while len(ends := Cluster().endings([jobs[0].id, killed.id, cancelled.id])) < 3:
            assert time.monotonic() < limit, ends
        assert [sight.reason for sight in ends.values()] == ["", "failed", "cancelled by root"]


def kill_and_cancel(backend: SlurmJobs, folder: Path) -> list[Job]:
    """End two jobs from outside; each must be noticed, also where there is accounting."""
    jobs = [*submit(backend, [nap(folder, name, FAR_S) for name in ("killed", "cancelled")])]
    for job in jobs:
        await_file(folder / f"{job.row.removeprefix('row ')}.started")
    os.kill(await_pid(folder / "killed.started"), signal.SIGKILL)
    shell("scancel", jobs[1].id)
    start = time.monotonic()
    for job in jobs:
        await_phase(backend, job, Phase.ENDED)
    assert time.monotonic() - start < NOTICED_S
    return jobs


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"partition": "gpus"}, r"hydra\.launcher\.partition=gpus: .* main, low, high"),
        ({"constraint": "a100"}, r"hydra\.launcher\.constraint=a100: "),
        ({"mem_gb": 9000}, r"hydra\.launcher\.mem_gb=9000: .*[Mm]emory"),
        ({"gpus_per_node": 8}, r"hydra\.launcher\.gpus_per_node=8: "),
        ({"additional_parameters": {"foo": 1}}, r"additional_parameters=.*foo"),
    ],
)
def test_an_option_that_the_cluster_never_grants_is_an_error_that_names_the_key(
    study: Path, tmp_path: Path, settings: dict[str, object], line: str
) -> None:
    with pytest.raises(ValueError, match=line):
        driver(study, **settings).submit([nap(tmp_path, "a", 0)])


def test_jobs_import_the_snapshot_and_not_the_folder_they_start_in(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    import repghost

    package = Path(repghost.__file__ or "").parent
    snapshot = tmp_path / "code of today"
    shutil.copytree(package, snapshot / "repghost")
    monkeypatch.chdir(package.parent)
    task = Task("row a", "a", "train", toy_tasks.say_where_from, (str(tmp_path), "a"))
    backend = driver(study, snapshot)
    (job,) = submit(backend, [task])
    await_phase(backend, job, Phase.ENDED)
    assert (tmp_path / "a.done").read_text().startswith(f"{snapshot}/repghost/")


def test_setup_commands_come_before_python(study: Path, tmp_path: Path) -> None:
    backend = driver(study, setup=[f"echo $SLURM_JOB_ID > '{tmp_path}/setup'"])
    (job,) = submit(backend, [nap(tmp_path, "a", 0)])
    await_phase(backend, job, Phase.ENDED)
    assert (tmp_path / "setup").read_text() == f"{job.id}\n"
