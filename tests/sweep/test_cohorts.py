"""Which variants share a stream: those that get the same batches, up to so many."""

from dataclasses import fields, replace
from types import SimpleNamespace

import pytest

from repghost.latency.store import Store
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.settings import Settings, SweepSpec
from repghost.sweep.cohorts import Cohorts
from repghost.sweep.driver import _check_cohort
from repghost.sweep.evaluator import TrialEvaluator
from repghost.sweep.jobs.launchers import LocalSpec, SlurmSpec
from repghost.training.spec import OF_STEPS, RecipeSpec


def tickets(*names: str):
    return [SimpleNamespace(name=name) for name in names]


def groups(size: int, *names: str, coming=(), room: int = 10) -> list[list[str]]:
    cohorts = Cohorts(size, lambda ticket: ticket.name[0])
    found = cohorts.ready(tickets(*names), tickets(*coming), room)
    return [[ticket.name for ticket in group] for group in found]


def test_those_of_one_stream_are_together_up_to_the_size():
    assert groups(2, "a1", "b1", "a2", "a3") == [["a1", "a2"], ["a3"], ["b1"]]
    assert groups(1, "a1", "a2") == [["a1"], ["a2"]]
    assert groups(9, "a1", "a2") == [["a1", "a2"]]


def test_room_counts_groups():
    assert groups(2, "a1", "a2", "a3", "a4", room=1) == [["a1", "a2"]]
    assert groups(2, "a1", room=0) == []


def test_a_group_that_may_yet_be_filled_waits():
    assert groups(2, "a1", "b1", coming=["a2"]) == [["b1"]]
    assert groups(2, "a1", "a2", "a3", coming=["a4"]) == [["a1", "a2"]]
    assert groups(1, "a1", coming=["a2"]) == [["a1"]]


def test_each_group_has_a_name_of_its_own_and_who_is_alone_has_none():
    named = Cohorts(2, lambda ticket: "").named(tickets("a", "b", "c"))
    one, two, three = (name for _, name in named)
    assert one == two != ""
    assert three == ""


@pytest.fixture
def stream(tmp_path):
    evaluator = TrialEvaluator(Store(f"sqlite:///{tmp_path}/latency.db"), str(tmp_path), 1)
    return lambda settings: evaluator.stream(SimpleNamespace(settings=settings))


def test_what_changes_the_batches_changes_the_stream_and_nothing_else_does(stream):
    base = Settings(recipe=RecipeSpec(batch_size=32))
    same = [
        replace(base, model=RepGhostNetSpec(width=2.0)),
        replace(base, recipe=replace(base.recipe, epochs=3, lr=0.7, dropout=0.5)),
        replace(base, parallel=2),
    ]
    others = [
        replace(base, seed=1),
        replace(base, data=replace(base.data, input_size=64)),
        *(
            replace(base, recipe=replace(base.recipe, **changed))
            for changed in (
                {"batch_size": 16},
                {"hflip": 0.5},
                {"scale_min": 0.5},
                {"color_jitter": 0.4},
                {"auto_augment": "rand-m9-mstd0.5"},
                {"random_erasing": 0.2},
                {"shift_px": 1},
            )
        ),
    ]
    assert {stream(one) for one in same} == {stream(base)}
    assert len({stream(one) for one in others}) == len(others)
    assert stream(base) not in {stream(one) for one in others}


def test_what_is_left_out_of_the_stream_are_keys_of_the_recipe():
    assert {one.name for one in fields(RecipeSpec)} >= OF_STEPS


def test_less_than_one_and_several_processes_each_are_refused():
    with pytest.raises(ValueError, match=r"sweep\.cohort=0"):
        SweepSpec(0)
    for launcher in (LocalSpec(tasks_per_node=2), SlurmSpec(nodes=2)):
        with pytest.raises(ValueError, match=r"sweep\.cohort=6: needs trainings of one process"):
            _check_cohort(6, launcher)
    _check_cohort(6, LocalSpec())
