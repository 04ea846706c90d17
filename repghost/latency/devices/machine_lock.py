"""Of all that measure on this machine, one at a time: a lock of the whole machine."""

import contextlib
import fcntl
import itertools
import logging
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from repghost.latency.devices.contract import DeviceError

POLL_S = 0.1
FILE_NAME = "repghost-lab-measurement.lock"
Say = Callable[[str], None]
log = logging.getLogger(__name__)


def shared_folder() -> Path:
    """Return the temp folder that all users of this machine share."""
    everybodys = Path("/tmp")  # not $TMPDIR, which may be a user's or a job's own
    return everybodys if everybodys.is_dir() else Path(tempfile.gettempdir())


class MachineLock:
    """A lock that any user's process on this machine can hold, one at a time.

    The kernel's `flock` ends with its holder, also by kill -9; a child forked meanwhile does not
    hold it. The thread that holds it may take it again; another thread of the process waits. Who
    waits comes before a holder that gives it back and wants it again.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or shared_folder() / FILE_NAME

    @contextlib.contextmanager
    def held(
        self, say: Say = log.warning, sleep: Callable[[float], None] = time.sleep
    ) -> Iterator[None]:
        """Hold the lock for a block; who has to wait for it says so, once, through `say`.

        Raises:
            DeviceError: the file cannot be a lock.
        """
        mine = _holder(self.path)
        with _turn(mine.thread, say):
            if mine.depth == 0:
                self._take(mine, _once(say), sleep)
            mine.depth += 1
            try:
                yield
            finally:
                mine.depth -= 1
                if mine.depth == 0:
                    mine.close()

    def other_holder(self) -> str | None:
        """Return who else holds the lock now, such as "process 17"; None where nobody does.

        Raises:
            DeviceError: the file cannot be a lock.
        """
        if _holder(self.path).depth > 0:
            return None
        fd = _open(self.path)
        try:
            return None if _try(fd, fcntl.LOCK_SH, self.path) else _owner_of(fd)
        finally:
            os.close(fd)

    def _take(self, mine: "_Holder", say: Say, sleep: Callable[[float], None]) -> None:
        """Take the turn, then the lock: a holder that comes back at once is behind who waited."""
        try:
            self._wait(self.path.with_suffix(".turn"), mine, say, sleep)
            self._wait(self.path, mine, say, sleep)
        except BaseException:
            mine.close()
            raise
        mine.close(first=1)

    def _wait(self, path: Path, mine: "_Holder", say: Say, sleep: Callable[[float], None]) -> None:
        for tries in itertools.count():
            mine.files.append(_open(path))
            if _try(mine.files[-1], fcntl.LOCK_EX, path) and _is_still(mine.files[-1], path):
                return
            os.close(mine.files.pop())
            if tries > 0 and (who := self.other_holder()):  # not at once: it may be a mere look
                say(f"waiting for {who}, which measures on this machine")
            sleep(POLL_S)


class _Holder:
    """What this process holds of one lock: open files, and how often it was entered."""

    def __init__(self) -> None:
        self.thread = threading.RLock()
        self.files: list[int] = []
        self.depth = 0

    def close(self, first: int | None = None) -> None:
        """Give back the first so many of the files; all of them if that is not said."""
        for fd in self.files[:first]:
            os.close(fd)
        del self.files[:first]


def _once(say: Say) -> Say:
    said: list[str] = []

    def saying(words: str) -> None:
        if not said:
            said.append(words)
            say(words)

    return saying


def _holder(path: Path) -> _Holder:
    return _HOLDERS.setdefault(path, _Holder())


@contextlib.contextmanager
def _turn(lock: "threading.RLock", say: Say) -> Iterator[None]:
    """Hold `lock`, which the threads of this process have among themselves."""
    if not lock.acquire(timeout=POLL_S):
        say("waiting for another thread of this process, which measures on this machine")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _open(path: Path) -> int:
    """Open the lock's file, made if need be, so that everybody can; never follow a link."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with contextlib.suppress(FileExistsError):  # O_CREAT alone is refused on others' files
            if not path.exists():
                fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
                os.fchmod(fd, 0o644)  # whatever the umask
                return fd
        fd = os.open(path, flags)
    except OSError as error:
        raise DeviceError(f"{path}: cannot be this machine's lock: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise DeviceError(f"{path}: cannot be this machine's lock: it is no file; remove it")
    return fd


def _try(fd: int, kind: int, path: Path) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise DeviceError(
            f"{path}: this file system has no locks ({error.strerror}); without one two"
            " measurements could disturb each other"
        ) from error
    return True


def _is_still(fd: int, path: Path) -> bool:
    """Say whether the file is the one that others find: temp folders are swept now and then."""
    with contextlib.suppress(OSError):  # only its owner may
        os.utime(fd)
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _owner_of(fd: int) -> str:
    """Return who holds the file's lock, as far as the kernel's list of locks says it."""
    file = os.fstat(fd)
    where = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino} "
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            if "FLOCK" in line and "->" not in line and where in line:
                pid = int(line.split()[4])
                return f"process {pid}" if pid > 0 else "a process of another container"
    return "another process"


def _forget_all() -> None:
    for holder in _HOLDERS.values():
        holder.close()
    _HOLDERS.clear()


_HOLDERS: dict[Path, _Holder] = {}
os.register_at_fork(after_in_child=_forget_all)
