"""A detector's examples.json: images with what is annotated and found on them, and curves."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.results import Results, Row
from analysis.run_files import read_object
from analysis.variants import Variant

FILE = "examples.json"
READ_AT_MOST = 24  # runs, the best of as many variants


@dataclass(frozen=True)
class Thing:
    """An object: its class, x1, y1, x2, y2 and outlines in pixels; a score where it was found."""

    name: str
    box: tuple[float, ...]
    outlines: tuple[tuple[float, ...], ...]
    score: float | None = None


@dataclass(frozen=True)
class Example:
    """A validation image as a JPEG in base64, what is annotated and what was found on it."""

    file: str
    width: int
    height: int
    jpeg: str
    truth: tuple[Thing, ...]
    found: tuple[Thing, ...]


@dataclass(frozen=True)
class Examples:
    """What a run left: images, and precision in percent at recall 0, 1, ... by (kind, IoU).

    What was found with a score below `least_score` is not among it.
    """

    row: Row
    pictures: tuple[Example, ...]
    curves: dict[tuple[str, float], tuple[float, ...]]
    least_score: float


def read_examples(
    results: Results, variants: Sequence[Variant], order: Sequence[int]
) -> dict[int, Examples]:
    """Return by variant what its best run left, of the first `READ_AT_MOST` that left any.

    They come in `order`, by their places in `variants`.
    """
    found: dict[int, Examples] = {}
    for i in order:
        if len(found) == READ_AT_MOST:
            break
        best = variants[i].best_run
        if best is None or not best.detector:
            continue
        if examples := _examples(results.runs_dir / best.key / FILE, best):
            found[i] = examples
    return found


def _examples(path: Path, row: Row) -> Examples | None:
    """Read a run's file; None where there is none, or it is not what it should be."""
    content = read_object(path)
    try:
        pictures = tuple(map(_picture, content["pictures"]))
        curves = {_curve(one): _numbers(one["precision"]) for one in content["curves"]}
        return Examples(row, pictures, curves, _number(content["least_score"]))
    except (KeyError, TypeError, ValueError):
        return None


def _curve(one: Any) -> tuple[str, float]:
    return str(one["kind"]), _number(one["iou"])


def _picture(one: Any) -> Example:
    jpeg = str(one["jpeg"])
    base64.b64decode(jpeg, validate=True)
    sides = int(_number(one["width"])), int(_number(one["height"]))
    if min(sides) < 1:
        raise ValueError
    truth, found = (tuple(map(_thing, one[name])) for name in ("truth", "found"))
    return Example(str(one["file"]), *sides, jpeg, truth, found)


def _thing(one: Any) -> Thing:
    box, score = _numbers(one["box"]), one.get("score")
    if len(box) != 4:
        raise ValueError
    lines = tuple(map(_numbers, one.get("mask", [])))
    return Thing(str(one["class"]), box, lines, None if score is None else _number(score))


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(map(_number, values))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return value
