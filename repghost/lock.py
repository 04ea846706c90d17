"""A lock that its holder's death gives back, however he dies, on this machine or on another."""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from repghost.lease import LEASE_S, Lease

POLL_S = 1.0  # between two looks at another machine's lease
GLANCE_S = 0.01  # longer than `is_held` keeps the file
NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


class Held(ValueError):
    """The lock is held by somebody else; the message says by whom."""


class Lock:
    """An exclusive lock on a file.

    Among the processes of one machine the kernel's `flock` decides: it ends with its holder, also
    by kill -9. Between machines a lease does (see `lease.py`): a holder who is not heard of for
    `lease_s` loses the lock, and learns it from `still_ours`. `lease=False` is for what is held for
    milliseconds: nothing but the `flock`, which holds among machines only where the file system
    carries it. Processes forked by a holder do not hold it.
    """

    def __init__(
        self,
        path: Path,
        *,
        lease: bool = True,
        lease_s: float = LEASE_S,
        host: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path = path
        self._lease = Lease(path, lease_s, host) if lease else None
        self._sleep = sleep
        self._fd: int | None = None

    def acquire(self, *, wait: bool = False) -> None:
        """Take the lock, waiting for its holder to end if `wait`.

        Raises:
            Held: somebody else has it (only without `wait`).
            ValueError: the file system has no locks.
        """
        fd = _open(self.path)
        try:
            self._flock(fd, wait)
            self._take_lease(wait)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        HELD_HERE.add(self)

    def holder(self) -> str:
        """Return who wrote their name into the lock last, in words."""
        note = self._lease.latest().note() if self._lease else {}
        try:
            return f"process {note['pid']} on {note['host']} since {note['since']}"
        except KeyError:
            return "another process"

    def is_held(self) -> bool:
        """Say whether somebody holds the lock now."""
        if self._fd is not None or (self._lease and self._lease.left_s() > 0):
            return True
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def still_ours(self) -> bool:
        """Say whether we hold the lock; after a suspension longer than the lease it may be lost."""
        return self._fd is not None and (self._lease is None or self._lease.is_ours())

    def release(self) -> None:
        """Give the lock back; does nothing where it is not held."""
        if self._fd is None:
            return
        if self._lease:
            self._lease.drop()
        self._close()

    def _close(self) -> None:
        HELD_HERE.discard(self)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _flock(self, fd: int, wait: bool) -> None:
        """Take the `flock`; a glance of `is_held` at it is not mistaken for a holder."""
        if wait:
            return _flock(fd, fcntl.LOCK_EX, self.path)
        for pause_s in (GLANCE_S, GLANCE_S, 0.0):
            with contextlib.suppress(BlockingIOError):
                return _flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, self.path)
            self._sleep(pause_s)
        raise Held(self.holder())

    def _take_lease(self, wait: bool) -> None:
        while self._lease and (left_s := self._lease.take()) > 0:
            if not wait:
                raise Held(f"{self.holder()} (its lease ends in {left_s:.0f} s if it is dead)")
            self._sleep(min(left_s, POLL_S))


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o644)


def _flock(fd: int, how: int, path: Path) -> None:
    try:
        fcntl.flock(fd, how)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise ValueError(
            f"{path.parent}: this file system has no locks ({error.strerror}); put outputs on"
            " another one, or have it mounted with them (Lustre: -o flock or -o localflock)"
        ) from None


def _close_all() -> None:
    for lock in list(HELD_HERE):
        lock._close()


# A forked child shares the `flock`: a data loader's worker would keep a killed training's lock.
# The kernel's table of open files is one a process, so this list of what to close in a child is.
HELD_HERE: set[Lock] = set()
os.register_at_fork(after_in_child=_close_all)
