"""`python -m analysis wandb STUDY --sync`: what W&B has not got yet of a study is sent to it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from rich.console import Console
from rich.progress import Progress

from analysis.results import Results
from analysis.wandb_account import require_account
from repghost.lock import Held, Lock
from repghost.run import Run
from repghost.tracking.wandb_run import UNSENT

AT_ONCE = 5  # runs; the pieces of one run follow each other
PER_CALL = 200  # files: a command line has an end
LOOK_S = 0.2
LINES = 4  # of what W&B says, where it failed


def sync(results: Results, console: Console) -> None:
    """Send the pieces that were not sent yet, several runs at a time; what was sent is marked.

    A run of several pieces (it was preempted, or killed) is one run at W&B: its pieces are sent in
    the order of their beginning, and each goes on where the last one ended.

    Raises:
        ValueError: there is no account, another process sends too, or something was not sent.
    """
    require_account()
    with _alone(results.study_dir):
        pieces = unsent(results, console)
        if not pieces:
            console.print("W&B: nothing left to send")
            return
        said = _send_all(pieces, console)
        left = [piece for piece in pieces if not _is_sent(piece)]
        if left:
            words = "; ".join(said.strip().splitlines()[-LINES:])
            raise ValueError(f"{len(left)} of {len(pieces)} pieces were not sent: {words}")
        console.print(f"W&B: {len(pieces)} pieces of {len(_runs(pieces))} runs sent")


def unsent(results: Results, console: Console) -> list[Path]:
    """Return the `.wandb` files that W&B has not got, oldest first; runs at work are left out.

    What an online run wrote is sent already, but for one whose end did not get through.
    """
    keys = dict.fromkeys(row.key for row in results.rows if row.key)
    runs = [Run(results.study_dir.parent, key) for key in keys]
    busy = [run for run in runs if run.lock.is_held()]
    if busy:
        console.print(f"{len(busy)} runs are at work and are left out", highlight=False)
    folders = [run.folder for run in runs if run not in busy] + [results.study_dir]
    found = [piece for folder in folders for piece in folder.glob("wandb/wandb/*run-*/*.wandb")]
    return sorted(
        filter(_is_to_send, found), key=lambda piece: piece.parent.name.partition("run-")[2]
    )


def _is_to_send(piece: Path) -> bool:
    offline = piece.parent.name.startswith("offline-") or (piece.parent / UNSENT).exists()
    return offline and not _is_sent(piece)


def _is_sent(piece: Path) -> bool:
    return piece.with_name(f"{piece.name}.synced").exists()


def _runs(pieces: Sequence[Path]) -> set[str]:
    return {piece.name for piece in pieces}


def _send_all(pieces: Sequence[Path], console: Console) -> str:
    """Let W&B's own command send them, and return what it said."""
    said = ""
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("sending", total=len(pieces))
        for some in _parts(pieces):
            with TemporaryFile("w+") as output:
                words = [sys.executable, "-m", "wandb", "sync", "--include-online"]
                words += ["-n", str(AT_ONCE), *map(str, some)]
                environment = os.environ | {"WANDB_ERROR_REPORTING": "false"}
                process = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
                )
                while process.poll() is None:
                    progress.update(bar, completed=sum(map(_is_sent, pieces)))
                    time.sleep(LOOK_S)
                output.seek(0)
                said += output.read()
        progress.update(bar, completed=sum(map(_is_sent, pieces)))
    return said


def _parts(pieces: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """Yield some files at a time, those of one run together."""
    together = sorted(pieces, key=lambda piece: piece.name)
    part: list[Path] = []
    for piece in together:
        if len(part) >= PER_CALL and part[-1].name != piece.name:
            yield part
            part = []
        part.append(piece)
    yield part


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second command from sending the same twice."""
    lock = Lock(folder / "wandb-sync.lock")
    try:
        lock.acquire()
    except Held as held:
        raise ValueError(f"{held} is sending this study to W&B already") from None
    try:
        yield
    finally:
        lock.release()
