"""What a run or a study wrote beside its table, read as far as it is whole."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """One line of metrics.jsonl; losses in nats, scores in percent, what is missing is None."""

    epoch: int
    train_loss: float | None
    val_loss: float | None
    score: float | None


def read_curve(path: Path, score: str = "top1") -> list[Epoch]:
    """Return the epochs of a metrics.jsonl in order; [] where there is no file."""
    lines = read_if_there(path).splitlines()
    epochs = {epoch.epoch: epoch for epoch in _epochs(lines, score)}
    return [epochs[number] for number in sorted(epochs)]


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, {} where there is none that can be read."""
    return object_in(read_if_there(path))


def profile_files(folder: Path, graphs: Iterable[str]) -> dict[str, list[Path]]:
    """Return the operator profiles of these graphs by graph: a file's name begins with its own."""
    wanted = set(graphs) - {""}
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.json")):
        graph = path.name.partition("-")[0]
        if graph in wanted:
            found.setdefault(graph, []).append(path)
    return found


def _epochs(lines: Iterable[str], score: str) -> Iterator[Epoch]:
    for line in lines:
        record = object_in(line)
        if isinstance(record.get("epoch"), int):
            names = ("train_loss", "val_loss", score)
            yield Epoch(record["epoch"], *(_finite(record.get(name)) for name in names))


def _finite(value: object) -> float | None:
    """Return a JSON number that can be drawn, None for anything else."""
    drawable = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if drawable and isinstance(value, int | float) else None


def object_in(text: str) -> dict[str, Any]:
    """Return the JSON object in `text`, {} where it holds none (torn, empty, another type)."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def read_if_there(path: Path) -> str:
    """Return a file's text, "" where there is none; bytes that are no UTF-8 are marked."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
