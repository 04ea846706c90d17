"""A cohort inside its job: what each member leaves, and who is run again alone."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import toy_tasks

from repghost import trial
from repghost.interrupt import INTERRUPTED, SIGNALS
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.run import Run
from repghost.settings import Settings
from repghost.sweep.jobs.contract import Task
from repghost.sweep.jobs.task_file import write_task
from repghost.sweep.jobs.together import run_together
from repghost.tracking.spec import TrackingSpec
from repghost.training.spec import RecipeSpec


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Give the signals back that a job handles."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def together(folder: Path, *tasks: Task) -> tuple[int, list[str]]:
    """Run a cohort; return its exit code and the tasks that were over, in order."""
    paths, over = [folder / f"{index}.running" for index in range(len(tasks))], list[str]()
    for path, task in zip(paths, tasks, strict=True):
        write_task(path, task)
    code = run_together(paths, lambda path, error: over.append(path.stem))
    return code, over


def toy(folder: Path, name: str, function, *arguments) -> Task:
    return Task(f"row {name}", name, "train", function, (str(folder), name, *arguments), "cohort")


def variant(outputs: Path, reparam: str) -> Settings:
    return Settings(
        model=RepGhostNetSpec(width=0.1, num_classes=10, reparam=reparam),
        recipe=RecipeSpec(epochs=1, warmup_epochs=0, batch_size=128),
        tracking=TrackingSpec(kind="none"),
        outputs=str(outputs),
    )


def test_members_leave_the_files_that_they_would_leave_alone(tmp_path, capsys):
    alone = [variant(tmp_path / "alone", branch) for branch in ("bn", "dconv")]
    tasks = []
    for one in alone:
        trial.run_stage(one, "train", 1, say=lambda line: None)
        member = replace(one, outputs=str(tmp_path / "together"))
        arguments = (member, "train", 1)
        tasks.append(Task(one.model.reparam, "key", "train", trial.run_stage, arguments, "one"))
    assert together(tmp_path, *tasks) == (0, ["0", "1"])
    for one in alone:
        there, here = (Run(tmp_path / way, one.variant.key) for way in ("alone", "together"))
        assert there.onnx.read_bytes() == here.onnx.read_bytes()
        assert there.result()["top1"] == here.result()["top1"]
        assert not here.lock.is_held()
    printed = capsys.readouterr().out
    assert "bn: epoch 1/1" in printed and "dconv: epoch 1/1" in printed


@pytest.mark.parametrize("function", [toy_tasks.need_all_memory, toy_tasks.need_a_lock])
def test_who_cannot_run_beside_others_is_run_alone_after_them(function, tmp_path):
    tasks = [toy(tmp_path, "a", function), toy(tmp_path, "b", toy_tasks.take_steps, 3)]
    code, over = together(tmp_path, *tasks)
    assert over == ["1", "0"]
    assert (tmp_path / "a.done").exists() and (tmp_path / "b.done").exists()
    assert code == 0, "all came to their ends"


def told_to_end(folder: Path, *tasks: Task) -> set[str]:
    """Run a cohort whose job is told to end; return the names of what its tasks leave behind."""
    with pytest.raises(SystemExit) as told:
        together(folder, *tasks)
    assert told.value.code == INTERRUPTED
    return {path.name for path in folder.iterdir() if path.suffix in (".saved", ".done")}


def test_a_job_that_is_told_to_end_asks_to_be_run_again_with_all_that_had_not_ended(tmp_path):
    others = toy(tmp_path, "a", toy_tasks.take_steps, 50)
    left = told_to_end(tmp_path, others, toy(tmp_path, "b", toy_tasks.end_the_job))
    assert left == {"a.saved", "b.saved"}
    assert len(list(tmp_path.glob("*.running"))) == 2


def test_a_job_that_is_told_to_end_does_not_begin_with_what_was_put_off(tmp_path):
    put_off = toy(tmp_path, "a", toy_tasks.need_all_memory)
    left = told_to_end(tmp_path, put_off, toy(tmp_path, "b", toy_tasks.end_the_job_and_be_done))
    assert left == {"b.done"}


def test_who_is_run_alone_saves_and_is_run_again_when_the_job_is_told_to_end(tmp_path):
    alone = toy(tmp_path, "a", toy_tasks.end_the_job_when_alone)
    left = told_to_end(tmp_path, alone, toy(tmp_path, "b", toy_tasks.need_all_memory))
    assert left == {"a.saved"}


@pytest.mark.parametrize("when", ["before", "while it waits"])
def test_who_was_put_off_can_be_halted(when, tmp_path):
    function = toy_tasks.need_all_memory
    if when == "before":
        (tmp_path / "0.halt").touch()
    else:
        function = toy_tasks.need_a_lock_for_ever
    tasks = [toy(tmp_path, "a", function), toy(tmp_path, "b", toy_tasks.take_steps, 3)]
    _, over = together(tmp_path, *tasks)
    assert over == ["1", "0"]
    assert (tmp_path / "b.done").exists() and not (tmp_path / "a.done").exists()


def test_who_fits_into_no_memory_fails_of_that(tmp_path):
    tasks = [
        toy(tmp_path, "a", toy_tasks.need_too_much_memory),
        toy(tmp_path, "b", toy_tasks.take_steps, 3),
    ]
    assert together(tmp_path, *tasks) == (1, ["1", "0"])
    assert len((tmp_path / "a.started").read_text().splitlines()) == 2
