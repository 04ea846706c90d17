"""Photographs with boxes and masks as batches; what comes depends on (seed, epoch, step) alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.io import ImageReadMode, decode_image

from repghost.detection.annotations import Instance, Instances, Mask, Picture
from repghost.detection.augment import Augmentation, Target
from repghost.training.batches import Place, seed_everything
from repghost.training.feed import Feed
from repghost.training.rows import ALL, Rows
from repghost.training.spec import DataSpec, RecipeSpec

Sample = tuple[Tensor, Target] | str  # the path of an image that cannot be read


@dataclass
class DetectionBatch:
    """Images `(3, H, W)`, each of its size, as uint8 pixels; what is on them; skipped files."""

    images: list[Tensor]
    targets: list[Target]
    skipped: list[str] = field(default_factory=list)

    def first(self, count: int) -> "DetectionBatch":
        """Return a batch of its first images."""
        return DetectionBatch(self.images[:count], self.targets[:count])

    def there(self, device: torch.device) -> "DetectionBatch":
        """Return itself: its pixels are few bytes, each who takes a step with it brings them."""
        return self

    def on(self, device: torch.device) -> list[Tensor]:
        """Return the images on `device` as a detector takes them, float32 in [0, 1]."""
        return [image.to(device, non_blocking=True).float().div_(255) for image in self.images]


class CocoSource:
    """Training and validation batches of a data set in COCO's format; see `batches.Source`.

    Images without anything to learn from are left out of the training, and are scored.

    Raises:
        ValueError: an annotation breaks a rule, or the categories are not as many as asked for.
    """

    def __init__(
        self, data: DataSpec, recipe: RecipeSpec, seed: int, masks: bool, rows: Rows = ALL
    ) -> None:
        self._train = PictureSet(opened(data, "train"), seed, masks, Augmentation.of(recipe))
        self._val = PictureSet(opened(data, "val"), seed, masks=False)
        if self._train.instances.classes != self._val.instances.classes:
            raise ValueError(f"{self._val.instances.file}: other categories than those of training")
        self._feed, self._seed = Feed.of(data, rows), seed
        self.batch_size = min(recipe.batch_size, len(self._train))
        self.steps = len(self._train) // self.batch_size

    def train(self, epoch: int, start: int) -> Iterator[DetectionBatch]:
        return self._feed.epoch(self._train, self._seed, epoch, self.batch_size, start)

    def val(self) -> Iterator[DetectionBatch]:
        return val_batches(self._feed, self._val, self.batch_size)


@lru_cache(maxsize=2)  # of the training and its validation: by each member of a cohort too
def opened(data: DataSpec, split: str) -> Instances:
    """Read a split's annotations.

    Raises:
        ValueError: one breaks a rule, or there are other than `data.num_classes` categories.
    """
    instances = Instances(data.root, split)
    if len(instances.classes) != data.num_classes:
        raise ValueError(
            f"{instances.file}: {len(instances.classes)} categories, data.num_classes="
            f"{data.num_classes}; null takes those of the file"
        )
    return instances


def val_batches(feed: Feed, pictures: "PictureSet", batch_size: int) -> Iterator[DetectionBatch]:
    """Return batches of every picture once, in the order of the file."""
    places = [(0, index) for index in range(len(pictures))]
    return feed.batches(pictures, places, batch_size)


class PictureSet(Dataset[Sample]):
    """Pictures by (epoch, index), changed at random; one that cannot be read gives its path.

    Without an augmentation they are those of validation: every picture, as it is.
    """

    image_bytes = 0  # each has its size

    def __init__(
        self,
        instances: Instances,
        seed: int,
        masks: bool,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.instances, self._seed, self._masks = instances, seed, masks
        self._augmentation = augmentation
        wanted = instances.pictures
        if augmentation:
            wanted = [picture for picture in wanted if instances.learnable(picture)]
        if not wanted:
            raise ValueError(f"{instances.file}: no image has an object that can be learnt from")
        self.pictures = wanted

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, place: Place) -> Sample:
        epoch, index = place
        picture = self.pictures[index]
        try:
            image = decode_image(str(picture.path), ImageReadMode.RGB)
        except RuntimeError:  # torchvision's word for whatever is wrong with it
            return str(picture.path)
        _check_size(self.instances, picture, image)
        target = self._target(picture)
        if self._augmentation:
            seed_everything(self._seed, epoch, index)
            image, target = self._augmentation(image, target)
        return image, target

    def _target(self, picture: Picture) -> Target:
        found = self.instances.learnable(picture)
        target = {
            "boxes": torch.tensor([one.box for one in found]).reshape(-1, 4),
            "labels": torch.tensor([one.label for one in found], dtype=torch.long),
            "image_id": torch.tensor(picture.id),
        }
        if self._masks:
            target["masks"] = _stacked(found, partial(self.instances.mask, picture=picture))
        return target

    @staticmethod
    def collate(samples: list[Sample]) -> DetectionBatch:
        """Put what could be read into one batch."""
        good = [sample for sample in samples if not isinstance(sample, str)]
        skipped = [sample for sample in samples if isinstance(sample, str)]
        return DetectionBatch([image for image, _ in good], [one for _, one in good], skipped)


def _stacked(found: Sequence[Instance], mask: Callable[[Instance], Mask]) -> Tensor:
    """Return the masks of objects, uint8 `(K, H, W)`; there is at least one."""
    return torch.stack([torch.from_numpy(mask(one)) for one in found])


def _check_size(instances: Instances, picture: Picture, image: Tensor) -> None:
    height, width = image.shape[1:]
    if (width, height) != (picture.width, picture.height):
        raise ValueError(
            f"{instances.file}: image {picture.id}: said to be {picture.width} x {picture.height},"
            f" {picture.path} is {width} x {height}"
        )
