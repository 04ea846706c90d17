"""`latency-worker` as its users start it: in a process of its own, through a database."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from services import database

from repghost.latency.devices.local import LocalDevice
from repghost.latency.queue.requests import Request, Requests
from repghost.latency.queue.workers import Workers
from repghost.latency.record import Budget, Identity
from repghost.latency.store import Store
from repghost.latency.worker import main, parsed

ROOT = Path(__file__).parents[2]
FAST = ("device=local", "device.name=desk", "device.wait_s=0", "poll_s=0.1")
SHORT, LONG = Budget(0.05, 60, 20.0), Budget(1e-9, 100_000, 300.0)


class Shop:
    """A database, and workers in processes of their own."""

    def __init__(self, url: str, model: Path) -> None:
        self.store = Store(url)
        self.requests, self.workers = Requests(self.store.database), Workers(self.store.database)
        self.url, self._model = url, model.read_bytes()
        self._device = LocalDevice()

    def ask(self, name: str, budget: Budget = SHORT) -> Identity:
        where = (self._device.profile, "paired", 1, self._device.mnn_version)
        identity = Identity(name, *where, "chain")
        self.requests.add(
            Request(identity, "desk", f"network {name}", budget, self._model, self._model)
        )
        return identity

    @contextmanager
    def worker(self, *words: str) -> Iterator["subprocess.Popen[str]"]:
        command = [sys.executable, "-m", "repghost.latency.worker", *FAST, *words]
        process = subprocess.Popen(
            [*command, f"storage.url={self.url}"],
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def is_done(self, *identities: Identity) -> bool:
        return all(self.store.find(one) for one in identities)

    def is_claimed(self) -> bool:
        return any(one.state == "claimed" for one in self.requests.waiting())


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def shop(tmp_path: Path, short_mnn: Path) -> Shop:
    return Shop(f"sqlite:///{tmp_path}/latency.db", short_mnn)


def test_a_worker_measures_what_waits_and_ends_when_told_to(shop: Shop) -> None:
    asked = [shop.ask(name) for name in "ab"]
    with shop.worker("once=true") as worker:
        said = worker.communicate(timeout=90)[0]
    assert worker.returncode == 0, said
    assert shop.is_done(*asked)
    assert "measuring network a, network b" in said and "times chain" in said
    (seen,) = shop.workers.seen()
    assert (seen.name, seen.state, seen.kind) == ("desk", "gone", "local")
    assert shop.workers.known("desk") is not None


def test_a_worker_that_is_killed_is_followed_by_another_when_its_lease_ends(shop: Shop) -> None:
    long, short = shop.ask("long", Budget(1e-9, 100_000, 4.0)), shop.ask("short")
    with shop.worker("lease_s=1", "together=1") as worker:
        wait_for(shop.is_claimed)
        (seen,) = [one for one in shop.workers.seen() if one.alive]
        assert seen.pid == worker.pid
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert shop.is_claimed(), "its lease is still running"
    time.sleep(1.1)
    with shop.worker("device.name=second", "once=true") as worker:
        said = worker.communicate(timeout=90)[0]
    assert shop.is_done(long, short), said


def test_sigterm_lets_it_finish_the_sample_and_give_back_what_it_holds(shop: Shop) -> None:
    shop.ask("long", LONG)
    with shop.worker() as worker:
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
    with shop.worker():
        wait_for(lambda: any(one.alive for one in shop.workers.seen()))
        with shop.worker() as second:
            said = second.communicate(timeout=60)[0]
    assert second.returncode == 2
    assert said.startswith("error: device desk") and "end that one first" in said


@pytest.mark.postgres
def test_a_worker_survives_a_restart_of_its_database(postgres: str, short_mnn: Path) -> None:
    shop = Shop(postgres, short_mnn)
    with shop.worker() as worker:
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
    spec, device = parsed(["device=adb", "device.serial=a b", libraries, "together=3"])
    assert spec.together == 3 and vars(device)["serial"] == "a b"
    assert vars(device)["libraries"] == ["build/libMNN.so", "build/libMNN_Express.so"]
