"""Checkpoints that survive a kill at any moment: the last and the one before it, checked."""

import errno
import pickle
import threading
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from repghost.atomic import replace_file

State = dict[str, Any]


class Checkpoints:
    """`checkpoint.pt` in a run's folder, and `checkpoint.prev.pt` for when it is damaged.

    One is written at a time, beside what goes on. The format, a zip archive, holds a CRC-32 of
    every tensor and of the rest; all are looked at before anything is loaded.
    """

    def __init__(self, folder: Path) -> None:
        self.last = folder / "checkpoint.pt"
        self.previous = folder / "checkpoint.prev.pt"
        self._writer: threading.Thread | None = None
        self._error: Exception | None = None

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._writer is not None and self._writer.is_alive()

    def save(self, state: State) -> None:
        """Write `state` (tensors, numbers, strings, lists, dicts) in place of the last one.

        Raises:
            OSError: nothing could be written, such as on a full disk; what was there stands.
        """
        self.start(state)
        self.wait()

    def start(self, state: State) -> None:
        """Copy `state`, and write the copy beside what follows; `wait` says what came of it."""
        self.settle()
        copy = Copy(state)
        self._writer = threading.Thread(target=self._try, args=(copy,), name="checkpoint")
        self._writer.start()

    def wait(self) -> None:
        """Wait until nothing is being written.

        Raises:
            OSError: what was to be written could not be; what was there stands.
        """
        self.settle()
        error, self._error = self._error, None
        if error:
            raise error

    def settle(self) -> None:
        """Wait until nothing is being written, whether it could be or not."""
        if self._writer:
            self._writer.join()
        self._writer = None

    def _try(self, copy: "Copy") -> None:
        try:
            self._write(copy.state())
        except Exception as error:
            self._error = error

    def _write(self, state: State) -> None:
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


class Copy:
    """A state as it is now; of tensors on a GPU a copy there, which another thread brings over."""

    def __init__(self, state: State) -> None:
        self._state: State = _each_tensor(state, lambda tensor: tensor.detach().clone())
        self._made = _event()
        if self._made:
            self._made.record()

    def state(self) -> State:
        """Return it with all tensors on the CPU; steps on the GPU go on meanwhile."""
        if self._made is None:
            return self._state
        with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
            self._made.wait()
            state: State = _each_tensor(self._state, Tensor.cpu)
        return state


def _event() -> "torch.cuda.Event | None":
    """Return what marks this moment on the GPU, None where none is used."""
    return torch.cuda.Event() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]


def _each_tensor(value: Any, change: Any) -> Any:
    """Return a copy of nested dicts and lists with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {name: _each_tensor(one, change) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_each_tensor(one, change) for one in value)
    return value


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
