"""What W&B gets of a run: in its own offline files, and at a server on loopback."""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from repghost import trial
from repghost.latency.record import from_record
from repghost.latency.spec import LatencySpec, StorageSpec
from repghost.latency.store import Store
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.run import Run
from repghost.settings import Settings
from repghost.tracking.spec import TrackingSpec
from repghost.tracking.told import resolved
from repghost.tracking.tracker import Tracker
from repghost.tracking.wandb_run import Label
from repghost.training.spec import RecipeSpec
from tests.services.wandb_server import KEY, fake_wandb

LABEL = Label("abc", "study", "a name", "variant", {"model": {"width": 0.1}}, ("digits",))
EPOCHS = [{"epoch": epoch, "top1": 10.0 * epoch} for epoch in range(5)]
WITHIN = TrackingSpec(tags=["mine"], patience_s=10.0)
KILLED = """
import os, time
from pathlib import Path
from tests.test_tracking import EPOCHS, LABEL, WITHIN
from repghost.tracking.tracker import Tracker
tracker = Tracker(WITHIN, Path({folder!r}), print)
tracker.start(LABEL)
tracker.follow(EPOCHS[:3])
while not Path({folder!r}, "told").exists() or Path({folder!r}, "told").read_text() != "2":
    time.sleep(0.1)
time.sleep(2)  # W&B's file is behind by a second
os._exit(9)
"""


@pytest.fixture
def alone(tmp_path):
    """No account; in the end the environment is as before, and W&B's service is gone."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        del os.environ[name]
    os.environ["HOME"] = str(tmp_path)
    yield
    import wandb

    wandb.teardown()
    os.environ.clear()
    os.environ.update(before)


def told(folder, epochs, spec=WITHIN, say=print):
    with Tracker(spec, folder, say) as tracker:
        tracker.start(LABEL)
        tracker.follow(epochs)
    return tracker


def settings(folder) -> Settings:
    return Settings(
        model=RepGhostNetSpec(width=0.1, num_classes=10),
        recipe=RecipeSpec(epochs=1, warmup_epochs=0, batch_size=128),
        outputs=str(folder),
        study="s",
        latency=LatencySpec(max_rounds=10, wait_s=0.1),
        tracking=replace(WITHIN, artifact=True),
        storage=StorageSpec(f"sqlite:///{folder}/latency.db"),
    )


def test_pieces_of_a_killed_and_continued_run_are_one_run_with_one_whole_history(tmp_path, alone):
    code = KILLED.format(folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 9
    told(tmp_path, EPOCHS[:4])
    time.sleep(1.1)  # W&B names a piece by the second
    told(tmp_path, EPOCHS)
    assert len(list(tmp_path.glob("wandb/offline-run-*-abc/run-abc.wandb"))) == 3
    with fake_wandb() as fake:
        send_pieces(fake, tmp_path)
        (name,) = fake.runs
        run = fake.runs[name]
        assert [row["epoch"] for row in run.history] == [0, 1, 2, 3, 4]
        assert [row["_step"] for row in run.history] == [0, 1, 2, 3, 4]
        send_pieces(fake, tmp_path)
        assert len(run.history) == 5, "what was sent is not sent again"
    assert name == "abc"
    assert run.variables["groupName"] == "study"
    assert run.variables["jobType"] == "variant"
    assert set(run.variables["tags"]) == {"mine", "digits"}
    assert run.config["model"]["value"] == {"width": 0.1}
    assert run.exit_code == 0


def send_pieces(fake, folder):
    pieces = sorted(map(str, folder.glob("wandb/offline-run-*")))
    words = [sys.executable, "-m", "wandb", "sync", *pieces]
    environment = os.environ | fake.environment() | {"WANDB_ERROR_REPORTING": "false"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_run_goes_to_the_server_where_an_account_is_set_up(tmp_path, alone, monkeypatch):
    with fake_wandb() as fake:
        for name, value in fake.environment().items():
            monkeypatch.setenv(name, value)
        told(tmp_path, EPOCHS[:2])
        time.sleep(1.1)
        told(tmp_path, EPOCHS[:4])
        run = fake.runs["abc"]
    assert [row["epoch"] for row in run.history] == [0, 1, 2, 3]
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize("answers", [False, True])
def test_a_server_that_is_away_or_silent_costs_the_run_nothing(
    answers, tmp_path, alone, monkeypatch
):
    silent = socket.create_server(("127.0.0.1", 0))  # connects, and never says a word
    port = silent.getsockname()[1]
    if not answers:
        silent.close()
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    said: list[str] = []
    tracker = Tracker(replace(WITHIN, patience_s=2.0), tmp_path, said.append)
    with tracker:
        start = time.monotonic()
        tracker.start(LABEL)
        tracker.follow(EPOCHS)
        assert time.monotonic() - start < 0.1
    assert time.monotonic() - start < 10
    assert len(said) == 1 and "cannot be reached" in said[0], said
    monkeypatch.delenv("WANDB_API_KEY")
    with fake_wandb() as fake:
        send_pieces(fake, tmp_path)
        assert [row["epoch"] for row in fake.runs["abc"].history] == [0, 1, 2, 3, 4]


def test_a_key_that_is_refused_leaves_the_run_offline(tmp_path, alone, monkeypatch):
    said: list[str] = []
    with fake_wandb() as fake:
        for name, value in fake.environment().items():
            monkeypatch.setenv(name, value)
        fake.refuses = True
        told(tmp_path, EPOCHS, say=said.append)
        fake.refuses = False
        assert len(said) == 1 and "kept offline" in said[0], said
        send_pieces(fake, tmp_path)
        assert [row["epoch"] for row in fake.runs["abc"].history] == [0, 1, 2, 3, 4]


def test_a_disk_that_refuses_is_said_once(tmp_path, alone):
    (tmp_path / "file").write_text("")
    said: list[str] = []
    told(tmp_path / "file" / "wandb", EPOCHS, say=said.append)
    assert len(said) == 1 and said[0].startswith("W&B is off for this run: "), said


def test_a_trained_variant_sends_its_settings_evidence_and_files(tmp_path, alone, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "geheim-1234")
    chosen = settings(tmp_path)
    for stage in ("prepare", "measure", "train"):
        trial.run_stage(chosen, stage, 1, say=lambda line: None)
    folder = Run(chosen.outputs, chosen.variant.key).folder
    with fake_wandb() as fake:
        send_pieces(fake, folder / "wandb")
        run = fake.runs[chosen.variant.key]
    assert run.config["recipe"]["value"]["batch_size"] == 128
    assert run.config["latency"]["value"]["max_rounds"] == 10
    assert run.summary["state"] == "finished"
    assert run.summary["certificate_trained"] is True
    assert run.summary["top1"] == run.history[0]["top1"]
    assert run.summary["latency_low"] <= run.summary["latency_ms"] <= run.summary["latency_high"]
    for name in ("config.yaml", "metrics.jsonl", "certificate.json", "result.json"):
        assert run.files[f"run/{name}"] == (folder / name).read_bytes()
    latency = from_record(json.loads(run.files["run/latency.json"]))
    assert latency == Store(chosen.storage.url).find(latency.identity)
    tables = [name for name in run.files if name.startswith("media/table/")]
    assert {name.split("/")[-1].split("_")[0] for name in tables} >= {"certificate", "latency"}
    assert any("fused-" in body for body in fake.bodies), "the artifact was offered"
    assert not any("geheim-1234" in body for body in fake.bodies)


def test_a_password_in_the_storage_url_is_refused_before_w_and_b_sees_it(tmp_path):
    with pytest.raises(ValueError, match="holds a password"):
        StorageSpec("postgresql+psycopg://me:geheim@host/db")
    assert "geheim" not in str(resolved(settings(tmp_path)))
