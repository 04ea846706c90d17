"""A detector in two processes, and in a cohort: as it would be alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_detector import CPU, RECIPE, data_in, train_toy, training

from repghost.detection.source import CocoSource
from repghost.interrupt import Stop
from repghost.training.cohort import Member, MemberStop, Stream, conduct
from repghost.training.loop import Trained, train
from repghost.training.ranks import ALONE
from repghost.training.team import started_here


def scores(trained: Trained) -> list[float]:
    return [row["map"] for row in trained.history]


def test_two_processes_train_a_detector_to_the_weights_of_one(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    recipe = replace(RECIPE, freeze_bn=True)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    words = (str(tmp_path / "two"), str(tiny), recipe)
    with started_here(2) as team, team.together(train_toy, *words) as (ranks, device):
        ours = train_toy(*words, ranks=ranks, device=device, stop=Stop())
    words = (str(tmp_path / "one"), str(tiny), recipe)
    alone = train_toy(*words, ranks=ALONE, device=CPU, stop=Stop())
    other = torch.load(tmp_path / "two" / "rank1.pt", weights_only=True)
    start = training(str(tiny), recipe).scored.state_dict()
    for name, tensor in alone.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[name], other[name]), name
        assert torch.allclose(other[name], tensor, rtol=1e-3, atol=1e-6), name
    moved = [n for n, t in alone.model.state_dict().items() if not torch.equal(t, start[n])]
    assert len(moved) > 50
    for one, two in zip(alone.history, ours.history, strict=True):
        assert one["train_loss"] == pytest.approx(two["train_loss"], rel=1e-5)
        assert one["map"] == pytest.approx(two["map"], abs=0.01)


def test_detectors_of_a_cohort_end_as_alone_bit_for_bit(tiny, tmp_path):
    recipes = {"slow": RECIPE, "fast": replace(RECIPE, lr=0.02)}
    found: dict[str, Trained] = {}
    stream, members = Stream(), []

    def work(member: Member) -> None:
        name = member.name
        shared = member.source(lambda: CocoSource(data_in(str(tiny)), RECIPE, 3, False), CPU)
        mine = training(str(tiny), recipes[name], source=shared, clock=member.clock)
        (tmp_path / name).mkdir()
        found[name] = train(mine, tmp_path / name, name, lambda record: None, member.stop)

    for name in recipes:
        member = Member(name, MemberStop(Stop(), lambda: False), stream)
        members.append(member)
        member.begin(lambda member=member: work(member))
    conduct(members, stream)
    assert [member.error for member in members] == [None, None]
    for name, recipe in recipes.items():
        folder = tmp_path / f"{name}-alone"
        folder.mkdir()
        alone = train(training(str(tiny), recipe), folder, name, lambda record: None, Stop())
        state = found[name].model.state_dict()
        assert all(torch.equal(state[key], t) for key, t in alone.model.state_dict().items())
        assert scores(found[name]) == scores(alone)
    assert found["slow"].history[-1]["train_loss"] != found["fast"].history[-1]["train_loss"]
