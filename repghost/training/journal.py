"""What a training writes while it runs: checkpoints, and an epoch's record once it is safe."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from repghost.atomic import write_text
from repghost.training.checkpoint import Checkpoints, State

Record = dict[str, Any]  # one line of metrics.jsonl


class Journal:
    """The files of a run's folder that grow with its training; does nothing where it `leads` not.

    Checkpoints are written beside the training. An epoch is told (a line of `metrics.jsonl`, then
    `on_epoch`) when the checkpoint that holds it is on the disk, so that none is told twice.
    """

    def __init__(
        self, folder: Path, key: str, on_epoch: Callable[[Record], None], leads: bool = True
    ) -> None:
        self._checkpoints, self._metrics = Checkpoints(folder), folder / "metrics.jsonl"
        self._key, self._on_epoch, self._leads = key, on_epoch, leads
        self._untold: list[Record] = []
        self._saved, self._asked = time.monotonic(), False
        self.warnings: list[str] = []

    def load(self) -> State | None:
        """Return the newest state that is whole and this run's; `warnings` says what was not."""
        if not self._leads:
            return None
        state, self.warnings = self._checkpoints.load()
        return state if state and state["key"] == self._key else None

    def begin(self, history: list[Record]) -> None:
        """Write the records of the epochs so far, each once."""
        if self._leads:
            write_text(self._metrics, "".join(json.dumps(record) + "\n" for record in history))

    def is_due(self, every_s: float) -> bool:
        """Whether it is time for another checkpoint; true once, until that is saved.

        Never where this does not lead, or while one is being written.
        """
        is_old = time.monotonic() - self._saved > every_s
        if not self._leads or not is_old or self._asked or self._checkpoints.busy:
            return False
        self._asked = True
        return True

    def save(self, state: State, record: Record | None = None, *, wait: bool = False) -> None:
        """Copy the state and write it, to `wait` or beside the next steps; then tell `record`.

        Raises:
            OSError: this or the last checkpoint could not be written.
        """
        if not self._leads:
            return
        self._finish()
        self._checkpoints.start({"key": self._key, **state})
        self._saved, self._asked = time.monotonic(), False
        if record:
            self._untold.append(record)
        if wait:
            self._finish()

    def look(self) -> None:
        """Tell the epochs whose checkpoint has been written meanwhile.

        Raises:
            OSError: it could not be written.
        """
        if self._untold and not self._checkpoints.busy:
            self._finish()

    def _finish(self) -> None:
        self._checkpoints.wait()
        untold, self._untold = self._untold, []
        for record in untold:
            with self._metrics.open("a") as file:
                file.write(json.dumps(record) + "\n")
            self._on_epoch(record)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for what is being written; after an error, whatever becomes of it."""
        if error is None:
            self._finish()
        else:
            self._checkpoints.settle()
