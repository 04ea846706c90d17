"""Checkpoints are written beside the training: whole, in order, and an error is not lost."""

import threading
from pathlib import Path

import pytest
import torch

from repghost.training.checkpoint import Checkpoints
from repghost.training.journal import Journal, Record

STATE = {"epoch": 1, "model": {"w": torch.arange(4.0)}, "history": [{"top1": 50.0}], "ema": None}


class Slow:
    """Stands in for torch.save, and writes only when it is let."""

    def __init__(self, error: OSError | None = None) -> None:
        self.save, self.error, self.may = torch.save, error, threading.Event()

    def __call__(self, state: object, path: Path) -> None:
        assert self.may.wait(10)
        if self.error:
            raise self.error
        self.save(state, path)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    slow = Slow()
    monkeypatch.setattr(torch, "save", slow)
    return slow


def test_what_is_written_is_the_state_as_it_was_when_it_was_handed_over(tmp_path, slow):
    checkpoints, weights = Checkpoints(tmp_path), torch.arange(4.0)
    checkpoints.start({"model": {"w": weights}, "epoch": 3})
    weights += 100
    assert checkpoints.busy
    slow.may.set()
    checkpoints.wait()
    state, warnings = Checkpoints(tmp_path).load()
    assert state is not None and not warnings
    assert torch.equal(state["model"]["w"], torch.arange(4.0)) and state["epoch"] == 3


def test_the_last_two_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for epoch in range(3):
        checkpoints.start({**STATE, "epoch": epoch})
    checkpoints.wait()
    checkpoints.last.write_bytes(b"damaged")
    state, warnings = checkpoints.load()
    assert state is not None and state["epoch"] == 1
    assert len(warnings) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint.prev.pt",
        "checkpoint.pt",
    ]


@pytest.mark.parametrize("place", range(5))
def test_a_bit_that_flips_anywhere_is_noticed(tmp_path, place):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({**STATE, "model": {"w": torch.randn(2000)}})
    content = bytearray(checkpoints.last.read_bytes())
    content[len(content) * (2 * place + 1) // 10] ^= 1
    checkpoints.last.write_bytes(content)
    state, warnings = checkpoints.load()
    assert state is None and "checkpoint.pt is damaged" in warnings[0]


def test_an_error_of_the_writing_comes_with_the_next_save(tmp_path, slow):
    slow.error = OSError(28, "No space left on device")
    slow.may.set()
    told: list[Record] = []
    journal = Journal(tmp_path, "key", told.append)
    journal.save(STATE, {"epoch": 0})
    with pytest.raises(OSError, match="No space left"):
        journal.save(STATE)
    assert not told


def test_an_epoch_is_told_when_its_checkpoint_is_on_the_disk_and_not_before(tmp_path, slow):
    told: list[Record] = []
    with Journal(tmp_path, "key", told.append) as journal:
        journal.begin([])
        journal.save(STATE, {"epoch": 0})
        journal.look()
        assert not told and not (tmp_path / "metrics.jsonl").read_text()
        assert not journal.is_due(0.0)  # one is being written
        slow.may.set()
    assert told == [{"epoch": 0}]
    assert (tmp_path / "metrics.jsonl").read_text() == '{"epoch": 0}\n'


def test_a_process_that_does_not_lead_writes_nothing(tmp_path):
    with Journal(tmp_path, "key", lambda record: None, leads=False) as journal:
        assert journal.load() is None
        journal.begin([])
        journal.save(STATE, {"epoch": 0}, wait=True)
    assert not list(tmp_path.iterdir())
