"""Locks that a killed process does not leave behind, and files that are never half written."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from repghost.atomic import read_json, replace_file, write_json
from repghost.lock import Held, Lock

HOLDER = (
    "import sys, time; from pathlib import Path; from repghost.lock import Lock\n"
    "Lock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def holder(tmp_path: Path):
    """A process that holds the lock `tmp_path/lock` until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_held_lock_names_its_holder(tmp_path, holder):
    lock = Lock(tmp_path / "lock")
    assert lock.is_held()
    with pytest.raises(Held, match=f"process {holder.pid} on .* since 20"):
        lock.acquire()


def test_a_lock_is_free_at_once_when_its_holder_is_killed(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    lock = Lock(tmp_path / "lock")
    assert not lock.is_held()
    lock.acquire()
    assert lock.is_held()
    lock.release()
    assert not lock.is_held()


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"old": 1})

    def broken(draft: Path) -> None:
        draft.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_file(path, broken)
    assert read_json(path) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]


def test_json_that_is_torn_reads_as_none(tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"a": 1})[:-1])
    assert read_json(path) is None
