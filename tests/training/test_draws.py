"""What is drawn for an image depends on (seed, epoch, index) and is distributed as in timm."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp, kstest
from timm.data.random_erasing import RandomErasing
from timm.data.transforms import RandomResizedCropAndInterpolation

from repghost.training import draws

COUNT = 4000
ALIKE = 1e-3  # a p-value; the seeds are fixed, so that a test fails always or never


def places(count: int, epoch: int = 0) -> list[tuple[int, int]]:
    return [(epoch, index) for index in range(count)]


def test_a_row_depends_on_its_own_place_and_the_seed_alone():
    together = draws.uniforms(3, [(0, 5), (2, 9), (7, 1_281_166)])
    assert np.array_equal(draws.uniforms(3, [(2, 9)])[0], together[1])
    assert not np.array_equal(draws.uniforms(4, [(2, 9)])[0], together[1])
    assert len(np.unique(draws.uniforms(3, [(e, i) for e in range(9) for i in range(9)]))) == (
        81 * draws.DRAWS
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_numbers_are_uniform_along_rows_and_down_columns(axis):
    numbers = draws.uniforms(0, places(COUNT))
    assert numbers.min() >= 0 and numbers.max() < 1
    lines = numbers[:60] if axis else numbers.T
    assert min(kstest(line, "uniform").pvalue for line in lines) > ALIKE / len(lines)


def test_numbers_of_one_image_do_not_go_with_those_of_the_next_or_of_the_next_epoch():
    now, later = draws.uniforms(0, places(COUNT)), draws.uniforms(0, places(COUNT, epoch=1))
    for one, other in ((now[:-1], now[1:]), (now, later), (now[:, :-1], now[:, 1:])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.01


def crop_figures(boxes, height: int, width: int) -> np.ndarray:
    """Area's share, aspect, and the shares of the free room above and on the left, a row a box."""
    top, left, down, across = np.array(boxes, dtype=float).T
    above = top / np.maximum(height - down, 1)
    before = left / np.maximum(width - across, 1)
    return np.stack([down * across / (height * width), across / down, above, before])


@pytest.mark.parametrize(
    ("height", "width", "scale_min"),
    [(375, 500, 0.08), (256, 341, 0.08), (500, 375, 0.35), (60, 90, 0.9), (30, 300, 0.08)],
)
def test_crops_are_distributed_as_in_timm(height, width, scale_min):
    random.seed(1)
    image = Image.new("L", (width, height))
    params = RandomResizedCropAndInterpolation.get_params
    theirs = [params(image, (scale_min, 1.0), (3 / 4, 4 / 3)) for _ in range(COUNT)]
    ours = [
        draws.crop_box(height, width, row[draws.CROP], scale_min)
        for row in draws.uniforms(1, places(COUNT)).tolist()
    ]
    figures = zip(*(crop_figures(b, height, width) for b in (ours, theirs)), strict=True)
    for one, other in figures:
        assert ks_2samp(one, other).pvalue > ALIKE


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (10, 400), (400, 10)])
def test_a_crop_lies_within_the_image_however_small_or_long_it_is(height, width):
    for row in draws.uniforms(0, places(200)).tolist():
        box = draws.crop_box(height, width, row[draws.CROP], 0.08)
        assert box.height >= 1 and box.width >= 1
        assert 0 <= box.top <= height - box.height
        assert 0 <= box.left <= width - box.width


def test_erased_rectangles_are_distributed_as_in_timm():
    random.seed(2)
    side, erase = 64, RandomErasing(1.0, mode="pixel", device="cpu")
    theirs = []
    for _ in range(COUNT // 2):
        rows, columns = erase(torch.zeros(1, side, side))[0].nonzero().T
        top, left = int(rows.min()), int(columns.min())
        theirs.append((top, left, int(rows.max()) + 1 - top, int(columns.max()) + 1 - left))
    ours = [
        draws.erased_box(side, row[draws.ERASED])
        for row in draws.uniforms(2, places(COUNT // 2)).tolist()
    ]
    for one, other in zip(*(crop_figures(b, side, side) for b in (ours, theirs)), strict=True):
        assert ks_2samp(one, other).pvalue > ALIKE
