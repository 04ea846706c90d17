"""The file of a study's ledger: append-only lines, whole or not at all."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend

from repghost.lock import Lock


class Journal(JournalFileBackend):
    """Optuna's journal, which a full disk does not leave with half a line in its middle."""

    def __init__(self, path: Path) -> None:
        self._path, self._guard = path, Lock(path.with_suffix(".lock"), lease=False)
        self._together = False
        super().__init__(str(path))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Flush what is appended within this once, at its end: a thousand flushes take seconds."""
        self._together = True
        try:
            yield
        finally:
            self._together = False
            with self._path.open("ab") as file:
                os.fsync(file.fileno())

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole lines, or nothing.

        Raises:
            OSError: they could not be written; the journal is as it was.
        """
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._guard.acquire(wait=True)
        try:
            with self._path.open("ab", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                try:
                    _write_all(file, text.encode())
                    if not self._together:
                        os.fsync(file.fileno())
                except OSError:
                    file.truncate(size)
                    raise
        finally:
            self._guard.release()


def _write_all(file: FileIO, content: bytes) -> None:
    while content:
        content = content[file.write(content) or 0 :]


def mend(journal: Path) -> None:
    """Cut off a last line that a kill tore; Optuna would append to it and never read on."""
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            file.truncate(whole)
            os.fsync(file.fileno())
