"""What chance decides about an image: uniform numbers that (seed, epoch, index) alone make.

They are made for a whole batch at once and without a generator's state, so that it does not matter
which process asks for which image when. The distributions are those of timm's training transform:
`RandomResizedCropAndInterpolation`, `RandomHorizontalFlip`, `ColorJitter` and `RandomErasing`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from repghost.training.batches import Place, mix

ATTEMPTS = 10  # at a box that fits, as in timm
BOX_DRAWS = 2 * ATTEMPTS + 2  # area and aspect of each attempt, then row and column
CROP = slice(0, BOX_DRAWS)
INTERPOLATION, FLIP, ORDER, ERASE, NOISE = range(BOX_DRAWS, BOX_DRAWS + 5)
FACTORS = slice(NOISE + 1, NOISE + 4)
ERASED = slice(FACTORS.stop, FACTORS.stop + BOX_DRAWS)
DRAWS = ERASED.stop

CROP_ASPECT = (3 / 4, 4 / 3)
ERASED_AREA, ERASED_ASPECT = (0.02, 1 / 3), (0.3, 1 / 0.3)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Box(NamedTuple):
    """A rectangle in pixels."""

    top: int
    left: int
    height: int
    width: int


def uniforms(seed: int, places: Sequence[Place], count: int = DRAWS) -> NDArray[np.float64]:
    """Return `(N, count)` numbers in [0, 1), for N places (epoch, index) a row each."""
    epochs, indices = np.asarray(places, dtype=np.uint64).reshape(-1, 2).T
    state = _mixed(np.uint64(mix(seed)) ^ (epochs + GOLDEN))
    state = _mixed(state ^ (indices + GOLDEN))
    steps = np.arange(1, count + 1, dtype=np.uint64) * GOLDEN
    return (_mixed(state[:, None] + steps) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def crop_box(height: int, width: int, draws: Sequence[float], scale_min: float) -> Box:
    """Return a random crop of an image, of `scale_min` to 1 of its area and aspect 3:4 to 4:3.

    Where none of ten attempts fits it is the largest central crop of an allowed aspect.
    """
    found = _fitting(height, width, draws, (scale_min, 1.0), CROP_ASPECT)
    return found or _central(height, width)


def erased_box(size: int, draws: Sequence[float]) -> Box | None:
    """Return the rectangle that is erased of a square image, None where no attempt fitted."""
    return _fitting(size - 1, size - 1, draws, ERASED_AREA, ERASED_ASPECT, size)


def _fitting(
    height: int,
    width: int,
    draws: Sequence[float],
    areas: tuple[float, float],
    aspects: tuple[float, float],
    size: int | None = None,
) -> Box | None:
    """Return the first box drawn that is at most `height` x `width`, placed at random.

    `size` is the side of the square that the areas are shares of and the box is placed in, where
    that is not `height` x `width` itself.
    """
    rows, columns = (size, size) if size else (height, width)
    least, most = math.log(aspects[0]), math.log(aspects[1])
    for area, aspect in zip(draws[: 2 * ATTEMPTS : 2], draws[1 : 2 * ATTEMPTS : 2], strict=True):
        target = (areas[0] + (areas[1] - areas[0]) * area) * rows * columns
        ratio = math.exp(least + (most - least) * aspect)
        across = max(1, round(math.sqrt(target * ratio)))  # timm fails on an image of one pixel
        down = max(1, round(math.sqrt(target / ratio)))
        if across <= width and down <= height:
            top = int(draws[-2] * (rows - down + 1))
            return Box(top, int(draws[-1] * (columns - across + 1)), down, across)
    return None


def _central(height: int, width: int) -> Box:
    narrowest, widest = CROP_ASPECT
    down, across = height, width
    if width / height < narrowest:
        down = round(width / narrowest)
    elif width / height > widest:
        across = round(height * widest)
    return Box((height - down) // 2, (width - across) // 2, down, across)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread the bits of each number (the last steps of splitmix64)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
