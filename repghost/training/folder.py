"""Images in folders, or any data set that timm reads, with ImageNet's transforms.

What a batch holds depends on (seed, epoch, step) alone: every image is augmented with a random
state made from (seed, epoch, index), so any number of worker processes gives the same batches and
an epoch can be entered in its middle.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from timm.data import create_dataset, create_transform
from timm.utils.misc import natural_key
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from repghost.training.batches import Batch, seed_everything, shuffled
from repghost.training.rows import ALL, Rows
from repghost.training.spec import DataSpec, RecipeSpec, split_folder, val_classes, val_folder

Sample = tuple[Tensor, int] | str  # the path of an image that cannot be read
Place = tuple[int, int]  # epoch, index


class FolderSource:
    """Training and validation batches of image files; see `batches.Source`."""

    def __init__(self, data: DataSpec, recipe: RecipeSpec, seed: int, rows: Rows = ALL) -> None:
        self._train = ImageSet(_training_images(data), _train_transform(data, recipe), seed)
        self._val = FolderVal(data, recipe.batch_size, rows)
        self._feed, self._seed = Feed.of(data, rows), seed
        self.batch_size = min(recipe.batch_size, len(self._train))
        self.steps = len(self._train) // self.batch_size

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        order = shuffled(len(self._train), self._seed, epoch).tolist()
        first, last = start * self.batch_size, self.steps * self.batch_size
        places = [(epoch, index) for index in order[first:last]]
        return self._feed.batches(self._train, places, self.batch_size)

    def val(self) -> Iterator[Batch]:
        return iter(self._val)


class FolderVal:
    """The validation images once, unaugmented, in batches; `images` is how many there are."""

    def __init__(self, data: DataSpec, batch_size: int, rows: Rows = ALL) -> None:
        self._set = ImageSet(_validation_images(data), _val_transform(data), seed=0)
        self.images, self.batch_size = len(self._set), min(batch_size, len(self._set))
        self._feed = Feed.of(data, rows)

    def __iter__(self) -> Iterator[Batch]:
        places = [(0, index) for index in range(self.images)]
        return self._feed.batches(self._set, places, self.batch_size)


@dataclass(frozen=True)
class Feed:
    """How a process gets its `rows` of every batch: from `workers` processes, in time."""

    rows: Rows
    workers: int
    timeout_s: float

    @classmethod
    def of(cls, data: DataSpec, rows: Rows) -> "Feed":
        """Return it as `data` asks for it."""
        return cls(rows, data.workers, data.timeout_s if data.workers else 0)

    def batches(self, images: "ImageSet", places: list[Place], batch_size: int) -> Iterator[Batch]:
        """Yield this process's part of each batch of the images at `places`."""
        whole = [places[at : at + batch_size] for at in range(0, len(places), batch_size)]
        loader: DataLoader[Sample] = DataLoader(
            images,
            batch_sampler=[batch[self.rows.of(len(batch))] for batch in whole],
            num_workers=self.workers,
            collate_fn=collate,
            timeout=self.timeout_s,
        )
        return in_time(iter(loader), self.timeout_s)


class ImageSet(Dataset[Sample]):
    """Augmented images by (epoch, index); one that cannot be read comes back as its path."""

    def __init__(self, images: Any, transform: Any, seed: int) -> None:
        self._images, self._transform, self._seed = images, transform, seed

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, place: Place) -> Sample:
        epoch, index = place
        try:
            image, target = self._read(index)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return self._name(index)
        seed_everything(self._seed, epoch, index)
        return self._transform(image), int(target)

    def _read(self, index: int) -> tuple[Image.Image, int]:
        """Read one image as RGB; timm's own retry would silently return its neighbour."""
        reader = getattr(self._images, "reader", None)
        if reader is None:
            image, target = self._images[index]
            return image.convert("RGB"), target
        opened, target = reader[index][:2]
        image = opened if isinstance(opened, Image.Image) else Image.open(opened)
        return image.convert("RGB"), target

    def _name(self, index: int) -> str:
        has_names = hasattr(self._images, "filename")
        return str(self._images.filename(index, absolute=True)) if has_names else f"image {index}"


def in_time(batches: Iterator[Batch], timeout_s: float) -> Iterator[Batch]:
    """Yield what a loader brings.

    Raises:
        ValueError: it brought nothing for `timeout_s`.
    """
    try:
        yield from batches
    except RuntimeError as error:
        if "timed out" not in str(error):
            raise
        raise ValueError(
            f"data.timeout_s={timeout_s:g}: no worker brought a batch in this time; the file system"
            " hangs, or a batch takes longer (more data.workers, or a longer time)"
        ) from error


def collate(samples: list[Sample]) -> Batch:
    """Stack what could be read; images is `(0,)` where nothing could."""
    good = [sample for sample in samples if not isinstance(sample, str)]
    skipped = [sample for sample in samples if isinstance(sample, str)]
    if not good:
        return Batch(torch.empty(0), torch.empty(0, dtype=torch.long), skipped)
    images, targets = zip(*good, strict=True)
    return Batch(torch.stack(images), torch.tensor(targets), skipped)


def _training_images(data: DataSpec) -> Any:
    if data.name:
        return create_dataset(data.name, data.root, split="train")
    return _images(data, split_folder(data.root, "train"))


def _validation_images(data: DataSpec) -> Any:
    if data.name:
        return create_dataset(data.name, data.root, split="validation")
    return _images(data, val_folder(data.root))


def _images(data: DataSpec, folder: Path) -> Any:
    """Open one split; both number their classes as timm numbers those of training."""
    names = sorted(val_classes(data.root), key=natural_key)
    class_map = {name: index for index, name in enumerate(names)}
    try:
        return create_dataset("", str(folder), search_split=False, class_map=class_map)
    except RuntimeError as error:  # timm's word for a folder without images
        raise ValueError(f"data.root={data.root}: {error}") from error


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
    size = (data.in_chs, data.input_size, data.input_size)
    return create_transform(size, crop_pct=data.crop_pct, interpolation="bicubic")
