"""`data.decode=fast`: batches of uint8 crops, cut and resized in one go, finished on the device."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from timm.data import create_transform
from torch import Tensor
from torch.utils.data import Dataset

from repghost.training import draws
from repghost.training.batches import Batch, Place, seed_everything
from repghost.training.crops import UNREADABLE, as_image, cropped, resize_into
from repghost.training.finish import Finish
from repghost.training.pictures import Pictures
from repghost.training.pool import blank
from repghost.training.spec import DataSpec, RecipeSpec

NOISE_SEEDS = 2**53
Row = list[float]  # the numbers drawn for one image
Policy = Callable[[Image.Image], Image.Image]


class FastSet(Dataset[Batch]):
    """Batches of augmented training images by (epoch, index), as the device finishes them.

    Sizes, places, flips, jitter and erasing are distributed as in timm's training transform.
    """

    def __init__(self, pictures: Pictures, data: DataSpec, recipe: RecipeSpec, seed: int) -> None:
        self._pictures, self._recipe, self._seed = pictures, recipe, seed
        self._size = data.input_size
        self.image_bytes = 3 * self._size**2
        self._policy = _policy(data, recipe)
        self._factor = recipe.color_jitter if _jitters(recipe) else 0.0

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitems__(self, places: Sequence[Place]) -> Batch:
        """Return the images at `places`, in their order, without those that cannot be read."""
        drawn = draws.uniforms(self._seed, places)
        images = blank((len(places), self._size, self._size, 3), torch.uint8)
        targets, kept, skipped = list[int](), list[int](), list[str]()
        for row, (place, numbers) in enumerate(zip(places, drawn.tolist(), strict=True)):
            try:
                targets.append(self._write(place, numbers, images[len(kept)]))
                kept.append(row)
            except UNREADABLE:
                skipped.append(self._pictures.name(place[1]))
        return Batch(
            images[: len(kept)].permute(0, 3, 1, 2),
            torch.tensor(targets, dtype=torch.long),
            skipped,
            self._finish(drawn[kept]),
        )

    @staticmethod
    def collate(batch: Batch) -> Batch:
        """Return what `__getitems__` made: it comes as a batch."""
        return batch

    def _write(self, place: Place, numbers: Row, image: Tensor) -> int:
        """Write one image, cropped and resized, to `image` (H, W, 3); return its class."""
        content, target = self._pictures.content(place[1])
        choose = partial(
            draws.crop_box, draws=numbers[draws.CROP], scale_min=self._recipe.scale_min
        )
        pixels = cropped(content, self._size, choose)
        bilinear = numbers[draws.INTERPOLATION] < 0.5
        out = image.permute(2, 0, 1)[None]
        resize_into(pixels, "bilinear" if bilinear else "bicubic", out)
        if self._policy:
            seed_everything(self._seed, *place)
            changed = self._policy(as_image(image.numpy()))
            image.copy_(torch.from_numpy(np.array(changed)))
        return target

    def _finish(self, drawn: NDArray[np.float64]) -> Finish:
        """Say what is left to do to the images that `drawn` `(N, DRAWS)` belongs to."""
        flips = torch.from_numpy(drawn[:, draws.FLIP] < self._recipe.hflip)
        erased = [
            (row, *box, int(numbers[draws.NOISE] * NOISE_SEEDS))
            for row, numbers in enumerate(drawn.tolist())
            if numbers[draws.ERASE] < self._recipe.random_erasing
            and (box := draws.erased_box(self._size, numbers[draws.ERASED]))
        ]
        boxes = torch.tensor(erased, dtype=torch.long).reshape(-1, 6)
        if not self._factor:
            return Finish(flips, None, None, boxes)
        least = max(0.0, 1 - self._factor)
        factors = least + (1 + self._factor - least) * drawn[:, draws.FACTORS]
        return Finish(flips, torch.from_numpy(factors).float(), _orders(drawn), boxes)


def _orders(drawn: NDArray[np.float64]) -> Tensor:
    """(N, DRAWS) -> (N, 3): one of the six orders of brightness, contrast and saturation each."""
    permutations = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    return permutations[torch.from_numpy((drawn[:, draws.ORDER] * 6).astype(np.int64))]


def _jitters(recipe: RecipeSpec) -> bool:
    """Whether colours are jittered: with a policy timm leaves them to it, unless it says "3a"."""
    return not recipe.auto_augment or "3a" in recipe.auto_augment


def _policy(data: DataSpec, recipe: RecipeSpec) -> Policy | None:
    """Return timm's RandAugment, AugMix or AutoAugment on Pillow's images, None without one."""
    if not recipe.auto_augment:
        return None
    policy: Policy
    _, policy, _ = create_transform(
        (data.in_chs, data.input_size, data.input_size),
        is_training=True,
        color_jitter=0.0,
        auto_augment=recipe.auto_augment,
        interpolation="random",
        separate=True,
    )
    return policy
