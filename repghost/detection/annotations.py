"""COCO's instances as they lie on the disk: read once, checked, bad ones refused with file and id.

What pycocotools takes is taken as it takes it; what it would pass over in silence, and a training
would learn from, is refused. docs/detection.md has the rules as a table. No torch is imported here.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels
Mask = NDArray[np.uint8]  # (H, W) of 0 and 1
SPLITS = {"train": "train2017", "val": "val2017"}
LEAST_SIDE = 1.0  # pixels: as in mmdetection, a thinner box is not learnt from
LEAST_NUMBERS = 6  # of a polygon: three points


@dataclass(frozen=True)
class Picture:
    """An image of the data set: its id in the file, where it lies, its size in pixels."""

    id: int
    path: Path
    width: int
    height: int


@dataclass(frozen=True)
class Instance:
    """An object in an image; `label` counts the categories from 0 in the order of their ids."""

    id: int
    label: int
    box: Box
    crowd: bool
    segmentation: Any


class Instances:
    """One split of a data set in COCO's format: `root/annotations/instances_SPLIT.json`, images.

    Raises:
        ValueError: file or images are missing, or an annotation breaks a rule: file and id.
    """

    def __init__(self, root: str | None, split: str) -> None:
        self.file = annotation_file(root, split)
        content = _read(self.file)
        self.category_ids, self.classes = _categories(self.file, content["categories"])
        folder = Path(root or "", SPLITS[split])
        self.pictures = _pictures(self.file, content["images"], folder)
        self._of: dict[int, list[Instance]] = {picture.id: [] for picture in self.pictures}
        self._sort_in(content["annotations"])

    def of(self, picture: Picture) -> Sequence[Instance]:
        """Return the objects of an image, crowds included."""
        return self._of[picture.id]

    def learnable(self, picture: Picture) -> list[Instance]:
        """Return the objects that a training learns from, their boxes cut to the image.

        Not those that are crowds, or have less than a pixel in the image either way.
        """
        cut = (_cut(one, picture) for one in self.of(picture) if not one.crowd)
        return [one for one in cut if min(_sides(one.box)) >= LEAST_SIDE]

    def _sort_in(self, annotations: Sequence[Any]) -> None:
        labels = {category: label for label, category in enumerate(self.category_ids)}
        seen: set[int] = set()
        for number, row in enumerate(annotations):
            where = _where(self.file, "annotation", row, number)
            if row["id"] in seen:
                raise ValueError(f"{where}: another annotation has this id")
            seen.add(row["id"])
            if row.get("image_id") not in self._of:
                raise ValueError(f"{where}: there is no image of image_id {row.get('image_id')}")
            if row.get("category_id") not in labels:
                raise ValueError(
                    f"{where}: category_id {row.get('category_id')} is none of the"
                    f" {len(labels)} categories of the file"
                )
            box, crowd = _box(where, row), bool(row.get("iscrowd", 0))
            shape = row.get("segmentation")
            instance = Instance(row["id"], labels[row["category_id"]], box, crowd, shape)
            self._of[row["image_id"]].append(instance)

    def mask(self, instance: Instance, picture: Picture) -> Mask:
        """Return an object's mask `(H, W)` of polygons, or of a run length code in either form.

        Raises:
            ValueError: it has none, or one that cannot be decoded.
        """
        where = f"{self.file}: annotation {instance.id}"
        try:
            return decoded(instance.segmentation, picture.height, picture.width)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise ValueError(f"{where}: {error}") from error


def decoded(segmentation: Any, height: int, width: int) -> Mask:
    """Return the mask `(height, width)` of polygons or of a run length code, as pycocotools does.

    Raises:
        ValueError, TypeError, KeyError: it is neither, or of another size.
    """
    from faster_coco_eval.core import mask as coder

    if isinstance(segmentation, list):
        _check_polygons(segmentation)
        parts = coder.frPyObjects(segmentation, height, width)
        union: Mask = coder.decode(coder.merge(parts))
        return union
    if not isinstance(segmentation, dict):
        raise ValueError(
            f"segmentation is {_short(segmentation)}; expected polygons or a run length code"
        )
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"segmentation is of {segmentation['size']}, the image {[height, width]}")
    code = segmentation
    if isinstance(code["counts"], list):
        counts = code["counts"]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("segmentation.counts must be whole numbers of at least 0")
        if sum(counts) != height * width:
            raise ValueError(f"segmentation.counts cover {sum(counts)} pixels of {height * width}")
        code = coder.frPyObjects(code, height, width)
    mask: Mask = coder.decode(code)
    return mask


def annotation_file(root: str | None, split: str) -> Path:
    """Return the file of a split's instances.

    Raises:
        ValueError: it is not there.
    """
    path = Path(root or "", "annotations", f"instances_{SPLITS[split]}.json")
    if not root or not path.is_file():
        raise ValueError(
            f"data.root={root}: no {path.name} in its folder annotations; expected COCO 2017 as it"
            " lies on disk, or what `python -m repghost.detection.tiny FOLDER` makes"
        )
    return path


def category_count(file: Path) -> int:
    """Return how many categories a file of instances has.

    Raises:
        ValueError: it cannot be read, or has none.
    """
    return len(_categories(file, _read(file)["categories"])[0])


def picture_count(file: Path) -> int:
    """Return how many images a file of instances lists.

    Raises:
        ValueError: it cannot be read.
    """
    return len(_read(file)["images"])


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read as JSON ({error})") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f"{file}: no list of {key}; expected COCO's instances")
    found: dict[str, Any] = content
    return found


def _categories(file: Path, rows: Sequence[Any]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the categories' ids, rising, and their names."""
    found: dict[int, str] = {}
    for number, row in enumerate(rows):
        where = _where(file, "category", row, number)
        if row["id"] in found:
            raise ValueError(f"{where}: another category has this id")
        found[row["id"]] = str(row.get("name", row["id"]))
    if not found:
        raise ValueError(f"{file}: no categories")
    ids = tuple(sorted(found))
    return ids, tuple(found[one] for one in ids)


def _pictures(file: Path, rows: Sequence[Any], folder: Path) -> list[Picture]:
    there = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    found: dict[int, Picture] = {}
    for number, row in enumerate(rows):
        where = _where(file, "image", row, number)
        name, sides = row.get("file_name"), (row.get("width"), row.get("height"))
        if row["id"] in found:
            raise ValueError(f"{where}: another image has this id")
        if name not in there:
            raise ValueError(f"{where}: {folder / str(name)} is missing")
        if not all(type(side) is int and side > 0 for side in sides):
            raise ValueError(f"{where}: width and height are {sides}; expected pixels above 0")
        found[row["id"]] = Picture(row["id"], folder / str(name), *sides)
    if not found:
        raise ValueError(f"{file}: no images")
    return list(found.values())


def _where(file: Path, kind: str, row: Any, number: int) -> str:
    if not isinstance(row, dict) or type(row.get("id")) is not int:
        raise ValueError(f"{file}: {kind} number {number} has no id (a whole number)")
    return f"{file}: {kind} {row['id']}"


def _box(where: str, row: dict[str, Any]) -> Box:
    """Return a box as corners; COCO writes x, y, width, height."""
    numbers = row.get("bbox")
    if not isinstance(numbers, list) or len(numbers) != 4 or not all(map(_is_number, numbers)):
        raise ValueError(f"{where}: bbox is {_short(numbers)}; expected x, y, width, height")
    x, y, width, height = map(float, numbers)
    if width < 0 or height < 0:
        raise ValueError(f"{where}: bbox has a negative size, {width:g} x {height:g}")
    return x, y, x + width, y + height


def _cut(instance: Instance, picture: Picture) -> Instance:
    x1, y1, x2, y2 = instance.box
    box = (max(x1, 0.0), max(y1, 0.0), min(x2, picture.width), min(y2, picture.height))
    return replace(instance, box=box)


def _sides(box: Box) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


def _check_polygons(polygons: Sequence[Any]) -> None:
    def fits(polygon: Any) -> bool:
        return (
            isinstance(polygon, list)
            and len(polygon) >= LEAST_NUMBERS
            and len(polygon) % 2 == 0
            and all(map(_is_number, polygon))
        )

    if not polygons or not all(map(fits, polygons)):
        raise ValueError("segmentation has a polygon of fewer than three points (x, y, x, y, ...)")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
