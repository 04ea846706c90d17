"""`latency-worker` as its users start it: in a process of its own, through a database."""

import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from services import database
from worker_shop import HERE, Shop, wait_for

from repghost.latency.record import Budget
from repghost.latency.worker import _folder, main
from repghost.latency.worker_words import parsed

LONG = Budget(1e-9, 100_000, 300.0)


@pytest.fixture
def shop(tmp_path: Path, short_mnn: Path) -> Shop:
    return Shop(f"sqlite:///{tmp_path}/latency.db", short_mnn)


def test_a_worker_measures_what_waits_and_ends_when_told_to(shop: Shop) -> None:
    asked = [shop.ask(name) for name in "ab"]
    with shop.worker(*HERE, "once=true") as worker:
        said = worker.communicate(timeout=90)[0]
    assert worker.returncode == 0, said
    assert shop.is_done(*asked)
    assert "measuring network a, network b" in said and "times chain" in said
    (seen,) = shop.workers.seen()
    assert (seen.name, seen.state, seen.kind) == ("desk", "gone", "local")
    assert shop.workers.known("desk") is not None


def test_a_worker_that_is_killed_is_followed_by_another_when_its_lease_ends(shop: Shop) -> None:
    long, short = shop.ask("long", Budget(1e-9, 100_000, 4.0)), shop.ask("short")
    with shop.worker(*HERE, "lease_s=1", "together=1") as worker:
        wait_for(shop.is_claimed)
        (seen,) = [one for one in shop.workers.seen() if one.alive]
        assert seen.pid == worker.pid
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert shop.is_claimed(), "its lease is still running"
    time.sleep(1.1)
    with shop.worker(*HERE, "device.name=second", "once=true") as worker:
        said = worker.communicate(timeout=90)[0]
    assert shop.is_done(long, short), said


def test_what_a_killed_worker_left_in_the_temporary_folder_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here = f"latency-worker-{platform.node()}"
    left, living = (tmp_path / f"{here}-{pid}-x" for pid in (dead.pid, os.getpid()))
    other = tmp_path / f"latency-worker-elsewhere-{dead.pid}-x"
    for folder in (left, living, other):
        folder.mkdir()
    with _folder() as mine:
        assert sorted(tmp_path.iterdir()) == sorted([living, other, mine])


def test_sigterm_lets_it_finish_the_sample_and_give_back_what_it_holds(shop: Shop) -> None:
    shop.ask("long", LONG)
    with shop.worker(*HERE) as worker:
        wait_for(shop.is_claimed)
        wait_for(lambda: any(one.state == "measuring" for one in shop.workers.seen()))
        start = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        said = worker.communicate(timeout=30)[0]
    assert worker.returncode == 0 and time.monotonic() - start < 10
    assert "told to end by SIGTERM; what was not measured is back in the queue" in said
    (standing,) = shop.requests.waiting()
    assert (standing.state, standing.losses, standing.attempts) == ("requested", 0, 0)
    assert [one.state for one in shop.workers.seen()] == ["gone"]


def test_a_second_worker_for_the_same_device_is_refused_in_a_line(shop: Shop) -> None:
    with shop.worker(*HERE):
        wait_for(lambda: any(one.alive for one in shop.workers.seen()))
        with shop.worker(*HERE) as second:
            said = second.communicate(timeout=60)[0]
    assert second.returncode == 2
    assert said.startswith("error: device desk") and "end that one first" in said


@pytest.mark.postgres
def test_a_worker_survives_a_restart_of_its_database(postgres: str, short_mnn: Path) -> None:
    shop = Shop(postgres, short_mnn)
    with shop.worker(*HERE) as worker:
        wait_for(lambda: any(one.alive for one in shop.workers.seen()))
        database.crash()
        database.start()
        identity = shop.ask("after")
        wait_for(lambda: shop.is_done(identity))
        assert worker.poll() is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["device=phone"], "device=phone: allowed are local, adb, cuda"),
        (["device.serial=X"], "device.serial=X: device=local has name, core"),
        (["device=adb", "device.core=big"], "device.core=big: must be a whole number"),
        (["device=adb", "device.name=pixel"], "no benchmark.out is named; "),
        (["device.core=4096"], "device.core=4096: this process may use core"),
        (["device.name=a desk"], "device.name=a desk: must be of letters, digits, dots"),
        (["device.name=cuda"], "device.name=cuda: is what device=cuda is called"),
        (["device=adb", "device.name=local"], "device.name=local: is what device=local is called"),
        (["device=cuda", "device.name=gpu"], "device.name=gpu: a GPU has the name cuda"),
        (["lease=3"], "unknown word lease: allowed are device, device.*, storage.url, lease_s"),
        (["lease_s=-1"], "lease_s=-1.0: must be greater than 0"),
        (["once=maybe"], "once=maybe: must be true or false"),
        (["storage.url=postgresql://me:secret@host/db"], "holds a password"),
        (["--once"], "--once: not of the form key=value"),
    ],
)
def test_a_word_that_is_wrong_is_said_in_a_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1 and "secret" not in line


def test_help_names_every_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for word in ("device=local|adb|cuda", "device.serial", "storage.url", "lease_s", "once=true"):
        assert word in text


def test_the_words_of_a_phone_are_its_settings() -> None:
    libraries = "device.libraries=[build/libMNN.so, build/libMNN_Express.so]"
    words = ("device=adb", "device.serial=a b", "device.benchmark=build/benchmark.out")
    spec, device = parsed([*words, libraries, "together=3"])
    assert spec.together == 3 and vars(device)["serial"] == "a b"
    assert vars(device)["libraries"] == ["build/libMNN.so", "build/libMNN_Express.so"]
