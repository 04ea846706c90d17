"""What a sweep says of the workers that it needs."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from repghost.latency.queue.workers import Announcement, KnownDevice, Workers
from repghost.latency.spec import LatencySpec
from repghost.latency.store import Store
from repghost.latency.worker_words import parsed
from repghost.settings import Settings
from repghost.sweep.console.workers import LOOK_S, WorkerWatch, from_anywhere

URL = "sqlite:///my outputs/latency.db"
PHONE = KnownDevice("adb: Some Phone", "3.6.1")


class Watched:
    """A watch of the devices local and desk, and a clock that is moved on by hand."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(f"sqlite:///{folder}/latency.db")
        self.needed, self.asked, self._now = ["desk"], 0, 0.0
        settings = replace(Settings(), latency=LatencySpec(devices=["local", "desk"]))
        workers = Workers(self.store.database)
        self._watch = WorkerWatch(workers, [settings], URL, clock=lambda: self._now)

    def notices(self) -> list[str]:
        """Return what is said after the next look."""
        self._now += LOOK_S
        return self._watch.notices(self._ask)

    def _ask(self) -> list[str]:
        self.asked += 1
        return self.needed


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.chdir(tmp_path)
    return Watched(tmp_path)


def test_a_device_without_a_worker_is_said_once_with_words_that_start_one(
    watched: Watched, tmp_path: Path
) -> None:
    (line,) = watched.notices()
    assert line.startswith("device desk: no worker serves it;")
    command = shlex.split(line[line.index("latency-worker") :])
    spec, device = parsed(command[1:])
    assert spec.url == f"sqlite:///{tmp_path}/my outputs/latency.db" and device.name == "desk"
    assert watched.notices() == [] and watched.asked == 1


def test_of_a_device_that_is_not_needed_nothing_is_said_until_it_is(watched: Watched) -> None:
    watched.needed = []
    assert watched.notices() == []
    watched.needed = ["desk"]
    assert len(watched.notices()) == 1


def test_a_worker_that_comes_is_said(watched: Watched) -> None:
    watched.notices()
    Announcement(watched.store.database, "desk", "here", "local").announce(PHONE, "idle")
    (line,) = watched.notices()
    assert line.startswith("device desk: served by process ")


@pytest.mark.parametrize(
    "url", ["sqlite:////data/latency.db", "sqlite://", "postgresql+psycopg://lab@host/latency"]
)
def test_an_url_that_no_folder_changes_stays(url: str) -> None:
    assert from_anywhere(url) == url
