"""What every place where jobs run must do: inherit `BackendContract`, provide `open_backend`."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import toy_tasks

from repghost.sweep.jobs.contract import Backend, Job, Phase, Sight, Task

PATIENCE_S = 60.0
NOTICED_S = 10.0  # within which a killed job must be seen as ended
FAR_S = 300.0  # longer than any test
Open = Callable[[], Backend]


class BackendContract:
    """The tests that all backends pass.

    `open_backend()` opens the same study each time, as a new driver would. `crowd` is how many
    measurements, handed over together, are more than run at a time.
    """

    crowd = 2

    @pytest.fixture
    def open_backend(self) -> Open:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def importable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let jobs import `toy_tasks`."""
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))

    def test_no_tasks_are_no_jobs(self, open_backend: Open) -> None:
        backend = open_backend()
        assert backend.submit([]) == []
        assert backend.poll([]) == {}
        assert backend.adopt() == []

    def test_a_job_runs_its_task_to_the_end(self, open_backend: Open, tmp_path: Path) -> None:
        backend = open_backend()
        (job,) = submit(backend, [nap(tmp_path, "a", 0.5)])
        assert (job.row, job.stage) == ("row a", "train")
        assert await_phase(backend, job, Phase.ENDED).started
        assert (tmp_path / "a.done").read_text() == "done\n"

    def test_a_job_is_seen_to_run(self, open_backend: Open, tmp_path: Path) -> None:
        backend = open_backend()
        (job,) = submit(backend, [nap(tmp_path, "a", FAR_S)])
        await_phase(backend, job, Phase.RUNNING)
        await_file(tmp_path / "a.started")
        assert backend.poll([job])[job].phase is Phase.RUNNING
        end(backend, [job])

    def test_all_of_many_jobs_run_once_and_keep_their_order(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        backend = open_backend()
        names = [f"t{number}" for number in range(6)]
        jobs = submit(backend, [nap(tmp_path, name, 0.1) for name in names])
        assert [job.row for job in jobs] == [f"row {name}" for name in names]
        assert len({job.id for job in jobs}) == len(jobs)
        for job in jobs:
            await_phase(backend, job, Phase.ENDED)
        assert [lines(tmp_path / f"{name}.done") for name in names] == [1] * len(names)

    def test_a_new_driver_adopts_what_waits_and_what_runs(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        first = open_backend()
        jobs = submit(first, self._crowd(tmp_path))
        await_phase(first, jobs[0], Phase.RUNNING)
        second = open_backend()
        adopted = second.adopt()
        assert sorted(adopted, key=jobs.index) == jobs
        seen = second.poll(adopted)
        assert seen[jobs[0]].phase is Phase.RUNNING
        assert seen[jobs[-1]].phase is Phase.QUEUED
        end(second, adopted)

    def test_what_has_ended_is_not_adopted(self, open_backend: Open, tmp_path: Path) -> None:
        backend = open_backend()
        (job,) = submit(backend, [nap(tmp_path, "a", 0)])
        await_phase(backend, job, Phase.ENDED)
        assert open_backend().adopt() == []

    def test_a_new_driver_sees_the_end_of_an_old_ones_job(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        first = open_backend()
        (job,) = submit(first, [nap(tmp_path, "a", 2)])
        await_phase(first, job, Phase.RUNNING)
        second = open_backend()
        second.adopt()
        await_phase(second, job, Phase.ENDED)
        assert (tmp_path / "a.done").exists()

    def test_a_killed_process_is_seen_as_ended_within_ten_seconds(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        backend = open_backend()
        (job,) = submit(backend, [nap(tmp_path, "a", FAR_S)])
        await_phase(backend, job, Phase.RUNNING)
        os.kill(await_pid(tmp_path / "a.started"), signal.SIGKILL)
        start = time.monotonic()
        sight = await_phase(backend, job, Phase.ENDED)
        assert time.monotonic() - start < NOTICED_S
        assert sight.started and sight.reason

    def test_a_task_that_raises_ends_and_its_log_says_why(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        backend = open_backend()
        task = Task("row a", "a", "train", toy_tasks.fail, (str(tmp_path), "a"))
        (job,) = submit(backend, [task])
        await_phase(backend, job, Phase.ENDED)
        assert job.log is not None
        assert "RuntimeError: a fails" in job.log.read_text()

    def test_cancelled_jobs_end_whether_they_wait_or_run(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        backend = open_backend()
        jobs = submit(backend, self._crowd(tmp_path))
        await_phase(backend, jobs[0], Phase.RUNNING)
        await_file(tmp_path / "t0.started")
        assert backend.poll(jobs)[jobs[-1]].phase is Phase.QUEUED
        backend.cancel(jobs)
        for job in jobs:
            await_phase(backend, job, Phase.ENDED)
        assert not list(tmp_path.glob("*.done"))
        assert not (tmp_path / f"t{self.crowd - 1}.started").exists()
        assert open_backend().adopt() == []

    def test_a_job_that_was_cancelled_while_it_waited_never_started(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        backend = open_backend()
        jobs = submit(backend, self._crowd(tmp_path))
        await_phase(backend, jobs[0], Phase.RUNNING)
        backend.cancel(jobs)
        assert not await_phase(backend, jobs[-1], Phase.ENDED).started

    def test_cancelling_what_has_ended_is_no_error(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        backend = open_backend()
        (job,) = submit(backend, [nap(tmp_path, "a", 0)])
        await_phase(backend, job, Phase.ENDED)
        backend.cancel([job])
        assert backend.notices() == []

    def test_the_place_of_a_job_that_ended_can_be_taken_again(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        backend = open_backend()
        (first,) = submit(backend, [nap(tmp_path, "a", 0)])
        await_phase(backend, first, Phase.ENDED)
        (second,) = submit(backend, [nap(tmp_path, "a", 0)])
        assert second.id != first.id
        await_phase(backend, second, Phase.ENDED)
        assert lines(tmp_path / "a.done") == 2

    def test_a_cohort_is_trained_in_one_process_on_one_stream(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        backend = open_backend()
        jobs = submit(backend, cohort(tmp_path, "abc", 5))
        assert len(set(jobs)) == len({job.id for job in jobs}) == 3
        for job in jobs:
            await_phase(backend, job, Phase.ENDED)
        assert len({await_pid(tmp_path / f"{name}.started") for name in "abc"}) == 1
        assert [lines(tmp_path / f"{name}.done") for name in "abc"] == [1, 1, 1]
        assert [lines(tmp_path / f"{name}.steps") for name in "abc"] == [5, 5, 5]
        assert lines(tmp_path / "loaded") == 5
        assert open_backend().adopt() == []

    def test_a_member_that_raises_ends_alone_and_the_log_says_why(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        backend = open_backend()
        (tmp_path / "b.fail").touch()
        jobs = submit(backend, cohort(tmp_path, "abc", 5))
        for job in jobs:
            await_phase(backend, job, Phase.ENDED)
        assert {path.name for path in tmp_path.glob("*.done")} == {"a.done", "c.done"}
        assert jobs[1].log is not None
        assert "row b: RuntimeError: b fails" in jobs[1].log.read_text()

    def test_a_member_that_is_cancelled_saves_and_the_others_go_on(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        backend = open_backend()
        jobs = submit(backend, cohort(tmp_path, "abc", 400))
        await_file(tmp_path / "c.steps")
        await_phase(backend, jobs[1], Phase.RUNNING)
        backend.cancel([jobs[1]])
        await_phase(backend, jobs[1], Phase.ENDED)
        assert (tmp_path / "b.saved").exists()
        assert backend.poll(jobs)[jobs[0]].phase is Phase.RUNNING
        assert sorted(open_backend().adopt(), key=jobs.index) == [jobs[0], jobs[2]]
        for job in jobs:
            await_phase(backend, job, Phase.ENDED)
        assert {path.name for path in tmp_path.glob("*.done")} == {"a.done", "c.done"}

    def test_all_members_save_when_all_are_cancelled(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        backend = open_backend()
        jobs = submit(backend, cohort(tmp_path, "abc", 10_000))
        await_file(tmp_path / "c.steps")
        end(backend, jobs)
        assert len(list(tmp_path.glob("*.saved"))) == 3
        assert open_backend().adopt() == []

    def test_a_killed_cohort_is_seen_to_have_ended(
        self, open_backend: Open, tmp_path: Path
    ) -> None:
        backend = open_backend()
        jobs = submit(backend, cohort(tmp_path, "abc", 10_000))
        await_file(tmp_path / "c.steps")
        os.kill(await_pid(tmp_path / "a.started"), signal.SIGKILL)
        assert all(await_phase(backend, job, Phase.ENDED).started for job in jobs)

    def _crowd(self, folder: Path) -> list[Task]:
        return [nap(folder, f"t{number}", FAR_S, "measure") for number in range(self.crowd)]


def nap(folder: Path, name: str, seconds: float, stage: str = "train") -> Task:
    """Return a task that sleeps, and leaves `<name>.started` and `<name>.done` in `folder`."""
    return Task(f"row {name}", name, stage, toy_tasks.nap, (str(folder), name, seconds))


def cohort(folder: Path, names: str, steps: int) -> list[Task]:
    """Return tasks of one cohort that take steps together."""
    return [
        Task(f"row {n}", n, "train", toy_tasks.take_steps, (str(folder), n, steps), "cohort")
        for n in names
    ]


def submit(backend: Backend, tasks: Sequence[Task]) -> list[Job]:
    """Hand over all tasks, in as many calls as that takes."""
    jobs: list[Job] = []
    while len(jobs) < len(tasks):
        taken = backend.submit(tasks[len(jobs) :])
        assert taken, backend.notices()
        jobs += taken
    return jobs


def await_phase(backend: Backend, job: Job, phase: Phase, patience_s: float = PATIENCE_S) -> Sight:
    """Poll until the job is seen in `phase`; return that sight."""
    limit = time.monotonic() + patience_s
    while (sight := backend.poll([job])[job]).phase is not phase:
        assert time.monotonic() < limit, f"{job} is not {phase}: {sight}"
        time.sleep(0.1)
    return sight


def end(backend: Backend, jobs: Sequence[Job]) -> None:
    """Cancel jobs and wait until they have ended."""
    backend.cancel(jobs)
    for job in jobs:
        await_phase(backend, job, Phase.ENDED)


def await_file(path: Path) -> None:
    """Wait until `path` is there with a whole line in it."""
    limit = time.monotonic() + PATIENCE_S
    while not path.exists() or not path.read_text().endswith("\n"):
        assert time.monotonic() < limit, f"{path} does not appear"
        time.sleep(0.05)


def await_pid(path: Path) -> int:
    """Return the process that wrote the last line of a `.started` file."""
    await_file(path)
    return int(path.read_text().split()[-1])


def lines(path: Path) -> int:
    """Return how many lines a file has; none where it is missing."""
    return len(path.read_text().splitlines()) if path.exists() else 0
