"""`python -m analysis wandb STUDY --sync` against a server on loopback."""

import os

import pytest
import studies

from analysis.__main__ import main
from repghost.run import Run
from repghost.tracking.spec import TrackingSpec
from repghost.tracking.tracker import Tracker
from repghost.tracking.wandb_run import Label
from tests.services.wandb_server import fake_wandb

KEYS = tuple(f"{n:016x}" for n in range(2))
EPOCHS = [{"epoch": epoch, "top1": 10.0 * epoch} for epoch in range(3)]


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """A study of two runs that were logged without an account."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    rows = [studies.run(seed=n) for n in range(len(KEYS))]
    folder = studies.write_study(tmp_path, rows)
    for key in KEYS:
        pieces = Run(folder.parent, key).folder / "wandb"
        with Tracker(TrackingSpec(patience_s=10.0), pieces, print) as one:
            one.start(Label(key, "study", key, "variant", {}, ()))
            one.follow(EPOCHS)
    import wandb

    wandb.teardown()  # it keeps the environment that it saw first
    yield folder
    wandb.teardown()


def variants(fake):
    """The runs of a study but for its summary."""
    return {key: run for key, run in fake.runs.items() if run.variables["jobType"] == "variant"}


def test_what_was_logged_offline_is_sent_once(offline, monkeypatch, capsys):
    with fake_wandb() as fake:
        for name, value in fake.environment().items():
            monkeypatch.setenv(name, value)
        main(["wandb", str(offline), "--sync"])
        assert "2 pieces of 2 runs sent" in capsys.readouterr().out
        main(["wandb", str(offline), "--sync"])
        assert "nothing left to send" in capsys.readouterr().out
        sent = {name: [row["epoch"] for row in run.history] for name, run in variants(fake).items()}
    assert sent == {key: [0, 1, 2] for key in KEYS}


def test_a_run_at_work_is_left_for_later(offline, monkeypatch, capsys):
    lock = Run(offline.parent, KEYS[0]).lock
    lock.acquire()
    with fake_wandb() as fake:
        for name, value in fake.environment().items():
            monkeypatch.setenv(name, value)
        main(["wandb", str(offline), "--sync"])
        assert set(variants(fake)) == {KEYS[1]}
        lock.release()
        main(["wandb", str(offline), "--sync"])
        assert set(variants(fake)) == set(KEYS)
    assert "1 runs are at work and are left out" in capsys.readouterr().out


def test_without_an_account_it_is_said_what_to_do(offline):
    with pytest.raises(SystemExit, match="no W&B account: set WANDB_API_KEY"):
        main(["wandb", str(offline), "--sync"])


def test_a_server_that_refuses_is_an_error_and_another_try_sends_all(offline, monkeypatch, capsys):
    with fake_wandb() as fake:
        for name, value in fake.environment().items():
            monkeypatch.setenv(name, value)
        fake.refuses = True
        with pytest.raises(SystemExit, match="2 of 2 pieces were not sent"):
            main(["wandb", str(offline), "--sync"])
        fake.refuses = False
        main(["wandb", str(offline), "--sync"])
    assert "2 pieces of 2 runs sent" in capsys.readouterr().out
