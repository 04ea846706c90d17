"""The step on the device: exact where nothing is random, like Pillow's where something is."""

from itertools import permutations

import pytest
import torch
from imagefolder import pieces
from PIL import Image
from timm.data import create_transform
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torchvision.transforms import functional

from repghost.training.finish import Finish, finished

CPU, SIDE = torch.device("cpu"), 96
NAMES = ("adjust_brightness", "adjust_contrast", "adjust_saturation")


def images(count: int = 4) -> list[Image.Image]:
    return [image.resize((SIDE, SIDE)) for image in pieces(count)]


def batch(pictures: list[Image.Image]) -> torch.Tensor:
    return torch.stack([functional.pil_to_tensor(image) for image in pictures])


def finish(count: int = 4, **parts: torch.Tensor) -> Finish:
    nothing = {
        "flips": torch.zeros(count, dtype=torch.bool),
        "factors": None,
        "order": None,
        "erased": torch.empty((0, 6), dtype=torch.long),
    }
    return Finish(**{**nothing, **parts})


def pixels(normalised: torch.Tensor) -> torch.Tensor:
    """Undo the normalisation: (N, 3, H, W) in 0..255."""
    mean, std = (
        torch.tensor(n)[:, None, None] for n in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    )
    return (normalised * std + mean) * 255


def test_normalised_pixels_are_timms_to_the_bit():
    transform = create_transform((3, SIDE, SIDE), crop_pct=1.0)
    theirs = torch.stack([transform(image) for image in images()])
    assert torch.equal(finished(batch(images()), None, CPU), theirs)
    assert torch.equal(finished(batch(images()), finish(), CPU), theirs)


def test_floats_are_left_as_they_are():
    ready = torch.randn(2, 3, 4, 4)
    assert torch.equal(finished(ready, None, CPU), ready)


def test_only_the_images_that_are_named_are_mirrored():
    flips = torch.tensor([True, False, False, True])
    plain, mirrored = (
        finished(batch(images()), finish(flips=f), CPU) for f in (~flips & flips, flips)
    )
    for row, flip in enumerate(flips):
        assert torch.equal(mirrored[row], plain[row].flip(-1) if flip else plain[row])


@pytest.mark.parametrize("order", permutations(range(3)))
def test_colour_jitter_is_pillows_within_one_grey_level(order):
    factors = torch.tensor([[0.6, 1.4, 0.7], [1.3, 0.65, 1.4], [1.4, 1.4, 1.4], [0.6, 0.6, 0.6]])
    jittered = finished(
        batch(images()), finish(factors=factors, order=torch.tensor([order] * 4)), CPU
    )
    for image, row, found in zip(images(), factors.tolist(), pixels(jittered), strict=True):
        for kind in order:
            image = getattr(functional, NAMES[kind])(image, row[kind])
        error = (found - functional.pil_to_tensor(image)).abs()
        assert error.max() < 1.5
        assert (error > 0.5).float().mean() < 0.01


def test_each_image_is_jittered_in_its_own_order():
    order = torch.tensor(list(permutations(range(3)))[:4])
    factors = torch.tensor([[0.6, 1.4, 0.7]] * 4)
    together = finished(batch(images()), finish(factors=factors, order=order), CPU)
    for row in range(4):
        parts = {"factors": factors[row : row + 1], "order": order[row : row + 1]}
        alone = finished(batch(images())[row : row + 1], finish(1, **parts), CPU)
        assert torch.allclose(alone[0], together[row], atol=1e-5)


def test_erased_rectangles_hold_normal_noise_and_nothing_else_changes():
    plain = finished(batch(images()), finish(), CPU)
    erased = torch.tensor([[1, 10, 20, 60, 50, 77], [3, 0, 0, 30, 96, 78]])
    found = finished(batch(images()), finish(erased=erased), CPU)
    untouched = torch.ones_like(plain, dtype=torch.bool)
    for row, top, left, height, width, _ in erased.tolist():
        hole = found[row, :, top : top + height, left : left + width]
        assert abs(float(hole.mean())) < 0.05 and abs(float(hole.std()) - 1) < 0.05
        untouched[row, :, top : top + height, left : left + width] = False
    assert torch.equal(found[untouched], plain[untouched])


def test_the_noise_depends_on_its_seed_and_not_on_the_rest_of_the_batch():
    one = torch.tensor([[0, 5, 5, 20, 20, 11]])
    two = torch.tensor([[1, 0, 0, 9, 9, 12], [3, 5, 5, 20, 20, 11]])
    first, second = (finished(batch(images()), finish(erased=e), CPU) for e in (one, two))
    hole = (slice(None), slice(5, 25), slice(5, 25))
    assert torch.equal(first[0][hole], second[3][hole])


def test_the_batch_itself_is_left_as_it_was_whatever_its_memory_format():
    last = batch(images()).to(memory_format=torch.channels_last)
    whole = finish(flips=torch.tensor([True] * 4), erased=torch.tensor([[0, 0, 0, 9, 9, 1]]))
    found = finished(last, whole, CPU)
    assert torch.equal(last, batch(images()))
    assert torch.equal(found, finished(batch(images()), whole, CPU))
