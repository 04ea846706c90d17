"""decode=fast gives timm's pixels and distribution, whoever reads and from wherever he starts."""

import io

import numpy as np
import pytest
import torch
from imagefolder import CORRUPT, CUT, photographs, pieces
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import functional
from torchvision.transforms.functional import InterpolationMode

from repghost.training import draws
from repghost.training.batches import seed_everything
from repghost.training.crops import as_image, cropped, resize_into
from repghost.training.data import open_source
from repghost.training.draws import Box
from repghost.training.fast import FastSet
from repghost.training.spec import DataSpec, RecipeSpec

RECIPE = RecipeSpec(
    batch_size=32,
    warmup_epochs=0,
    hflip=0.5,
    scale_min=0.08,
    color_jitter=0.4,
    random_erasing=0.2,
)
CPU = torch.device("cpu")


def encoded(image: Image.Image, quality: int = 92) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


class Held:
    """Pictures in memory."""

    classes = None

    def __init__(self, images: list[bytes]) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def content(self, index: int) -> tuple[bytes, int]:
        return self._images[index], index % 10

    def name(self, index: int) -> str:
        return f"image {index}"


def resized(pixels: np.ndarray, interpolation: str, size: int) -> np.ndarray:
    out = torch.empty(1, size, size, 3, dtype=torch.uint8)
    resize_into(pixels, interpolation, out.permute(0, 3, 1, 2))
    return out[0].numpy()


def pillows(image: Image.Image, box: Box, interpolation: str, size: int) -> np.ndarray:
    mode = InterpolationMode(interpolation)
    return np.asarray(functional.resized_crop(image, *box, (size, size), mode))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("box", [Box(40, 60, 300, 330), Box(0, 0, 375, 500), Box(200, 30, 80, 70)])
def test_a_crop_is_pillows_within_one_grey_level(box, interpolation):
    content = encoded(next(pieces(1)))
    ours = resized(cropped(content, 224, lambda height, width: box), interpolation, 224)
    error = ours.astype(int) - pillows(as_image(content), box, interpolation, 224)
    assert np.abs(error).max() <= 1
    assert np.abs(error).mean() < 0.3


@pytest.mark.parametrize(("scale", "side"), [(2, 500), (4, 1000), (8, 2000)])
def test_a_large_jpeg_is_decoded_at_a_fraction_and_hardly_differs(scale, side):
    content = encoded(photographs()[0].resize((2560, 2048), Image.Resampling.LANCZOS))
    box = Box(17, 33, side, side)
    fraction = cropped(content, 224, lambda height, width: box)
    assert abs(fraction.shape[0] - side / scale) <= 1
    ours = resized(fraction, "bilinear", 224).astype(float)
    error = ours - pillows(as_image(content), box, "bilinear", 224)
    assert abs(error.mean()) < 0.3
    assert np.abs(error).mean() < 3


def test_pixels_are_distributed_as_in_timm():
    contents = [encoded(image) for image in pieces(20)]
    size, rounds = 64, 20
    fast = FastSet(Held(contents), DataSpec("folder", "x", input_size=size), RECIPE, 0)
    transform = create_transform(
        (3, size, size), is_training=True, scale=(0.08, 1.0), re_prob=0.2, re_mode="pixel"
    )
    ours, theirs = [], []
    for epoch in range(rounds):
        batch = fast.__getitems__([(epoch, index) for index in range(len(contents))])
        ours += list(batch.on(CPU))
        for index, content in enumerate(contents):
            seed_everything(9, epoch, index)
            theirs.append(transform(as_image(content)))
    for figure in (torch.mean, torch.std, roughness):
        one, other = (torch.stack([figure(image) for image in images]) for images in (ours, theirs))
        spread = torch.sqrt((one.var() + other.var()) / len(one))
        assert abs(one.mean() - other.mean()) < 3 * spread, figure.__name__
        assert 0.8 < one.std() / other.std() < 1.25, figure.__name__


def roughness(image: torch.Tensor) -> torch.Tensor:
    """The mean step from pixel to pixel: what another interpolation would change first."""
    return image.diff(dim=-1).abs().mean()


def test_flips_interpolations_orders_and_erasing_come_as_often_as_in_timm():
    drawn = draws.uniforms(5, [(0, index) for index in range(4000)])
    fast = FastSet(Held([]), DataSpec("folder", "x", input_size=32), RECIPE, 5)
    finish = fast._finish(drawn)
    assert finish.flips.float().mean() == pytest.approx(0.5, abs=0.03)
    assert len(finish.erased) / 4000 == pytest.approx(0.2, abs=0.03)
    assert (drawn[:, draws.INTERPOLATION] < 0.5).mean() == pytest.approx(0.5, abs=0.03)
    assert finish.factors.min() >= 0.6 and finish.factors.max() <= 1.4
    assert finish.factors.mean() == pytest.approx(1.0, abs=0.01)
    orders = np.unique(finish.order.numpy(), axis=0, return_counts=True)[1]
    assert len(orders) == 6 and orders.min() > 4000 / 6 * 0.85


def spec(folder, **values) -> DataSpec:
    return DataSpec("folder", str(folder), **{"input_size": 48, "decode": "fast", **values})


@pytest.mark.parametrize("auto_augment", [None, "rand-m9-mstd0.5", "3a"])
def test_batches_are_the_same_with_any_number_of_workers_and_from_any_step(
    image_folder, auto_augment
):
    recipe = RecipeSpec(**{**RECIPE.__dict__, "batch_size": 64, "auto_augment": auto_augment})
    whole = list(open_source(spec(image_folder), recipe, 3).train(1, 2))
    for workers, start in ((1, 2), (2, 3)):
        parts = list(open_source(spec(image_folder, workers=workers), recipe, 3).train(1, start))
        assert len(parts) == 6 - start - 2
        for one, other in zip(whole[start - 2 :], parts, strict=True):
            assert torch.equal(one.on(CPU), other.on(CPU))
            assert torch.equal(one.targets, other.targets)


def test_an_image_does_not_depend_on_the_others_of_its_batch():
    contents = [encoded(image) for image in pieces(4)]
    fast = FastSet(Held(contents), DataSpec("folder", "x", input_size=48), RECIPE, 0)
    together = fast.__getitems__([(epoch, i) for epoch in range(3) for i in range(4)]).on(CPU)
    for row in range(12):
        alone = fast.__getitems__([divmod(row, 4)]).on(CPU)
        assert torch.allclose(alone[0], together[row], atol=1e-5)


def test_every_kind_of_file_is_read_and_what_cannot_be_is_named(image_folder):
    recipe = RecipeSpec(**{**RECIPE.__dict__, "batch_size": 307})
    (batch,) = open_source(spec(image_folder), recipe, 0).train(0, 0)
    assert len(batch.targets) == len(batch.on(CPU)) == 305
    assert sorted(batch.skipped) == [str(image_folder / "train" / n) for n in (CORRUPT, CUT)]


def test_validation_is_the_same_to_the_bit_however_training_images_are_decoded(image_folder):
    fast, timms = (
        [batch.on(CPU) for batch in open_source(spec(image_folder, decode=d), RECIPE, 0).val()]
        for d in ("fast", "timm")
    )
    assert sum(map(len, fast)) == 60
    for one, other in zip(fast, timms, strict=True):
        assert torch.equal(one, other)


def test_another_decoder_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"data\.decode=dali: allowed are timm, fast"):
        DataSpec("folder", "x", decode="dali")
