"""Images in folders, in packed shards, or of any data set that timm reads, as on ImageNet.

What a batch holds depends on (seed, epoch, step) alone: every image is augmented with a random
state made from (seed, epoch, index), so any number of worker processes gives the same batches and
an epoch can be entered in its middle.
"""

from collections.abc import Iterator
from typing import Any

import torch
from timm.data import create_transform
from torch import Tensor
from torch.utils.data import Dataset

from repghost.training.batches import Batch, Place, seed_everything
from repghost.training.crops import UNREADABLE, as_image
from repghost.training.fast import FastSet
from repghost.training.feed import Feed, Pieces
from repghost.training.pictures import Pictures, training_pictures, validation_pictures
from repghost.training.pool import blank
from repghost.training.rows import ALL, Rows
from repghost.training.spec import DataSpec, RecipeSpec

Sample = tuple[Tensor, int] | str  # the path of an image that cannot be read


class FolderSource:
    """Training and validation batches of photographs; see `batches.Source`."""

    def __init__(self, data: DataSpec, recipe: RecipeSpec, seed: int, rows: Rows = ALL) -> None:
        self._train: Pieces[Batch] = _train_set(training_pictures(data), data, recipe, seed)
        self._val = FolderVal(data, recipe.batch_size, rows)
        self._feed, self._seed = Feed.of(data, rows), seed
        self.batch_size = min(recipe.batch_size, len(self._train))
        self.steps = len(self._train) // self.batch_size

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        return self._feed.epoch(self._train, self._seed, epoch, self.batch_size, start)

    def val(self) -> Iterator[Batch]:
        return iter(self._val)


class FolderVal:
    """The validation images once, unaugmented, in batches; `images` is how many there are."""

    def __init__(self, data: DataSpec, batch_size: int, rows: Rows = ALL) -> None:
        pictures, transform = validation_pictures(data), _val_transform(data)
        self._set = ImageSet(pictures, transform, 0, _float_bytes(data))
        self.images, self.batch_size = len(self._set), min(batch_size, len(self._set))
        self._feed = Feed.of(data, rows)

    def __iter__(self) -> Iterator[Batch]:
        places = [(0, index) for index in range(self.images)]
        return self._feed.batches(self._set, places, self.batch_size)


def _train_set(
    pictures: Pictures, data: DataSpec, recipe: RecipeSpec, seed: int
) -> "FastSet | ImageSet":
    if data.decode == "fast":
        return FastSet(pictures, data, recipe, seed)
    return ImageSet(pictures, _train_transform(data, recipe), seed, _float_bytes(data))


def _float_bytes(data: DataSpec) -> int:
    """Return the bytes of one image as float32."""
    return 4 * data.in_chs * data.input_size**2


class ImageSet(Dataset[Sample]):
    """Augmented images by (epoch, index); one that cannot be read comes back as its path."""

    def __init__(self, pictures: Pictures, transform: Any, seed: int, image_bytes: int) -> None:
        self._pictures, self._transform, self._seed = pictures, transform, seed
        self.image_bytes = image_bytes

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, place: Place) -> Sample:
        epoch, index = place
        try:
            content, target = self._pictures.content(index)
            image = as_image(content)
            seed_everything(self._seed, epoch, index)
            return self._transform(image), target  # a crop of an image of one pixel may be empty
        except UNREADABLE:
            return self._pictures.name(index)

    @staticmethod
    def collate(samples: list[Sample]) -> Batch:
        """Stack what could be read; images is `(0,)` where nothing could."""
        good = [sample for sample in samples if not isinstance(sample, str)]
        skipped = [sample for sample in samples if isinstance(sample, str)]
        if not good:
            return Batch(torch.empty(0), torch.empty(0, dtype=torch.long), skipped)
        images, targets = zip(*good, strict=True)
        room = blank((len(images), *images[0].shape), images[0].dtype)
        return Batch(torch.stack(images, out=room), torch.tensor(targets), skipped)


def _train_transform(data: DataSpec, recipe: RecipeSpec) -> Any:
    return create_transform(
        (data.in_chs, data.input_size, data.input_size),
        is_training=True,
        scale=(recipe.scale_min, 1.0),
        hflip=recipe.hflip,
        color_jitter=recipe.color_jitter,
        auto_augment=recipe.auto_augment,
        interpolation="random",
        re_prob=recipe.random_erasing,
        re_mode="pixel",
    )


def _val_transform(data: DataSpec) -> Any:
    """Return timm's transform to pixels, by Pillow's bicubic whatever `decode` is.

    With decode=fast without the normalisation, which the device does.
    """
    size = (data.in_chs, data.input_size, data.input_size)
    on_device = data.decode == "fast"
    return create_transform(
        size, crop_pct=data.crop_pct, interpolation="bicubic", use_prefetcher=on_device
    )
