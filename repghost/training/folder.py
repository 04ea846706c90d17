"""Images in folders, or any data set that timm reads, with ImageNet's transforms.

What a batch holds depends on (seed, epoch, step) alone: every image is augmented with a random
state made from (seed, epoch, index), so any number of worker processes gives the same batches and
an epoch can be entered in its middle.
"""

from collections.abc import Iterator
from typing import Any

import torch
from PIL import Image
from timm.data import create_dataset, create_transform
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from repghost.training.batches import Batch, seed_everything, shuffled
from repghost.training.rows import ALL, Rows
from repghost.training.spec import DataSpec, RecipeSpec, split_folder

Sample = tuple[Tensor, int] | str  # the path of an image that cannot be read
Place = tuple[int, int]  # epoch, index


class FolderSource:
    """Training and validation batches of image files; see `batches.Source`."""

    def __init__(self, data: DataSpec, recipe: RecipeSpec, seed: int, rows: Rows = ALL) -> None:
        train, val = _datasets(data)
        self._train = ImageSet(train, _train_transform(data, recipe), seed)
        self._val = ImageSet(val, _val_transform(data), seed)
        self._workers, self._seed, self._rows = data.workers, seed, rows
        self._timeout_s = data.timeout_s if data.workers else 0
        self.batch_size = min(recipe.batch_size, len(self._train))
        self.steps = len(self._train) // self.batch_size

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        order = shuffled(len(self._train), self._seed, epoch).tolist()
        first, last = start * self.batch_size, self.steps * self.batch_size
        return self._batches(self._train, epoch, order[first:last])

    def val(self) -> Iterator[Batch]:
        return self._batches(self._val, 0, list(range(len(self._val))))

    def _batches(self, images: "ImageSet", epoch: int, order: list[int]) -> Iterator[Batch]:
        size = self.batch_size
        whole = [order[at : at + size] for at in range(0, len(order), size)]
        places = [[(epoch, index) for index in batch[self._rows.of(len(batch))]] for batch in whole]
        loader: DataLoader[Sample] = DataLoader(
            images,
            batch_sampler=places,
            num_workers=self._workers,
            collate_fn=collate,
            timeout=self._timeout_s,
        )
        return in_time(iter(loader), self._timeout_s)


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


def _datasets(data: DataSpec) -> tuple[Any, Any]:
    """Open both splits; the validation classes are numbered as in training."""
    if data.name:
        return tuple(create_dataset(data.name, data.root, split=s) for s in ("train", "validation"))
    try:
        train = create_dataset("", str(split_folder(data.root, "train")), search_split=False)
        classes = train.reader.class_to_idx
        folder = str(split_folder(data.root, "val"))
        return train, create_dataset("", folder, search_split=False, class_map=classes)
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
