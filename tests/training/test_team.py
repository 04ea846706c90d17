"""The processes of a training find each other, and none outlives the others."""

import time
from pathlib import Path

import pytest
import toy_team

from repghost.training.lost import RankFailed, RankLost
from repghost.training.team import Team, started_here

HERE = str(Path(__file__).parent)
SOON_S = 20.0


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", HERE)
    with started_here(2) as team:
        yield team


def call(team: Team, function, *arguments: object) -> None:
    with team.together(function, *arguments) as (ranks, device):
        function(*arguments, ranks=ranks, device=device, stop=None)


def test_all_processes_get_the_same_sum_and_can_be_called_again(team, tmp_path):
    for _ in range(2):
        call(team, toy_team.add_up, str(tmp_path))
        assert [(tmp_path / f"rank{rank}").read_text() for rank in range(2)] == ["3", "3"]
        (tmp_path / "rank1").unlink()


def test_a_process_that_fails_says_why_and_the_others_end(team):
    with pytest.raises(RankFailed, match="rank 1: RuntimeError: out of luck"):
        call(team, toy_team.fail_alone)
    team.close()
    assert [child.returncode for child in team._children] == [1]


def test_a_process_that_is_killed_is_named_and_the_others_end(team):
    start = time.monotonic()
    with pytest.raises(RankLost, match="rank 1 died"):
        call(team, toy_team.die_alone)
    assert time.monotonic() - start < SOON_S


def test_a_process_that_hangs_is_missed_after_a_silence(team, tmp_path):
    call(team, toy_team.add_up, str(tmp_path))  # it has imported torch
    team.silence_s = 3.0
    with pytest.raises(RankLost, match="fell silent"):
        call(team, toy_team.stay_away)
    for child in team._children:
        child.kill()


def test_a_process_that_ends_before_it_comes_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("repghost.training.team.FOLLOWER", "no_such_module")
    with started_here(2) as team, pytest.raises(RankLost, match="rank 1 ended before it began"):
        call(team, toy_team.stay_away)


def test_a_process_ends_soon_after_its_leader_is_gone(team, tmp_path):
    call(team, toy_team.add_up, str(tmp_path))
    (child,) = team._children
    for line in team._lines.values():
        line.close()
    assert child.wait(SOON_S) == 0
