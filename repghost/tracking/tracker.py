"""Weights & Biases: every run logged, offline where no account is set up, never in the way."""

import contextlib
import json
import queue
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from repghost.interrupt import Interrupted
from repghost.tracking.spec import TrackingSpec
from repghost.tracking.wandb_run import (
    Label,
    close_run,
    copy_in,
    log_artifact,
    log_figure,
    log_table,
    open_run,
    write_in,
)

GRACE_S = 5.0  # for a run that was told to end: who told it does not wait for long
TOLD = "told"  # the file that says up to which epoch W&B has been told
SYNC = "python -m analysis wandb STUDY --sync"
SECRET = re.compile(r"//[^/\s@]+@")  # of a URL, in what an error says

Work = Callable[[Any], object]


class Tracker:
    """One W&B run, closed at the end of its `with`.

    All that concerns W&B happens in a thread of its own: what is told here is put into its queue,
    which takes microseconds. An error of W&B is said once, through `say`, and ends the tracking
    only; where W&B is silent, it costs at most `patience_s` twice, when the run is closed.
    """

    def __init__(self, spec: TrackingSpec, folder: Path, say: Callable[[str], None]) -> None:
        self._spec, self._folder, self._say = spec, folder, say
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._exit_code, self._told, self._abandoned = 0, -1, False
        self.kept = False  # in the end: all that was told is at W&B, or in its files on the disk

    def start(self, label: Label) -> None:
        """Open the run; one that is continued has the same id."""
        if self._spec.kind == "none":
            return
        self._told = _told(self._folder / TOLD)
        self._thread = threading.Thread(
            target=self._live, args=[label], name=f"wandb-{label.id}", daemon=True
        )
        self._thread.start()

    def follow(self, history: Iterable[dict[str, Any]]) -> None:
        """Log the epochs of `history` that have not been logged, each at its epoch."""
        for record in history:
            if record["epoch"] > self._told:
                self._told = record["epoch"]
                self._tell(partial(_log_epoch, self._folder / TOLD, record))

    def summarise(self, scores: dict[str, Any]) -> None:
        """Write final scores."""
        self._tell(lambda run: run.summary.update(dict(scores)))

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Log a table."""
        self._tell(partial(log_table, name, list(columns), [list(row) for row in rows]))

    def figure(self, name: str, figure: dict[str, Any]) -> None:
        """Log a figure of plotly, given as its data and layout."""
        self._tell(partial(log_figure, name, figure))

    def keep(self, files: Iterable[Path], below: str) -> None:
        """Keep copies of those files that are there with the run, in its folder `below`."""
        self._tell(partial(copy_in, list(files), below))

    def write(self, name: str, text: str) -> None:
        """Keep a file of this text with the run; `name` may have folders."""
        self._tell(partial(write_in, name, text))

    def artifact(self, name: str, files: Iterable[Path]) -> None:
        """Log files as an artifact of type "model"."""
        self._tell(partial(log_artifact, name, list(files)))

    def _tell(self, work: Work) -> None:
        if self._thread:
            self._work.put(work)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the run, as failed where something was raised."""
        if self._thread is None:
            return
        preempted = isinstance(error, Interrupted)
        if error:
            state = "preempted" if preempted else "failed"
            self.summarise({"state": state, "error": f"{type(error).__name__}: {error}"})
        self._exit_code = 1 if error else 0
        self._work.put(None)
        patience = GRACE_S if preempted else 2 * self._spec.patience_s + GRACE_S
        self._thread.join(patience)
        if self._thread.is_alive():
            self._abandoned = True
            self._say(
                f"W&B did not answer within {patience:g} s: what is left of this run is not sent"
            )

    def _live(self, label: Label) -> None:
        """In the thread: open the run, do what is asked, close it; the first error is the last."""
        run = None
        try:
            run, notice = open_run(self._spec, label, self._folder)
            if notice:
                self._say(f"{SECRET.sub('//', notice)}; `{SYNC}` sends it")
            while (work := self._work.get()) is not None:
                work(run)
            close_run(run, self._exit_code)
            self.kept = True
        except TimeoutError:
            self.kept = run is not None
            self._complain(f"W&B took too long; `{SYNC}` sends the rest of this run")
        except Exception as error:
            self._complain(f"W&B is off for this run: {type(error).__name__}: {error}")
            if run:
                with contextlib.suppress(Exception):
                    close_run(run, 1)

    def _complain(self, words: str) -> None:
        if not self._abandoned:
            self._say(SECRET.sub("//", words))


def _told(path: Path) -> int:
    try:
        return int(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return -1


def _log_epoch(told: Path, record: dict[str, Any], run: Any) -> None:
    """Log at once: W&B keeps a step to itself until the next one unless it is committed."""
    run.log(record, step=record["epoch"], commit=True)
    told.write_text(str(record["epoch"]))
