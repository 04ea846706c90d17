"""A run killed at any moment and started again ends with the same weights, bit for bit."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from repghost.interrupt import Interrupted, Stop
from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.training.batches import Batch
from repghost.training.checkpoint import Checkpoints
from repghost.training.data import open_source
from repghost.training.engine import Training, TrainingDiverged
from repghost.training.loop import train
from repghost.training.spec import DataSpec, RecipeSpec
from repghost.trial import waiting_words

RECIPE = RecipeSpec(
    epochs=2, batch_size=256, warmup_epochs=0.5, hflip=0.5, random_erasing=0.5, scale_min=0.5
)
DATA = DataSpec()


class Killed(BaseException):
    """Stands for kill -9: nothing in the engine may catch it."""


class Fuse:
    """A source that dies at one batch, counted over the whole run; each may take a time."""

    def __init__(self, source, dies_at: int, delay_s: float = 0) -> None:
        self._source, self._left, self.steps = source, dies_at, source.steps
        self._delay_s = delay_s

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        for batch in self._source.train(epoch, start):
            if self._left == 0:
                raise Killed
            self._left -= 1
            time.sleep(self._delay_s)
            yield batch

    def val(self) -> Iterator[Batch]:
        return self._source.val()


def start(recipe: RecipeSpec = RECIPE, dies_at: int | None = None, delay_s: float = 0) -> Training:
    torch.manual_seed(3)
    model = build(RepGhostNetSpec(width=0.1, num_classes=10), dropout=recipe.dropout)
    source = open_source(DATA, recipe, seed=3)
    source = source if dies_at is None else Fuse(source, dies_at, delay_s)
    return Training(model, source, recipe, 3, torch.device("cpu"))


def finish(training: Training, folder: Path):
    return train(training, folder, "key", lambda record: None, Stop())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return finish(start(), tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("dies_at", [0, 2, 5, 7])
def test_killed_run_goes_on_to_the_same_weights_bit_for_bit(dies_at, undisturbed, tmp_path):
    every_step = RecipeSpec(**{**RECIPE.__dict__, "checkpoint_every_s": 1e-9})
    with pytest.raises(Killed):
        finish(start(every_step, dies_at), tmp_path)
    resumed = finish(start(every_step), tmp_path)
    for name, tensor in undisturbed.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    assert lasting(resumed) == lasting(undisturbed)


def lasting(trained) -> list[dict]:
    """What every epoch came to, without the times that it took."""
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "waited_s")}
        for row in trained.history
    ]


def test_an_epoch_tells_how_long_it_waited_for_images_also_one_that_was_continued(tmp_path):
    every_step = RecipeSpec(**{**RECIPE.__dict__, "checkpoint_every_s": 1e-9})
    with pytest.raises(Killed):
        finish(start(every_step, 3, delay_s=0.4), tmp_path)
    one, two = finish(start(every_step, 100), tmp_path).history
    assert 0.8 < one["waited_s"] < one["seconds"], (
        "two of the delays, or three, are in a checkpoint"
    )
    assert two["waited_s"] < 0.8
    assert (
        waiting_words(one | {"seconds": 10 * one["waited_s"]}) == ", 10% of it waiting for images"
    )
    assert waiting_words(one | {"seconds": 100 * one["waited_s"]}) == ""
    assert waiting_words({"seconds": 0.0}) == "", "an older version's"


def test_a_checkpoint_of_an_older_version_is_gone_on_from(undisturbed, tmp_path):
    every_step = RecipeSpec(**{**RECIPE.__dict__, "checkpoint_every_s": 1e-9})
    with pytest.raises(Killed):
        finish(start(every_step, 3), tmp_path)
    checkpoints = Checkpoints(tmp_path)
    state, _ = checkpoints.load()
    del state["waited_s"]
    checkpoints.start(state)
    checkpoints.wait()
    assert lasting(finish(start(), tmp_path)) == lasting(undisturbed)


def test_a_run_told_to_end_saves_that_step_and_goes_on_to_the_same_weights(undisturbed, tmp_path):
    stop, training = Stop(), start()
    whole_step = training.train_step

    def step(batch: Batch) -> None:
        whole_step(batch)
        if (training.epoch, training.step) == (1, 2):
            stop.asked = "SIGTERM"

    training.train_step = step
    with pytest.raises(Interrupted, match="told to end by SIGTERM"):
        train(training, tmp_path, "key", lambda record: None, stop)
    seen = []
    resumed = start()
    watched = resumed.train_step
    resumed.train_step = lambda batch: (seen.append((resumed.epoch, resumed.step)), watched(batch))
    ended = finish(resumed, tmp_path)
    assert seen[0] == (1, 2)
    for name, tensor in undisturbed.model.state_dict().items():
        assert torch.equal(tensor, ended.model.state_dict()[name]), name


def test_metrics_hold_each_epoch_once_after_a_kill_between_record_and_checkpoint(tmp_path):
    finish(start(), tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    lines = metrics.read_text().splitlines()
    metrics.write_text(lines[0] + "\n" + lines[1] + "\n" + lines[1] + '\n{"epoch": 1, "tr')
    finish(start(), tmp_path)
    assert metrics.read_text().splitlines() == lines


def test_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(undisturbed, tmp_path):
    finish(start(), tmp_path)
    last = tmp_path / "checkpoint.pt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 0xFF  # one byte of a tensor: torch.load would not notice
    last.write_bytes(content)
    resumed = finish(start(), tmp_path)
    assert any("checkpoint.pt is damaged" in warning for warning in resumed.warnings)
    for name, tensor in undisturbed.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_checkpoints_that_are_rubbish_start_the_run_anew_and_say_so(undisturbed, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"rubbish")
    (tmp_path / "checkpoint.prev.pt").write_bytes(b"")
    resumed = finish(start(), tmp_path)
    assert len(resumed.warnings) == 2
    assert resumed.history[-1]["top1"] == undisturbed.history[-1]["top1"]


def test_nan_loss_fails_with_epoch_and_step(tmp_path):
    training = start(RecipeSpec(**{**RECIPE.__dict__, "lr": 1e30, "warmup_epochs": 0}))
    with pytest.raises(TrainingDiverged, match=r"loss is (nan|inf) at epoch 0, step \d+"):
        finish(training, tmp_path)


def test_a_full_disk_fails_the_save_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    finish(start(), tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full(state, path):
        Path(path).write_bytes(b"half of it")
        raise OSError(28, "No space left on device", str(path))

    longer = start(RecipeSpec(**{**RECIPE.__dict__, "epochs": 3}))
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        finish(longer, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))
