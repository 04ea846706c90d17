"""Tasks of a batch in a chain: each once, whoever takes it, however a job comes back."""

from pathlib import Path

import pytest

from repghost.sweep.jobs.chain import Claims, read_claims, run_chain


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Batch:
    """A folder of tasks that take set times and note where they ran."""

    def __init__(self, folder: Path, *seconds: float, leaders=()) -> None:
        self.folder, self.seconds, self.ran = folder, seconds, []
        self.leaders = leaders or range(len(seconds))

    def job(self, place: int, short_s: float = 10.0, limit_s: float = 1000.0, **fails) -> None:
        clock = Clock()

        def run(paths, over) -> None:
            for path in paths:
                index = int(path.stem)
                assert path == self.folder / f"{index}.task"
                if (error := fails.get(f"at_{index}")) is not None:
                    raise error
                clock.now += self.seconds[index]
                over(path, None)
            run = [int(path.stem) for path in paths]
            self.ran.append((place, run[0] if len(run) == 1 else run))

        limits = {"short_s": short_s, "limit_s": limit_s, "clock": clock}
        run_chain(self.folder, place, self.leaders, run, **limits)

    @property
    def claims(self) -> Claims:
        return read_claims(self.folder, Claims(self.leaders))


def test_a_quick_job_takes_what_waits_and_the_others_find_nothing_to_do(tmp_path):
    batch = Batch(tmp_path, 1, 1, 1, 1)
    batch.job(1)
    batch.job(0)
    batch.job(3)
    assert batch.ran == [(1, 1), (1, 0), (1, 2), (1, 3)]


def test_a_long_task_is_the_only_one_of_its_job(tmp_path):
    batch = Batch(tmp_path, 11, 1, 1)
    batch.job(0)
    assert batch.ran == [(0, 0)]
    batch.job(2)
    assert batch.ran == [(0, 0), (2, 2), (2, 1)]


def test_zero_seconds_mean_one_task_a_job(tmp_path):
    batch = Batch(tmp_path, 1, 1)
    batch.job(0, short_s=0)
    assert batch.ran == [(0, 0)]


def test_nothing_is_begun_that_the_time_limit_leaves_no_room_for(tmp_path):
    batch = Batch(tmp_path, 4, 4, 4, 4)
    batch.job(0, limit_s=20)
    assert batch.ran == [(0, 0), (0, 1)]  # after 8 s there are no 3 x 4 s left


def test_a_requeued_job_goes_on_with_what_it_had_taken(tmp_path):
    batch = Batch(tmp_path, 1, 1, 1)
    with pytest.raises(KeyboardInterrupt):  # stands for a kill: nothing is noted as over
        batch.job(0, at_1=KeyboardInterrupt())
    assert batch.claims.carried(0) == [1]
    batch.job(1)
    assert batch.ran == [(0, 0)], "the job whose task was taken leaves it to the one that has it"
    batch.job(0)
    assert batch.ran == [(0, 0), (0, 1), (0, 2)]


def test_a_task_that_fails_is_over_and_ends_the_chain(tmp_path):
    batch = Batch(tmp_path, 1, 1, 1)
    with pytest.raises(RuntimeError, match="nan"):
        batch.job(0, at_1=RuntimeError("nan"))
    claims = batch.claims
    assert claims.done == {0, 1}
    ends = [(tmp_path / f"{index}.done").read_text() for index in range(2)]
    assert ends == ["", "RuntimeError: nan"]
    assert claims.carried(2) == [2], "its own job will run it"


def test_claims_say_who_carries_what(tmp_path):
    claims = Claims(range(4), {0: 0, 2: 0, 3: 3}, frozenset({0}))
    assert [claims.carrier(index) for index in range(4)] == [0, 1, 0, 3]
    assert [claims.carried(place) for place in range(4)] == [[2], [1], [], [3]]


def test_a_cohort_is_taken_as_one_task(tmp_path):
    batch = Batch(tmp_path, 1, 1, 1, 1, leaders=[0, 0, 2, 2])
    batch.job(2)
    assert batch.ran == [(2, [2, 3]), (2, [0, 1])]
    batch.job(0)
    assert len(batch.ran) == 2


def test_a_requeued_job_goes_on_with_those_of_its_cohort_that_are_not_over(tmp_path):
    batch = Batch(tmp_path, 1, 1, 1, leaders=[0, 0, 0])
    with pytest.raises(KeyboardInterrupt):
        batch.job(0, at_1=KeyboardInterrupt())
    assert batch.claims.cohorts(0) == [[1, 2]]
    batch.job(0)
    assert batch.ran == [(0, [1, 2])]
