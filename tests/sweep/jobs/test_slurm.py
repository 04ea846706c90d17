"""SLURM as a backend, on a cluster in memory: limits, silence, doubles, and what is gone."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import toy_tasks
from fake_cluster import FakeCluster

from repghost.sweep.jobs.cluster import Row
from repghost.sweep.jobs.contract import Job, Phase, Sight, Task
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.sweep.jobs.slurm import SlurmJobs

RUNS = Sight(Phase.RUNNING, node="node1")
NEXT_LOOK_S = 2.0
DONE = Sight(Phase.ENDED, node="node1")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def driver(cluster: FakeCluster, folder: Path, **settings: object) -> SlurmJobs:
    """Return a backend as a new driver of the study would have it."""
    spec = SlurmSpec(**settings)  # type: ignore[arg-type]
    return SlurmJobs(
        folder,
        spec,
        cluster=cluster,  # type: ignore[arg-type]
        clock=cluster.clock,
        sleep=cluster.sleep,
    )


def tasks(count: int, start: int = 0) -> list[Task]:
    numbers = range(start, start + count)
    return [Task(f"row {n}", f"key{n}", "train", toy_tasks.nap, ("x", "y", 0)) for n in numbers]


def after(cluster: FakeCluster, jobs: SlurmJobs, job: Job, seconds: float = NEXT_LOOK_S) -> Sight:
    cluster.now += seconds
    return jobs.poll([job])[job]


# --- submitting -----------------------------------------------------------------------------------


def test_many_tasks_are_one_array_and_one_task_is_a_plain_job(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    assert [job.id for job in jobs.submit(tasks(3))] == ["101_0", "101_1", "101_2"]
    assert [job.id for job in jobs.submit(tasks(1, start=3))] == ["102"]
    assert cluster.batches == [3, 1]


def test_jobs_come_back_in_the_order_of_their_tasks(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    jobs.submit(tasks(1, start=1))
    cluster.now += NEXT_LOOK_S
    assert [job.row for job in jobs.submit(tasks(3))] == ["row 0", "row 1", "row 2"]


def test_an_array_is_never_larger_than_the_cluster_allows(cluster, tmp_path):
    cluster.array = 4
    jobs = driver(cluster, tmp_path)
    assert len(jobs.submit(tasks(10))) == 10
    assert cluster.batches == [4, 4, 2]


def test_a_submit_limit_is_filled_to_the_last_place_and_said_once(cluster, tmp_path):
    cluster.room = 13
    jobs = driver(cluster, tmp_path)
    assert [job.row for job in jobs.submit(tasks(40))] == [f"row {n}" for n in range(13)]
    assert jobs.submit(tasks(27, start=13)) == []
    (notice,) = jobs.notices()
    assert "QOSMaxSubmitJobPerUserLimit" in notice
    assert jobs.notices() == []


def test_what_a_limit_refused_leaves_no_folder_behind(cluster, tmp_path):
    cluster.room = 0
    driver(cluster, tmp_path).submit(tasks(8))
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_place_that_becomes_free_is_filled_with_one_sbatch(cluster, tmp_path):
    cluster.room = 4
    jobs = driver(cluster, tmp_path)
    taken = jobs.submit(tasks(100))
    cluster.becomes(taken[0].id, DONE)
    cluster.now += NEXT_LOOK_S
    cluster.batches.clear()
    assert [job.row for job in jobs.submit(tasks(96, start=4))] == ["row 4"]
    assert cluster.batches == [1]


def test_a_full_cluster_is_asked_again_more_and_more_seldom(cluster, tmp_path):
    cluster.room = 0
    jobs = driver(cluster, tmp_path)
    tries = []
    while cluster.now < 120:
        cluster.batches.clear()
        jobs.submit(tasks(1))
        if cluster.batches:
            tries.append(cluster.now)
        cluster.now += 1
    assert tries == [0, 5, 15, 35, 75]


def test_a_limit_that_is_lifted_is_found_out(cluster, tmp_path):
    cluster.room = 2
    jobs = driver(cluster, tmp_path)
    jobs.submit(tasks(10))
    cluster.room = 100
    cluster.now += 5
    assert len(jobs.submit(tasks(8, start=2))) == 8


def test_what_would_never_be_taken_is_an_error_that_names_the_key(cluster, tmp_path):
    cluster.refuses = "invalid partition specified: gpus"
    jobs = driver(cluster, tmp_path, partition="gpus")
    with pytest.raises(ValueError, match=r"hydra\.launcher\.partition=gpus: .*main, low"):
        jobs.submit(tasks(1))


def test_where_such_jobs_were_taken_before_a_refusal_passes(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    jobs.submit(tasks(1))
    cluster.refuses = "Requested partition configuration not available now"
    assert jobs.submit(tasks(1, start=1)) == []
    assert "not available now" in jobs.notices()[0]
    cluster.refuses = ""
    cluster.now += 5
    assert len(jobs.submit(tasks(1, start=1))) == 1


def test_nothing_is_submitted_while_it_is_not_known_what_runs(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    cluster.silent = True
    assert jobs.submit(tasks(2)) == []
    assert cluster.batches == []


def test_an_array_that_was_taken_without_an_answer_is_not_submitted_again(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    cluster.takes_silently = True
    assert jobs.submit(tasks(3)) == []
    cluster.takes_silently = False
    assert [job.id for job in jobs.submit(tasks(3))] == ["101_0", "101_1", "101_2"]
    assert cluster.batches == [3]


def test_a_task_whose_job_is_in_the_queue_gets_that_job(cluster, tmp_path):
    (first,) = driver(cluster, tmp_path).submit(tasks(1))
    assert driver(cluster, tmp_path).submit(tasks(1)) == [first]


def test_a_task_whose_job_was_cancelled_gets_a_new_one(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    (first,) = jobs.submit(tasks(1))
    jobs.cancel([first])
    (second,) = jobs.submit(tasks(1))
    assert second.id != first.id


# --- looking --------------------------------------------------------------------------------------


def test_however_many_jobs_there_are_one_look_serves_them_for_poll_s(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    mine = jobs.submit(tasks(500))
    cluster.now, cluster.looks = NEXT_LOOK_S, 0
    for _ in range(19):
        assert len(jobs.poll(mine)) == 500
        cluster.now += 0.1
    assert cluster.looks == 1


def test_a_job_that_no_look_has_shown_yet_waits(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    (job,) = jobs.submit(tasks(1))
    cluster.rows.clear()
    assert after(cluster, jobs, job) == Sight(Phase.QUEUED)


def test_while_the_controller_is_silent_nothing_is_concluded_and_it_is_said_once(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    (job,) = jobs.submit(tasks(1))
    cluster.silent = True
    cluster.now += NEXT_LOOK_S
    for _ in range(60):
        assert after(cluster, jobs, job, seconds=1).phase is Phase.UNKNOWN
    (notice,) = jobs.notices()
    assert "does not answer" in notice
    cluster.silent = False
    assert after(cluster, jobs, job, seconds=8).phase is Phase.QUEUED
    assert "answers again" in jobs.notices()[0]


def test_a_silent_controller_is_asked_less_often(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    (job,) = jobs.submit(tasks(1))
    asked = []
    cluster.queue = lambda: asked.append(cluster.now) or cluster._answer()  # type: ignore
    cluster.silent = True
    for _ in range(60):
        after(cluster, jobs, job, seconds=0.5)
    assert [later - at for at, later in itertools.pairwise(asked)] == [4, 8, 8, 8]


def test_a_job_that_is_gone_has_ended_within_ten_seconds_without_accounting(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    (job,) = jobs.submit(tasks(1))
    cluster.now = 10
    cluster.becomes(job.id, RUNS)
    assert after(cluster, jobs, job).phase is Phase.RUNNING
    del cluster.rows[job.id]
    start = cluster.now
    assert after(cluster, jobs, job).phase is Phase.UNKNOWN  # one look may be wrong
    assert after(cluster, jobs, job) == Sight(Phase.ENDED, "vanished from the queue")
    assert cluster.now - start < 10
    assert cluster.questions == 0


def test_a_queued_array_element_that_is_gone_was_cancelled(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    (job,) = jobs.submit(tasks(1))
    cluster.now = 10
    del cluster.rows[job.id]
    after(cluster, jobs, job)
    assert after(cluster, jobs, job) == Sight(
        Phase.ENDED, "cancelled before it began", started=False
    )


def test_accounting_says_why_a_job_is_gone_with_one_question_for_all(cluster, tmp_path):
    cluster.accounting = True
    jobs = driver(cluster, tmp_path)
    mine = jobs.submit(tasks(50))
    cluster.now = 10
    cluster.rows.clear()
    cluster.ends = {job.id: Sight(Phase.ENDED, "time limit", node="node1") for job in mine}
    seen = jobs.poll(mine)
    assert set(seen.values()) == {Sight(Phase.ENDED, "time limit", node="node1")}
    assert cluster.questions == 1


def test_accounting_that_lags_behind_is_waited_for_but_not_longer_than_ten_seconds(
    cluster, tmp_path
):
    cluster.accounting = True
    jobs = driver(cluster, tmp_path)
    (job,) = jobs.submit(tasks(1))
    cluster.now = 10
    cluster.becomes(job.id, RUNS)
    after(cluster, jobs, job)
    del cluster.rows[job.id]
    start = cluster.now
    while after(cluster, jobs, job).phase is Phase.UNKNOWN:
        assert cluster.now - start < 10
    assert cluster.questions in (2, 3)


def test_a_job_that_comes_back_into_the_queue_goes_on(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    (job,) = jobs.submit(tasks(1))
    cluster.now = 10
    row = cluster.rows.pop(job.id)
    after(cluster, jobs, job)
    cluster.rows[job.id] = row
    assert after(cluster, jobs, job).phase is Phase.QUEUED
    del cluster.rows[job.id]
    assert after(cluster, jobs, job).phase is Phase.UNKNOWN  # counted anew


def test_a_requeued_job_that_is_cancelled_while_it_waits_has_run(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    (job,) = jobs.submit(tasks(1))
    for sight in (RUNS, Sight(Phase.QUEUED, "BeginTime")):
        cluster.becomes(job.id, sight)
        after(cluster, jobs, job)
    cluster.becomes(job.id, Sight(Phase.ENDED, "cancelled", started=False))
    assert after(cluster, jobs, job).started


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("srun: error: node1: task 0: Killed\nsrun: Terminating\n", "failed: Killed"),
        (
            "srun: error: n1: task 0: Segmentation fault (core dumped)\n",
            "failed: Segmentation fault",
        ),
        ("srun: error: n1: task 0: Out Of Memory\n", "out of memory"),
        (
            "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some of the step tasks"
            " have been OOM Killed.\nsrun: error: n1: task 0: Killed\n",
            "out of memory",
        ),
        (
            "slurmstepd-n1: error: StepId=7.0 exceeded memory limit (2 > 1), being killed\n"
            "slurmstepd-n1: error: Exceeded job memory limit\n"
            "srun: error: node1: task 0: Killed\n",
            "out of memory",
        ),
        (
            "oom_kill\n" + "a later start\n" * 9 + "srun: error: n: task 0: Killed\n",
            "failed: Killed",
        ),
        ("Traceback\nValueError: x\n", "failed"),
    ],
)
def test_a_failed_jobs_log_says_how_it_failed(cluster, tmp_path, log: str, reason: str):
    jobs = driver(cluster, tmp_path)
    (job,) = jobs.submit(tasks(1))
    assert job.log is not None
    job.log.write_text(log)
    cluster.becomes(job.id, Sight(Phase.ENDED, "failed", node="node1"))
    assert after(cluster, jobs, job).reason == reason


def test_another_job_with_an_old_id_is_not_taken_for_ours(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    (job,) = jobs.submit(tasks(1))
    cluster.now = 10
    cluster.rows[job.id] = Row(job.id, RUNS, "repghost:0123456789ab:ffffffff")
    after(cluster, jobs, job)
    assert after(cluster, jobs, job).phase is Phase.ENDED


@pytest.mark.parametrize(
    ("reason", "is_stuck"),
    [
        ("JobHeldUser", True),
        ("PartitionConfig", True),
        ("launch failed requeued held", True),
        ("Resources", False),
        ("Priority", False),
        ("BeginTime", False),
        ("", False),
    ],
)
def test_jobs_that_would_wait_for_ever_are_pointed_out_once(cluster, tmp_path, reason, is_stuck):
    jobs = driver(cluster, tmp_path)
    mine = jobs.submit(tasks(3))
    for job in mine:
        cluster.becomes(job.id, Sight(Phase.QUEUED, reason))
    for _ in range(3):
        after(cluster, jobs, mine[0])
    assert [reason in notice for notice in jobs.notices()] == [True] * is_stuck


# --- adopting -------------------------------------------------------------------------------------


def test_a_killed_driver_needs_to_have_noted_nothing(cluster, tmp_path):
    cluster.takes_silently = True  # it is killed before sbatch returns
    driver(cluster, tmp_path).submit(tasks(3))
    cluster.becomes("101_1", DONE)
    adopted = driver(cluster, tmp_path).adopt()
    assert [(job.id, job.row) for job in adopted] == [("101_0", "row 0"), ("101_2", "row 2")]


def test_an_adopted_job_equals_the_one_that_was_submitted(cluster, tmp_path):
    submitted = driver(cluster, tmp_path).submit(tasks(2))
    assert driver(cluster, tmp_path).adopt() == submitted


def test_jobs_of_another_study_are_left_alone(cluster, tmp_path):
    driver(cluster, tmp_path / "other").submit(tasks(2))
    assert driver(cluster, tmp_path / "mine").adopt() == []


def test_of_two_jobs_of_a_task_the_one_that_runs_is_adopted(cluster, tmp_path):
    first, second = driver(cluster, tmp_path), driver(cluster, tmp_path)
    second.adopt()
    (waiting,) = first.submit(tasks(1))
    (running,) = second.submit(tasks(1))  # its last look was before
    assert waiting != running
    cluster.becomes(running.id, RUNS)
    third = driver(cluster, tmp_path)
    assert third.adopt() == [running]
    assert cluster.cancelled == [waiting.id]
    assert "twice" in third.notices()[0]


def test_a_double_that_turns_up_later_is_cancelled_and_the_known_job_kept(cluster, tmp_path):
    first, second = driver(cluster, tmp_path), driver(cluster, tmp_path)
    second.adopt()
    (stranger,) = first.submit(tasks(1))
    (known,) = second.submit(tasks(1))
    cluster.becomes(stranger.id, RUNS)
    assert after(cluster, second, known).phase is Phase.QUEUED
    assert cluster.cancelled == [stranger.id]


def test_a_double_is_found_also_where_submit_took_the_look(cluster, tmp_path):
    first, second = driver(cluster, tmp_path), driver(cluster, tmp_path)
    second.adopt()
    (stranger,) = first.submit(tasks(1))
    (known,) = second.submit(tasks(1))
    cluster.now += NEXT_LOOK_S
    second.submit([])
    second.poll([known])
    assert cluster.cancelled == [stranger.id]


def test_a_full_disk_leaves_no_part_of_a_batch_behind(cluster, tmp_path, monkeypatch):
    jobs = driver(cluster, tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("repghost.sweep.jobs.batch.write_json", full)
    with pytest.raises(OSError, match="No space left"):
        jobs.submit(tasks(2))
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_job_whose_folder_was_removed_is_said_and_not_adopted(cluster, tmp_path):
    (job,) = driver(cluster, tmp_path).submit(tasks(1))
    assert job.log is not None
    job.log.parent.rename(tmp_path / "elsewhere")
    jobs = driver(cluster, tmp_path)
    assert jobs.adopt() == []
    assert job.id in jobs.notices()[0]


def test_adopting_waits_for_a_controller_that_is_being_restarted(cluster, tmp_path):
    (job,) = driver(cluster, tmp_path).submit(tasks(1))
    cluster.silent = True

    def sleep(seconds: float) -> None:
        cluster.now += seconds
        cluster.silent = cluster.now < 20

    jobs = SlurmJobs(tmp_path, SlurmSpec(), cluster=cluster, clock=cluster.clock, sleep=sleep)
    assert jobs.adopt() == [job]


def test_adopting_gives_up_in_one_line_where_the_controller_stays_silent(cluster, tmp_path):
    cluster.silent = True
    with pytest.raises(ValueError, match="controller does not answer"):
        driver(cluster, tmp_path).adopt()


# --- cancelling -----------------------------------------------------------------------------------


def test_a_cancel_that_got_no_answer_is_repeated_until_it_does(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    (job,) = jobs.submit(tasks(1))
    cluster.silent = True
    jobs.cancel([job])
    assert "not cancelled yet" in jobs.notices()[0]
    cluster.silent = False
    after(cluster, jobs, job)
    assert cluster.cancelled == [job.id]


def test_a_task_that_a_quick_job_took_is_seen_there_and_its_own_job_is_cancelled(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    quick, taken = jobs.submit(tasks(2))
    cluster.becomes(quick.id, RUNS)
    folder = quick.log.parent
    for name, content in {"0.claim": "0", "0.done": "", "1.claim": "0"}.items():
        (folder / name).write_text(content)
    cluster.now += NEXT_LOOK_S
    seen = jobs.poll([quick, taken])
    assert seen[quick].phase is Phase.ENDED
    assert seen[taken].phase is Phase.RUNNING
    assert cluster.cancelled == [taken.id]
    assert driver(cluster, tmp_path).adopt() == [taken], "what it carries, by its own name"
    cluster.becomes(quick.id, Sight(Phase.ENDED, "node failure"))
    assert after(cluster, jobs, taken).reason == "node failure"
    (folder / "1.done").touch()
    assert after(cluster, jobs, taken) == Sight(Phase.ENDED)


def test_to_cancel_a_task_ends_the_job_that_has_it(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    quick, taken = jobs.submit(tasks(2))
    for name, content in {"0.claim": "0", "0.done": "", "1.claim": "0"}.items():
        (quick.log.parent / name).write_text(content)
    jobs.cancel([taken])
    assert cluster.cancelled == [quick.id]


# --- around ---------------------------------------------------------------------------------------


def test_the_slots_are_array_parallelism_and_all_go_at_once_where_nothing_waits(cluster, tmp_path):
    jobs = driver(cluster, tmp_path, array_parallelism=7)
    assert jobs.slots == 7
    assert jobs.room([]) > 1000, "the array itself runs seven at a time"
    some = jobs.submit(tasks(9))
    assert (jobs.room(some[:5]), jobs.room(some)) == (2, 0)


def test_a_cohort_is_one_job_of_the_array_and_takes_one_slot(cluster, tmp_path):
    jobs = driver(cluster, tmp_path, array_parallelism=2)
    first, second = (replace(task, cohort="one") for task in tasks(2))
    third = tasks(3)[2]
    given = jobs.submit([first, second, third])
    script = (given[0].log.parent / "job.sh").read_text()
    assert "--array=0,2%2" in script
    assert given[1].log == given[0].log != given[2].log
    assert jobs.room(given[:2]) == 1
    assert jobs.room(given) == 0


def test_a_machine_that_is_no_node_may_time_while_jobs_run(cluster, tmp_path):
    assert not driver(cluster, tmp_path).trains_here


def test_one_that_is_a_node_may_not(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere.example.org")
    assert driver(cluster, tmp_path).trains_here


def test_a_folder_that_slurm_would_misread_is_refused(cluster, tmp_path):
    with pytest.raises(ValueError, match="outputs=FOLDER"):
        driver(cluster, tmp_path / "50%j")


def test_a_task_that_is_over_says_which_rank_it_missed_before_its_log_is_written(cluster, tmp_path):
    jobs = driver(cluster, tmp_path)
    (job,) = jobs.submit(tasks(1))
    (job.log.parent / "0.done").write_text("RankLost: rank 1 died")
    assert jobs.poll([job])[job] == Sight(Phase.ENDED, "rank 1 died")
