"""One measurement at a time on a machine: other processes, other users, other threads, death."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from repghost.latency.devices.contract import DeviceError
from repghost.latency.devices.machine_lock import MachineLock, shared_folder

HOLD = """
import os, sys, time
from pathlib import Path
from repghost.latency.devices.machine_lock import MachineLock
with MachineLock(Path(sys.argv[1])).held():
    {inside}
    print("held", flush=True)
    time.sleep(60)
"""


def hold(path: Path, inside: str = "pass") -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLD.format(inside=inside), str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def lock(tmp_path: Path) -> MachineLock:
    return MachineLock(tmp_path / "lock")


@pytest.fixture
def holder(lock: MachineLock) -> Iterator["subprocess.Popen[str]"]:
    process = hold(lock.path)
    yield process
    process.kill()
    process.wait()


def test_the_lock_lies_where_all_users_find_it_whatever_their_own_temp_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert MachineLock().path.parent == shared_folder() != tmp_path


def test_who_waits_says_once_for_whom_and_goes_on_when_that_one_is_killed(
    lock: MachineLock, holder: "subprocess.Popen[str]"
) -> None:
    said: list[str] = []
    naps = 0

    def sleep(seconds: float) -> None:
        nonlocal naps
        naps += 1
        if naps == 4:
            assert said
            holder.send_signal(signal.SIGKILL)
            holder.wait()

    with lock.held(said.append, sleep):
        assert lock.other_holder() is None
    who = f"process {holder.pid}" if Path("/proc/locks").exists() else "another process"
    assert said == [f"waiting for {who}, which measures on this machine"] and naps == 4


def test_the_holder_is_named_to_others_without_being_disturbed(
    lock: MachineLock, holder: "subprocess.Popen[str]"
) -> None:
    assert str(holder.pid) in (lock.other_holder() or "")
    assert holder.poll() is None and lock.other_holder() is not None


def test_a_free_lock_has_no_holder(lock: MachineLock) -> None:
    assert lock.other_holder() is None
    with lock.held():
        assert lock.other_holder() is None
    assert lock.other_holder() is None


def test_the_thread_that_holds_it_enters_again_also_through_another_object(
    lock: MachineLock,
) -> None:
    said: list[str] = []
    with lock.held(said.append), MachineLock(lock.path).held(said.append), lock.held(said.append):
        assert said == []
    assert MachineLock(lock.path).other_holder() is None


def test_it_is_still_held_after_the_inner_block(lock: MachineLock) -> None:
    look = "import sys; from pathlib import Path;" + (
        "from repghost.latency.devices.machine_lock import MachineLock;"
        "print(MachineLock(Path(sys.argv[1])).other_holder())"
    )
    with lock.held():
        with lock.held():
            pass
        command = [sys.executable, "-c", look, str(lock.path)]
        seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert seen.strip() != "None"


def test_another_thread_of_the_process_waits_and_says_so(lock: MachineLock) -> None:
    said: list[str] = []
    order: list[str] = []

    def other() -> None:
        with lock.held(said.append):
            order.append("other")

    thread = threading.Thread(target=other)
    with lock.held():
        thread.start()
        thread.join(0.5)
        order.append("first")
    thread.join(10)
    assert order == ["first", "other"]
    assert said == ["waiting for another thread of this process, which measures on this machine"]


def test_an_exception_gives_it_back(lock: MachineLock) -> None:
    with pytest.raises(RuntimeError), lock.held():
        raise RuntimeError
    hold(lock.path).kill()


def test_a_child_that_outlives_the_killed_holder_does_not_keep_it(lock: MachineLock) -> None:
    process = hold(lock.path, inside="os.fork() or time.sleep(60)")
    try:
        process.kill()
        process.wait()
        os.killpg(process.pid, 0)  # the child is alive
        deadline = time.monotonic() + 10
        while lock.other_holder():  # until the child has run its first line
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_everybody_can_open_the_file_under_any_umask(lock: MachineLock) -> None:
    before = os.umask(0o077)
    try:
        with lock.held():
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(lock.path.stat().st_mode) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for two users")
def test_another_user_waits_for_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    for parent in [folder, *folder.parents][1:]:
        if parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    lock = MachineLock(folder / "lock")
    with lock.held():
        child = os.fork()
        if child == 0:
            os.setgid(65534)
            os.setuid(65534)
            os._exit(0 if MachineLock(lock.path).other_holder() else 1)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_file_is_refused_and_named(lock: MachineLock, kind: str, tmp_path: Path) -> None:
    if kind == "link":
        (tmp_path / "victim").write_text("")
        lock.path.symlink_to(tmp_path / "victim")
    elif kind == "folder":
        lock.path.mkdir()
    else:
        os.mkfifo(lock.path)
    with pytest.raises(DeviceError, match=r"lock: cannot be this machine's lock"), lock.held():
        pass


def test_a_file_that_was_swept_away_meanwhile_is_made_anew(lock: MachineLock) -> None:
    process = hold(lock.path)
    try:

        def sleep(seconds: float) -> None:
            lock.path.unlink(missing_ok=True)

        with lock.held(lambda words: None, sleep):
            assert lock.path.exists()
    finally:
        process.kill()
        process.wait()


GREEDY = """
import sys, time
from pathlib import Path
from repghost.latency.devices.machine_lock import MachineLock
lock = MachineLock(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    with lock.held():
        time.sleep(0.3)
"""


def test_one_that_takes_it_again_and_again_does_not_keep_others_from_it(lock: MachineLock) -> None:
    command = [sys.executable, "-c", GREEDY, str(lock.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline() == "ready\n"
        for _ in range(3):
            start = time.monotonic()
            with lock.held(lambda words: None):
                assert time.monotonic() - start < 5
                assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_an_interrupted_wait_leaves_nothing_held(
    lock: MachineLock, holder: "subprocess.Popen[str]"
) -> None:
    def sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), lock.held(sleep=sleep):
        pass
    holder.kill()
    holder.wait()
    hold(lock.path).kill()  # another process gets the turn and the lock
