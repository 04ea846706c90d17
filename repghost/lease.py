"""Who holds a lock, for machines that do not see each other's `flock`.

A shared file system may keep `flock` to the machine that asks (Lustre with `localflock`, NFS with
`local_lock`). There a holder's note decides: a file `<lock>.<number>` that he touches as long as he
lives and empties when he is done. Whoever finds it empty, or untouched for a whole lease, makes the
next number by a hard link. A server lets one machine do that, also over NFS, and the note is whole
from its first moment. The highest number counts; numbers are never given twice.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEASE_S = 60.0  # of silence, after which a holder on another machine counts as dead
TOUCHES = 4  # a lease: a file server may be away for three quarters of one
LOOKS = 5  # at a folder in which numbers come and go


@dataclass(frozen=True)
class Sign:
    """A holder's note as it was read: empty once he is done."""

    number: int = 0
    text: str = ""
    touched: float = 0.0  # by the file server's clock

    def note(self) -> dict[str, Any]:
        """Return host, pid, since and kernel, as far as they can be read."""
        try:
            note = json.loads(self.text)
        except ValueError:
            return {}
        return note if isinstance(note, dict) else {}


class Lease:
    """One machine's claim to the lock `path`; its `flock` is held by whoever calls `take`.

    Where no note can be written (a full disk, a file system without hard links) the `flock` is all
    there is, and other machines are not kept out.
    """

    def __init__(self, path: Path, lease_s: float = LEASE_S, host: str | None = None) -> None:
        self._path, self._lease_s = path, lease_s
        self._host = host or socket.gethostname()
        self._kernel = host or _kernel()
        self._mine: Sign | None = None
        self._done = threading.Event()

    def take(self) -> float:
        """Take the lease and return 0, or return the seconds for which another machine has it."""
        text = json.dumps(self._note())
        while True:
            with self._draft(text) as (draft, now):
                latest = self.latest()
                left_s = self._left(latest, now)
                if left_s > 0 or draft is None:
                    self._mine = None
                    return left_s
                try:
                    if self._claim(draft, mine := Sign(latest.number + 1, text)):
                        self._hold(mine)
                        return 0.0
                except FileNotFoundError:
                    continue  # somebody swept the folder of drafts
                except OSError:
                    return 0.0  # no hard links here

    def left_s(self) -> float:
        """Return for how many seconds another machine has the lease if it is dead; 0 if none."""
        latest = self.latest()
        if not self._left(latest, latest.touched):
            return 0.0  # known without a clock
        with self._draft("") as (_, now):
            return self._left(latest, now)

    def is_ours(self) -> bool:
        """Say whether the lease that was taken has not been taken over since."""
        return self._is_there(self._mine) if self._mine else self.left_s() <= 0

    def drop(self) -> None:
        """Empty the note: the lock is free for other machines."""
        self._done.set()
        with contextlib.suppress(OSError):
            if self._mine and self._is_there(self._mine):
                os.truncate(self._file(self._mine.number), 0)
        self._mine = None

    def latest(self) -> Sign:
        """Return the note that counts; that of number 0 where there has been none."""
        for _ in range(LOOKS):
            number = max(self._numbers(), default=0)
            if number == 0:
                break
            with contextlib.suppress(FileNotFoundError), self._file(number).open() as file:
                # `open` asks the file server; a mere `stat` may be answered from a cache of NFS
                return Sign(number, file.read(), os.fstat(file.fileno()).st_mtime)
        return Sign()

    def _left(self, latest: Sign, now: float) -> float:
        """Seconds until a note of another machine is too old; one of this kernel has no flock."""
        if not latest.text or latest.note().get("kernel") == self._kernel:
            return 0.0
        return max(0.0, self._lease_s - (now - latest.touched))

    def _claim(self, draft: Path, mine: Sign) -> bool:
        """Try to be the one who makes a number, and say whether it is ours and the highest."""
        with contextlib.suppress(FileExistsError):  # also when NFS asked twice for an answer lost
            os.link(draft, self._file(mine.number))
        latest = self.latest()
        # A slow one makes a number that was cleared away before: it is not the highest.
        return (latest.number, latest.text) == (mine.number, mine.text)

    def _is_there(self, mine: Sign) -> bool:
        try:
            return self._file(mine.number).read_text() == mine.text
        except FileNotFoundError:
            return False

    def _hold(self, mine: Sign) -> None:
        """Take the notes of the past away, so that their holders see it, and keep ours young."""
        for number in self._numbers():
            if number < mine.number:
                with contextlib.suppress(OSError):
                    self._file(number).unlink()
        self._mine, self._done = mine, threading.Event()
        name = f"lease of {self._path.name}"
        keep = threading.Thread(target=self._keep, args=(mine, self._done), name=name, daemon=True)
        keep.start()

    def _keep(self, mine: Sign, done: threading.Event) -> None:
        while not done.wait(self._lease_s / TOUCHES):
            with contextlib.suppress(OSError):  # a file server that is away may come back in time
                if not self._is_there(mine):
                    return
                os.utime(self._file(mine.number))

    @contextlib.contextmanager
    def _draft(self, text: str) -> Iterator[tuple[Path | None, float]]:
        """A new file beside the lock, None on a full disk; and what time the file server has."""
        draft = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex}")
        try:
            try:
                draft.write_text(text)
                now = draft.stat().st_mtime
            except OSError:
                yield None, time.time()
            else:
                yield draft, now
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def _note(self) -> dict[str, object]:
        return {
            "host": self._host,
            "pid": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            "kernel": self._kernel,
            "token": uuid.uuid4().hex,
        }

    def _file(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _numbers(self) -> list[int]:
        prefix = f"{self._path.name}."
        try:
            names = [entry.name for entry in self._path.parent.iterdir()]
        except FileNotFoundError:
            return []
        ends = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        return [int(end) for end in ends if end.isdecimal()]


def _kernel() -> str:
    """Name whose `flock` this is: containers share it with their machine under other host names."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()
