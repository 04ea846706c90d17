"""A folder with ImageNet's layout, made from real photographs: some of its files are awkward."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = tuple(f"n{1440764 + 7 * number:08}" for number in range(10))
SIZES = ((500, 375), (375, 500), (640, 480), (300, 225), (256, 256))
CORRUPT, CUT, GREY, CMYK, HUGE, TINY, PNG = (
    f"{CLASSES[number]}/{name}.JPEG"
    for number, name in enumerate(("corrupt", "cut", "grey", "cmyk", "huge", "tiny", "png"))
)


def photographs() -> list[Image.Image]:
    """Return scikit-learn's two photographs, 640 x 427."""
    from sklearn.datasets import load_sample_images

    return [Image.fromarray(pixels) for pixels in load_sample_images().images]


def pieces(count: int, seed: int = 0) -> Iterator[Image.Image]:
    """Yield different pieces of the photographs, in ImageNet's usual sizes."""
    rng, whole = np.random.default_rng(seed), photographs()
    for number in range(count):
        left, top = (int(rng.integers(0, most)) for most in (240, 160))
        box = (left, top, left + 400, top + 267)
        yield whole[number % 2].resize(SIZES[number % len(SIZES)], Image.Resampling.BICUBIC, box)


def make_image_folder(root: Path, train: int = 300, val: int = 60) -> Path:
    """Write `train` and `val` JPEGs in ten classes and, for training, seven awkward ones."""
    for split, count in (("train", train), ("val", val)):
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
        for number, image in enumerate(pieces(count, seed=count)):
            name = CLASSES[number % len(CLASSES)]
            image.save(root / split / name / f"{name}_{number}.JPEG", quality=85)
    make_awkward(root / "train")
    return root


def make_awkward(folder: Path) -> None:
    """Write one image each: no JPEG, cut off, grey, CMYK, huge, tiny, and a PNG called JPEG."""
    image = next(pieces(1, seed=7))
    (folder / CORRUPT).write_text("not an image")
    image.save(folder / CUT)
    (folder / CUT).write_bytes((folder / CUT).read_bytes()[:9000])
    image.convert("L").save(folder / GREY)
    image.convert("CMYK").save(folder / CMYK)
    image.resize((4000, 3000)).save(folder / HUGE, quality=60)
    image.resize((3, 2)).save(folder / TINY)
    image.save(folder / PNG, format="PNG")
