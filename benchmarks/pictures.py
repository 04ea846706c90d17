"""An image folder of 500 x 375 JPEGs, cut out of the photographs that scikit-learn ships.

And how they are augmented for training.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from repghost.training.spec import RecipeSpec

SIZE = (500, 375)
QUALITY = 84  # files of some 50 KB
VAL = 64  # images, which are in training too
CLASSES = 10
AUGMENTED = RecipeSpec(  # as recipe=paper augments
    shift_px=0, scale_min=0.08, hflip=0.5, color_jitter=0.4, random_erasing=0.2
)


def write_pictures(folder: Path, images: int) -> Path:
    """Write so many training images, and the first of them for validation; return the folder."""
    for number, image in enumerate(_pieces(images)):
        for split in ("train", "val")[: 2 if number < VAL else 1]:
            home = folder / split / f"class{number % CLASSES}"
            home.mkdir(parents=True, exist_ok=True)
            image.save(home / f"{number}.jpg", quality=QUALITY)
    return folder


def _pieces(count: int) -> Iterable[Any]:
    """Yield different pieces, two thirds of the sides, of two photographs."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    whole = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    for number in range(count):
        left, top = int(rng.integers(0, 140)), int(rng.integers(0, 52))
        box = (left, top, left + SIZE[0], top + SIZE[1])
        yield whole[number % 2].resize(SIZE, Image.Resampling.BICUBIC, box)
