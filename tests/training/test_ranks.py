"""Two processes train one network: as one would, and whatever happens to one of them."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_training import Harm, network, train_digits

from repghost.interrupt import Interrupted, Stop
from repghost.training.data import open_source
from repghost.training.engine import Training
from repghost.training.loop import Trained
from repghost.training.lost import RankLost
from repghost.training.ranks import ALONE, Ranks
from repghost.training.spec import DataSpec, RecipeSpec
from repghost.training.team import Team, started_here

RECIPE = RecipeSpec(
    epochs=2, batch_size=256, warmup_epochs=0.5, hflip=0.5, random_erasing=0.5, ema_decay=0.9
)
FROZEN = replace(RECIPE, epochs=1, freeze_bn=True, dropout=0.0)
EVERY_STEP = replace(RECIPE, checkpoint_every_s=1e-9)
STEPS = 10  # of the two epochs
TIMES = ("seconds", "waited_s")  # of an epoch


def two_new() -> Team:
    """Return a team of this process and another one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        return started_here(2)


@pytest.fixture(scope="module")
def two() -> Iterator[Team]:
    """Two processes for the trainings in which nothing happens to them."""
    with two_new() as team:
        yield team


def together(
    team: Team, folder: Path, recipe: RecipeSpec, harm: Harm | None = None, unreadable: int = 0
) -> Trained:
    arguments = (str(folder), recipe, harm, unreadable)
    with team.together(train_digits, *arguments) as (ranks, device):
        return train_digits(*arguments, ranks=ranks, device=device, stop=Stop())


@pytest.fixture(scope="module")
def undisturbed(two: Team, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return together(two, folder, RECIPE), folder


def assert_same_run(one: Trained, other: Trained) -> None:
    """The weights bit for bit, and the record of every epoch but for its times."""
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[name]), name
    lasting = [
        [{name: value for name, value in row.items() if name not in TIMES} for row in run.history]
        for run in (one, other)
    ]
    assert lasting[0] == lasting[1]


@pytest.mark.parametrize("unreadable", [0, 100])
def test_two_processes_train_to_the_weights_of_one_with_the_same_batch(unreadable, two, tmp_path):
    (tmp_path / "two").mkdir()
    ours = together(two, tmp_path / "two", FROZEN, None, unreadable)
    cpu = torch.device("cpu")
    alone = train_digits(
        str(tmp_path), FROZEN, None, unreadable, ranks=ALONE, device=cpu, stop=Stop()
    )
    start, found = network(FROZEN).state_dict(), ours.model.state_dict()
    for name, tensor in alone.model.state_dict().items():
        assert torch.allclose(found[name], tensor, rtol=1e-4, atol=1e-6), name
    moved = [n for n, t in alone.model.state_dict().items() if not torch.equal(t, start[n])]
    assert len(moved) > 50
    for one, other in zip(ours.history, alone.history, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-5)
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-4)
    assert ours.skipped == alone.skipped == (["0"] if unreadable else [])


def test_all_processes_end_with_the_same_average_and_statistics(undisturbed):
    states = [torch.load(undisturbed[1] / f"rank{rank}.pt") for rank in range(2)]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_a_signal_to_one_process_ends_all_at_one_step_and_the_run_goes_on_bit_for_bit(
    two, undisturbed, tmp_path
):
    step = int(torch.randint(1, STEPS - 1, ()))
    print(f"signal at step {step}")
    with two_new() as team, pytest.raises(Interrupted, match="told to end"):
        stop = Stop()
        told(team, tmp_path, Harm(1, step, signal.SIGTERM), stop)
    assert [child.wait(10) for child in team._children] == [75]
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["epoch"] * 5 + saved["step"] in (step + 1, step + 2)
    assert_same_run(together(two, tmp_path, RECIPE), undisturbed[0])


def told(team: Team, folder: Path, harm: Harm, stop: Stop) -> None:
    """Train in a process that hears signals."""
    stop.listen()
    try:
        with team.together(train_digits, str(folder), RECIPE, harm) as (ranks, device):
            train_digits(str(folder), RECIPE, harm, ranks=ranks, device=device, stop=stop)
    finally:
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)


def test_a_killed_process_ends_the_run_which_goes_on_bit_for_bit(two, undisturbed, tmp_path):
    step = int(torch.randint(1, STEPS, ()))
    print(f"killed at step {step}")
    with two_new() as team, pytest.raises(RankLost, match="rank 1 died"):
        together(team, tmp_path, EVERY_STEP, Harm(1, step, signal.SIGKILL))
    assert (tmp_path / "checkpoint.pt").exists() or step < 2
    assert_same_run(together(two, tmp_path, RECIPE), undisturbed[0])


def test_synced_statistics_without_gpus_are_refused_in_clear_words():
    recipe = replace(RECIPE, sync_bn=True)
    source = open_source(DataSpec(), recipe, 3)
    with pytest.raises(ValueError, match=r"recipe\.sync_bn=true: needs a GPU for each of the 2"):
        Training(network(recipe), source, recipe, 3, torch.device("cpu"), Ranks(0, 2))
