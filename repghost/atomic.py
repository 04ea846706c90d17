"""Files that are either the old one or the new one, whenever the process dies."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a file beside `path`, flush it to disk, and put it in the place of `path`.

    Raises:
        OSError: what `write` raised, such as a full disk; `path` is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(draft)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace the text file `path` atomically."""
    replace_file(path, lambda draft: _write(draft, text))


def write_json(path: Path, value: Any) -> None:
    """Replace the JSON file `path` atomically; NaN is refused (JSON has none)."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in `path`, or None where there is none that can be read."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
