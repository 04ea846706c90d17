"""Locks that a killed process does not leave behind, here and between machines."""

import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from repghost.atomic import read_json, replace_file, write_json
from repghost.lock import Held, Lock

HOLDER = (
    "import os, sys, time; from pathlib import Path; from repghost.lock import Lock\n"
    "Lock(Path(sys.argv[1])).acquire(); {then}; print('held', flush=True); time.sleep(60)"
)
CONTENDER = """
import fcntl, os, sys
from pathlib import Path
from repghost.lock import Lock

fcntl.flock = lambda fd, how: None  # a machine of its own: nobody sees its flock
lock, inside = Lock(Path(sys.argv[1]), host=sys.argv[2], sleep=lambda s: None), Path(sys.argv[3])
for _ in range(25):
    lock.acquire(wait=True)
    os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails if somebody else is in here
    inside.unlink()
    lock.release()
"""


def hold(path: Path, then: str = "pass") -> "subprocess.Popen[str]":
    script = HOLDER.format(then=then)
    command = [sys.executable, "-c", script, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def holder(tmp_path: Path):
    """A process that holds the lock `tmp_path/lock` until it is killed."""
    process = hold(tmp_path / "lock")
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def apart(monkeypatch):
    """Machines that do not see each other's flock; each lock stands for the only process of one."""
    monkeypatch.setattr(fcntl, "flock", lambda fd, how: None)


def age(lock: Path, seconds: float) -> Path:
    """Make the lease of `lock` look untouched for so long."""
    (note,) = lock.parent.glob(f"{lock.name}.*")
    then = note.stat().st_mtime - seconds
    os.utime(note, (then, then))
    return note


def wait_for(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_kept(lock: Lock) -> bool:
    """Say whether a thread keeps the lease of a lock of this name."""
    return f"lease of {lock.path.name}" in [thread.name for thread in threading.enumerate()]


def test_a_held_lock_names_its_holder(tmp_path, holder):
    lock = Lock(tmp_path / "lock")
    assert lock.is_held()
    with pytest.raises(Held, match=f"^process {holder.pid} on .* since 20[-0-9: ]*$"):
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


def test_a_child_that_outlives_the_killed_holder_does_not_keep_the_lock(tmp_path):
    process = hold(tmp_path / "lock", then="os.fork() or time.sleep(60)")  # as a loader's worker
    try:
        process.kill()
        process.wait()
        os.killpg(process.pid, 0)  # the child is alive
        lock = Lock(tmp_path / "lock")
        wait_for(lambda: not lock.is_held())  # until the child has run its first line
        lock.acquire()
        lock.release()
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_a_child_cannot_give_its_parents_lock_away(tmp_path):
    lock = Lock(tmp_path / "lock")
    lock.acquire()
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(lock.still_ours())
    assert os.waitpid(child, 0)[1] == 0
    assert lock.still_ours()
    with pytest.raises(Held, match=f"process {os.getpid()} "):
        Lock(tmp_path / "lock").acquire()
    lock.release()


def test_a_lock_that_is_waited_for_is_handed_over(tmp_path):
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    first.acquire()
    waiter = threading.Thread(target=second.acquire, kwargs={"wait": True})
    waiter.start()
    waiter.join(0.1)
    assert waiter.is_alive()
    first.release()
    waiter.join(20)
    assert second.still_ours() and not first.still_ours()
    second.release()


def test_a_lease_on_another_machine_holds_the_lock(tmp_path, apart):
    path = tmp_path / "lock"
    there, here = Lock(path, host="node1"), Lock(path, host="node2")
    there.acquire()
    assert here.is_held()
    message = rf"^process {os.getpid()} on node1 since .* \(its lease ends in \d+ s if it is dead\)"
    with pytest.raises(Held, match=message):
        here.acquire()
    there.release()
    assert not here.is_held()
    here.acquire()
    assert here.still_ours() and there.is_held()
    here.release()


def test_a_lease_that_ran_out_is_taken_over_and_its_holder_finds_out(tmp_path, apart):
    path = tmp_path / "lock"
    suspended, taker = Lock(path, host="node1"), Lock(path, host="node2")
    suspended.acquire()
    age(path, 59)
    with pytest.raises(Held, match=r"ends in [01] s"):
        taker.acquire()
    age(path, 2)
    assert not taker.is_held() and suspended.still_ours()
    taker.acquire()
    assert taker.still_ours() and not suspended.still_ours()
    suspended.release()
    assert taker.still_ours() and Lock(path, host="node3").is_held()
    taker.release()


def test_a_dead_holder_of_this_machine_does_not_keep_its_lease(tmp_path, holder):
    holder.kill()
    holder.wait()
    elsewhere = Lock(tmp_path / "lock", host="elsewhere")
    assert elsewhere.is_held()
    Lock(tmp_path / "lock").acquire()


def test_waiting_ends_when_another_machines_lease_is_released(tmp_path, apart):
    there, pauses = Lock(tmp_path / "lock", host="node1"), []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            there.release()

    here = Lock(tmp_path / "lock", host="node2", sleep=sleep)
    there.acquire()
    here.acquire(wait=True)
    assert here.still_ours() and len(pauses) == 3 and max(pauses) <= 1


def test_waiting_ends_when_another_machines_lease_runs_out(tmp_path, apart):
    path = tmp_path / "lock"
    Lock(path, host="node1").acquire()
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        age(path, 25)

    here = Lock(path, host="node2", sleep=sleep)
    here.acquire(wait=True)
    assert here.still_ours() and len(pauses) == 3


def test_the_age_of_a_lease_is_measured_by_the_file_servers_clock(tmp_path, apart, monkeypatch):
    there, here = Lock(tmp_path / "lock", host="node1"), Lock(tmp_path / "lock", host="node2")
    there.acquire()
    now = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: now)
    assert here.is_held()


def test_a_holder_keeps_its_lease_young(tmp_path):
    lock = Lock(tmp_path / "young", lease_s=0.2)
    lock.acquire()
    note = age(lock.path, 1000)
    wait_for(lambda: time.time() - note.stat().st_mtime < 100)
    lock.release()
    wait_for(lambda: not is_kept(lock))


def test_the_thread_that_keeps_a_lease_ends_with_it(tmp_path):
    lock = Lock(tmp_path / "ended", lease_s=3600)
    lock.acquire()
    assert is_kept(lock)
    lock.release()
    wait_for(lambda: not is_kept(lock))


def test_a_holder_does_not_keep_anybody_elses_lease_young(tmp_path):
    lock = Lock(tmp_path / "lost", lease_s=0.2)
    lock.acquire()
    (note,) = tmp_path.glob("lost.*")
    draft = tmp_path / "draft"
    draft.write_text(note.read_text() + " ")
    os.utime(draft, (1000, 1000))
    draft.replace(note)
    wait_for(lambda: not is_kept(lock))
    assert note.stat().st_mtime == 1000 and not lock.still_ours()
    lock.release()
    assert note.read_text()


@pytest.mark.parametrize("times", [1, 2, 3])
def test_of_machines_that_find_a_lock_free_at_once_one_gets_it(tmp_path, apart, monkeypatch, times):
    slow, quick = Lock(tmp_path / "lock", host="node1"), Lock(tmp_path / "lock", host="node2")
    link = os.link

    def late(*paths: Path) -> None:
        """Let the other machine take the lock, and so often, after the slow one found it free."""
        monkeypatch.setattr(os, "link", link)
        for _ in range(times):
            quick.release()
            quick.acquire()
        link(*paths)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(Held, match="on node2"):
        slow.acquire()
    assert quick.still_ours() and not slow.still_ours()
    quick.release()
    assert not slow.is_held()


def test_machines_that_contend_are_never_in_at_once(tmp_path):
    contender = [sys.executable, "-c", CONTENDER]
    contenders = [
        subprocess.Popen([*contender, tmp_path / "lock", name, tmp_path / "inside"])
        for name in ("node1", "node2", "node3")
    ]
    assert [process.wait() for process in contenders] == [0, 0, 0]


def test_a_lock_on_a_full_disk_still_holds_on_this_machine(tmp_path):
    lock = Lock(tmp_path / "lock")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        lock.acquire()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert lock.still_ours() and Lock(lock.path).is_held()
    with pytest.raises(Held, match="another process"):
        Lock(lock.path).acquire()
    lock.release()
    assert not lock.is_held() and [entry.name for entry in tmp_path.iterdir()] == ["lock"]


def test_a_lock_without_lease_is_one_file_and_no_thread(tmp_path):
    lock = Lock(tmp_path / "folder" / "short", lease=False)
    lock.acquire()
    assert [entry.name for entry in lock.path.parent.iterdir()] == ["short"]
    assert lock.still_ours() and not is_kept(lock)
    with pytest.raises(Held):
        Lock(lock.path, lease=False).acquire()
    lock.release()
    assert not lock.is_held() and not lock.still_ours()


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def no_locks(fd: int, how: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(ValueError, match=r"has no locks .*; put outputs on another one"):
        Lock(tmp_path / "lock").acquire()


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
