"""Members of a cohort end as they would alone, bit for bit, whatever happens to the others."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from repghost.interrupt import Interrupted, Stop
from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.training.batches import Batch, Source
from repghost.training.cohort import Member, MemberStop, Stream, conduct
from repghost.training.data import open_source
from repghost.training.engine import Training
from repghost.training.loop import Trained, train
from repghost.training.spec import DataSpec, RecipeSpec

RECIPE = RecipeSpec(
    epochs=2, batch_size=256, warmup_epochs=0.5, hflip=0.5, random_erasing=0.5, dropout=0.3
)
SPECS = {
    "bn": RepGhostNetSpec(width=0.1, num_classes=10, reparam="bn"),
    "none": RepGhostNetSpec(width=0.1, num_classes=10, reparam="none"),
    "wider": RepGhostNetSpec(width=0.2, num_classes=10, reparam="id"),
}
STEPS = 5  # in an epoch of the digits
CPU = torch.device("cpu")


class Counted:
    """The digits, counting the batches that were made; `harm` is called before each."""

    def __init__(self, harm: Callable[[int], None] = lambda made: None) -> None:
        self._source, self._harm, self.made = open_source(DataSpec(), RECIPE, 3), harm, 0
        self.steps = self._source.steps

    def _counted(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self._harm(self.made)
            self.made += 1
            yield batch

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        return self._counted(self._source.train(epoch, start))

    def val(self) -> Iterator[Batch]:
        return self._counted(self._source.val())


def training(name: str, source: Source, recipe: RecipeSpec = RECIPE, **options) -> Training:
    torch.manual_seed(3)
    model = build(SPECS[name], dropout=recipe.dropout)
    return Training(model, source, recipe, 3, CPU, **options)


def alone(name: str, folder: Path) -> Trained:
    whole = training(name, open_source(DataSpec(), RECIPE, 3))
    return train(whole, folder, name, lambda record: None, Stop())


class Cohort:
    """What a cohort came to: the members, and what each that ended well was trained to."""

    def __init__(self, folder: Path, source: Source | None = None, job: Stop | None = None) -> None:
        self._folder, self._source = folder, source or Counted()
        self._job, self._stream = job or Stop(), Stream()
        self.members: dict[str, Member] = {}
        self.trained: dict[str, Trained] = {}

    def run(self, *names: str, halted=lambda name: False, on_epoch=lambda name, record: None):
        for name in names:
            stop = MemberStop(self._job, lambda name=name: halted(name))
            member = self.members[name] = Member(name, stop, self._stream)
            member.begin(lambda member=member: self._work(member, on_epoch))
        conduct(list(self.members.values()), self._stream)
        return self

    def _work(self, member: Member, on_epoch) -> None:
        name = member.name
        source = member.source(lambda: self._source, CPU)
        recipe = replace(RECIPE, checkpoint_every_s=1e-9)
        mine = training(name, source, recipe, clock=member.clock)
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        told = lambda record: on_epoch(name, record)  # noqa: E731
        self.trained[name] = train(mine, folder, name, told, member.stop)

    @property
    def errors(self) -> dict[str, BaseException | None]:
        return {name: member.error for name, member in self.members.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, Trained]:
    folder = tmp_path_factory.mktemp("alone")
    folders = {name: folder / name for name in SPECS}
    for one in folders.values():
        one.mkdir()
    return {name: alone(name, one) for name, one in folders.items()}


def same(one: Trained, other: Trained) -> bool:
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    scores = [[row["top1"], row["train_loss"]] for row in one.history]
    return (
        ours.keys() == theirs.keys()
        and all(torch.equal(ours[key], theirs[key]) for key in ours)
        and scores == [[row["top1"], row["train_loss"]] for row in other.history]
    )


def test_members_end_as_alone_and_each_batch_is_made_once(whole, tmp_path):
    source = Counted()
    cohort = Cohort(tmp_path, source).run(*SPECS)
    assert cohort.errors == dict.fromkeys(SPECS)
    assert all(same(whole[name], cohort.trained[name]) for name in SPECS)
    assert source.made == RECIPE.epochs * (STEPS + 2)  # two of validation


def test_a_member_that_fails_does_not_hurt_the_others(whole, tmp_path):
    def fails(name: str, record: dict) -> None:
        if name == "none":
            raise RuntimeError("no luck")

    cohort = Cohort(tmp_path).run(*SPECS, on_epoch=fails)
    assert str(cohort.errors["none"]) == "no luck"
    assert all(same(whole[name], cohort.trained[name]) for name in ("bn", "wider"))


def test_a_member_that_is_halted_saves_its_step_and_goes_on_later_beside_others(whole, tmp_path):
    source, seen = Counted(), Counted()
    halted = Cohort(tmp_path, source).run(
        *SPECS, halted=lambda name: name == "wider" and source.made >= 1
    )
    assert isinstance(halted.errors["wider"], Interrupted)
    assert all(same(whole[name], halted.trained[name]) for name in ("bn", "none"))
    for name in ("bn", "none"):
        (tmp_path / name / "checkpoint.pt").unlink()
        (tmp_path / name / "checkpoint.prev.pt").unlink(missing_ok=True)
    again = Cohort(tmp_path, seen).run(*SPECS)
    assert all(same(whole[name], again.trained[name]) for name in SPECS)
    assert seen.made == RECIPE.epochs * (STEPS + 2)  # the one that was ahead waited


@pytest.mark.parametrize("made", [0, 2, 6, 9, 13])
def test_a_job_that_is_told_to_end_saves_all_members_and_goes_on_to_the_same(made, whole, tmp_path):
    job = Stop()

    def signal(before: int) -> None:
        job.asked = "SIGTERM" if before == made else job.asked

    told = Cohort(tmp_path, Counted(signal), job).run(*SPECS)
    assert all(isinstance(error, Interrupted) for error in told.errors.values())
    again = Cohort(tmp_path).run(*reversed(SPECS))
    assert all(same(whole[name], again.trained[name]) for name in SPECS)


def test_a_batch_that_cannot_be_made_ends_those_that_wait_for_it_with_the_reason(tmp_path):
    def fails(made: int) -> None:
        if made == 3:
            raise ValueError("data.timeout_s=1: no worker brought a batch")

    cohort = Cohort(tmp_path, Counted(fails)).run("bn", "none")
    assert {str(error) for error in cohort.errors.values()} == {
        "data.timeout_s=1: no worker brought a batch"
    }


def test_a_members_clock_stands_still_while_others_step(tmp_path):
    def slow(made: int) -> None:
        time.sleep(0.02)

    began = time.monotonic()
    cohort = Cohort(tmp_path, Counted(slow)).run(*SPECS)
    took = time.monotonic() - began
    counted = [row["seconds"] for one in cohort.trained.values() for row in one.history]
    loading = 0.02 * RECIPE.epochs * (STEPS + 2)
    assert len(SPECS) * loading < sum(counted) < took + len(SPECS) * loading
