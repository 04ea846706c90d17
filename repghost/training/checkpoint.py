"""Checkpoints that survive a kill at any moment: the last and the one before it, checked."""

import errno
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from repghost.atomic import replace_file

State = dict[str, Any]


class Checkpoints:
    """`checkpoint.pt` in a run's folder, and `checkpoint.prev.pt` for when it is damaged."""

    def __init__(self, folder: Path) -> None:
        self.last = folder / "checkpoint.pt"
        self.previous = folder / "checkpoint.prev.pt"

    def save(self, state: State) -> None:
        """Write `state` (tensors, numbers, strings, lists, dicts) in place of the last one.

        Raises:
            OSError: nothing could be written, such as on a full disk; what was there stands.
        """

        def write(draft: Path) -> None:
            try:
                torch.save(state, draft)
            except RuntimeError as error:  # torch's word for a short write
                said = f"cannot be written: {_first_line(error)}"
                raise OSError(errno.EIO, said, str(self.last)) from error
            if self.last.exists():
                self.last.replace(self.previous)

        replace_file(self.last, write)

    def load(self) -> tuple[State | None, list[str]]:
        """Return the newest state that is whole (None: there is none) and what was passed over."""
        warnings: list[str] = []
        for path in (self.last, self.previous):
            if not path.exists():
                continue
            try:
                return _read(path), warnings
            except (OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
                reason = _first_line(error)
            except (pickle.UnpicklingError, zipfile.BadZipFile) as error:
                reason = _first_line(error)
            warnings.append(f"{path.name} is damaged ({reason}), passed over")
        return None, warnings


def _read(path: Path) -> State:
    """Load a checkpoint whose checksums hold (torch itself does not look at them)."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise ValueError(f"the checksum of {damaged} is wrong")
    state: State = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
