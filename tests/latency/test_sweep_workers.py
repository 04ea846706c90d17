"""Sweeps whose latencies are made by workers in other processes, through one SQLite file."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from worker_shop import HERE, ROOT, Shop, wait_for

SMALL = ("model.width=0.1", "tracking=none", "study=s")
ONE_EPOCH = ("recipe.epochs=1", "recipe.warmup_epochs=0")
QUICK = ("latency.max_rounds=30", "latency.wait_s=0")


def start(folder: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(ROOT / "launch.py"), "-m", *words, *SMALL, *QUICK],
        cwd=folder,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=(folder / "driver.log").open("a"),
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(folder: Path) -> str:
    return (folder / "driver.log").read_text()


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "outputs/s/results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def counts(folder: Path) -> dict[str, int]:
    """Return how many variants are in each state, as `python -m repghost.sweep status` says."""
    words = [sys.executable, "-m", "repghost.sweep", "status", "s", "--json"]
    done = subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)["counts"]
    return found


@pytest.fixture
def shop(tmp_path: Path, short_mnn: Path) -> Callable[[], Shop]:
    return lambda: Shop(f"sqlite:///{tmp_path}/outputs/latency.db", short_mnn)


@pytest.mark.slow
def test_what_does_not_depend_on_a_worker_goes_on_without_one(
    tmp_path: Path, shop: Callable[[], Shop]
) -> None:
    words = ("model.reparam=bn,none", "latency.devices=[desk,local]", *ONE_EPOCH)
    driver = start(tmp_path, *words)
    wait_for(lambda: "device desk: no worker serves it" in said(tmp_path), 60)
    wait_for(lambda: said(tmp_path).count("timing") >= 2, 240)
    assert driver.poll() is None, "it waits for the objective"
    assert counts(tmp_path) == {"timing": 2}
    with shop().worker(*HERE):
        code = driver.wait(timeout=120)
    assert code == 0, said(tmp_path)
    found = rows(tmp_path)
    assert [row["state"] for row in found] == ["finished", "finished"]
    assert all(float(row["latency_ms"]) > 0 and float(row["top1"]) > 0 for row in found)
    assert all(float(row["local:latency_ratio"]) > 0 for row in found)
    assert {row["reference"] for row in found} == {found[0]["reference"]} != {""}
    again = time.monotonic()
    assert start(tmp_path, *words).wait(timeout=60) == 0
    assert time.monotonic() - again < 30 and len(shop().store.all()) == 1, "one graph, one CPU"


@pytest.mark.slow
def test_a_budget_on_a_workers_device_holds_trainings_back(
    tmp_path: Path, shop: Callable[[], Shop]
) -> None:
    devices = ("latency.devices=[desk]", "latency.max_ms=1e-6")
    words = ("model.reparam=bn", *devices, *ONE_EPOCH)
    driver = start(tmp_path, *words)
    wait_for(lambda: "timing" in said(tmp_path), 120)
    driver.kill()
    driver.wait()
    with shop().worker(*HERE, "once=true") as worker:
        worker.wait(timeout=90)
    assert start(tmp_path, *words).wait(timeout=90) == 0, said(tmp_path)
    (row,) = rows(tmp_path)
    assert row["state"] == "pruned" and not row["top1"]
    assert not list(tmp_path.glob("outputs/runs/*/checkpoint.pt")), "nothing was trained"


@pytest.mark.slow
def test_a_further_device_without_a_worker_is_left_to_a_later_command(tmp_path: Path) -> None:
    words = ("model.reparam=bn", "latency.devices=[local,desk]", "recipe=none")
    driver = start(tmp_path, *words)
    assert driver.wait(timeout=120) == 0, said(tmp_path)
    (row,) = rows(tmp_path)
    assert row["state"] == "measured" and row["desk:latency_ms"] == ""
    assert "1 measurement on desk still to come" in said(tmp_path)
