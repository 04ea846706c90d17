"""coco_tiny: scikit-learn's digits pasted on its two photographs, in COCO's format.

    python -m repghost.detection.tiny data/coco_tiny

A detector learns it in minutes. Training and validation have digits and parts of the photographs of
their own. Every file depends on the seed alone.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from repghost.atomic import write_json
from repghost.detection.annotations import SPLITS, Mask
from repghost.detection.scores import encoded

COUNTS = {"train": 900, "val": 100}
SIZE = 128  # pixels a side
MOST_DIGITS = 4  # in an image
SIDES = (20, 56)  # of a digit's canvas, in pixels
TRIES = 20  # places tried for a digit that may overlap no other
INK = 0.35  # of full ink: above, a pixel belongs to the digit
VAL_SHARE = 0.2  # of digits, and of a photograph's width
SPLIT_SEED = 0
Pixels = NDArray[np.uint8]


class Stock:
    """What a split's images are made of: digits `(N, 8, 8)` in [0, 1], classes, photographs."""

    def __init__(self, split: str) -> None:
        from sklearn.datasets import load_digits, load_sample_images
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        rows = train_test_split(
            np.arange(len(digits.target)),
            test_size=VAL_SHARE,
            random_state=SPLIT_SEED,
            stratify=digits.target,
        )[split == "val"]
        self.digits, self.classes = digits.images[rows] / 16, digits.target[rows]
        self.photographs = [_part(photo, split) for photo in load_sample_images().images]


def make(folder: Path, counts: dict[str, int], size: int = SIZE, seed: int = 0) -> None:
    """Write images and instances of both splits into `folder`, `counts` images each.

    Raises:
        ValueError: `size` leaves no room for a digit, or there is not one image.
        OSError: something cannot be written.
    """
    if size < 2 * SIDES[0] or min(counts.values()) < 1:
        raise ValueError(
            f"size={size}, counts={counts}: at least {2 * SIDES[0]} pixels and one image of each"
        )
    for number, (split, name) in enumerate(SPLITS.items()):
        stock, rng = Stock(split), np.random.default_rng([seed, number])
        images = [_image(stock, size, rng) for _ in range(counts[split])]
        where = folder / name
        where.mkdir(parents=True, exist_ok=True)
        for index, (pixels, _) in enumerate(images, start=1):
            Image.fromarray(pixels).save(where / f"{index:06d}.jpg", quality=90)
        write_json(folder / "annotations" / f"instances_{name}.json", _instances(images))


def _part(photograph: Pixels, split: str) -> Pixels:
    """Return the split's part of a photograph: its left, or its right."""
    border = round(photograph.shape[1] * (1 - VAL_SHARE))
    return photograph[:, border:] if split == "val" else photograph[:, :border]


def _image(
    stock: Stock, size: int, rng: np.random.Generator
) -> tuple[Pixels, list[tuple[int, Mask]]]:
    """Return one image `(size, size, 3)`, and class and mask of each digit on it."""
    pixels = _background(stock, size, rng)
    found: list[tuple[int, Mask]] = []
    taken = np.zeros((size, size), bool)
    for _ in range(rng.integers(1, MOST_DIGITS + 1)):
        index = rng.integers(len(stock.digits))
        ink = _enlarged(stock.digits[index], int(rng.integers(SIDES[0], SIDES[1] + 1)), size)
        place = _place(ink.shape[0], taken, rng)
        if place is None:
            continue
        cover = np.zeros((size, size))
        cover[place] = ink
        taken[place] = True
        pixels = _painted(pixels, cover, rng)
        found.append((int(stock.classes[index]), (cover > INK).astype(np.uint8)))
    return pixels, found


def _background(stock: Stock, size: int, rng: np.random.Generator) -> Pixels:
    photograph = stock.photographs[rng.integers(len(stock.photographs))]
    height, width = photograph.shape[:2]
    side = int(rng.integers(min(size, height, width), min(height, width, 2 * size) + 1))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    cut = Image.fromarray(photograph[top : top + side, left : left + side])
    return np.asarray(cut.resize((size, size), Image.Resampling.BILINEAR))


def _enlarged(digit: NDArray[np.float64], side: int, size: int) -> NDArray[np.float64]:
    side = min(side, size // 2)
    small = Image.fromarray((digit * 255).astype(np.uint8))
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC)) / 255


def _place(
    side: int, taken: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[slice, slice] | None:
    """Return where a digit of this side overlaps no other, None where no such place is found."""
    for _ in range(TRIES):
        top, left = rng.integers(0, len(taken) - side + 1, size=2)
        place = slice(top, top + side), slice(left, left + side)
        if not taken[place].any():
            return place
    return None


def _painted(pixels: Pixels, cover: NDArray[np.float64], rng: np.random.Generator) -> Pixels:
    """Blend a colour over the image where there is ink: light on dark, dark on light."""
    under = pixels[cover > INK].mean()
    shade = rng.uniform(0, 60, 3) if under > 127 else rng.uniform(195, 255, 3)
    blended = pixels + cover[..., None] * (shade - pixels)
    return blended.round().astype(np.uint8)


def _instances(images: Sequence[tuple[Pixels, list[tuple[int, Mask]]]]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for image_id, (_, digits) in enumerate(images, start=1):
        for label, mask in digits:
            rows.append(_annotation(len(rows) + 1, image_id, label, mask))
    pictures = [
        {"id": i, "file_name": f"{i:06d}.jpg", "width": len(p[0]), "height": len(p)}
        for i, (p, _) in enumerate(images, start=1)
    ]
    categories = [{"id": digit + 1, "name": str(digit)} for digit in range(10)]
    return {"images": pictures, "annotations": rows, "categories": categories}


def _annotation(number: int, image_id: int, label: int, mask: Mask) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    return {
        "id": number,
        "image_id": image_id,
        "category_id": label + 1,
        "bbox": [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": encoded(mask),
    }


def main(words: Sequence[str] | None = None) -> int:
    """Make the data set as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m repghost.detection.tiny", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", type=Path, help="where to write it, such as data/coco_tiny")
    for split, count in COUNTS.items():
        parser.add_argument(f"--{split}", type=int, default=count, help=f"images (default {count})")
    parser.add_argument("--size", type=int, default=SIZE, help=f"pixels a side (default {SIZE})")
    parser.add_argument("--seed", type=int, default=0, help="of everything in it (default 0)")
    asked = parser.parse_args(words)
    counts = {split: getattr(asked, split) for split in COUNTS}
    try:
        make(asked.folder, counts, asked.size, asked.seed)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"folder": str(asked.folder), "size": asked.size, **counts}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
