"""A lock that the kernel gives back when its holder dies, however it dies."""

import fcntl
import json
import os
import socket
import time
from pathlib import Path


class Held(ValueError):
    """The lock is held by somebody else; the message says by whom."""


class Lock:
    """An exclusive lock on a file, with its holder's host, process and start written into it.

    Released when the process ends, also by kill -9. Holds among the processes of one machine.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, *, wait: bool = False) -> None:
        """Take the lock, waiting for its holder to end if `wait`.

        Raises:
            Held: somebody else has it (only without `wait`).
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(fd)
            raise Held(self.holder()) from None
        self._fd = fd
        os.ftruncate(fd, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        note = {"host": socket.gethostname(), "pid": os.getpid(), "since": since}
        os.pwrite(fd, json.dumps(note).encode(), 0)

    def holder(self) -> str:
        """Return who wrote their name into the lock last, in words."""
        try:
            note = json.loads(self.path.read_text())
            return f"process {note['pid']} on {note['host']} since {note['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def is_held(self) -> bool:
        """Say whether somebody holds the lock now."""
        if not self.path.exists():
            return False
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def release(self) -> None:
        """Give the lock back; does nothing where it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
