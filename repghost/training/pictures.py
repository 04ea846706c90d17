"""Where images come from: folders and whatever timm reads, or packed shards."""

from pathlib import Path
from typing import Any, Protocol

from timm.data import create_dataset
from timm.utils.misc import natural_key

from repghost.training.crops import Content
from repghost.training.pack_index import find_index
from repghost.training.spec import DataSpec, split_folder, val_classes, val_folder


class Pictures(Protocol):
    """Labelled images by their index; the names of the classes where they are known."""

    classes: tuple[str, ...] | None

    def __len__(self) -> int: ...

    def content(self, index: int) -> tuple[Content, int]:
        """Return an image as it is stored, and its class.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        ...

    def name(self, index: int) -> str:
        """Return what the image is called, for a message."""
        ...


class Listed:
    """What timm's `create_dataset` opens."""

    def __init__(self, images: Any) -> None:
        self._images, self._reader = images, getattr(images, "reader", None)
        numbers: dict[str, int] | None = getattr(self._reader or images, "class_to_idx", None)
        self.classes = (
            tuple(map(str, sorted(numbers, key=numbers.__getitem__))) if numbers else None
        )

    def __len__(self) -> int:
        return len(self._images)

    def content(self, index: int) -> tuple[Content, int]:
        """As `Pictures.content`; timm's own retry would silently return a neighbour."""
        source = self._images if self._reader is None else self._reader
        opened, target = source[index][:2]
        if hasattr(opened, "read"):
            with opened:
                opened = opened.read()
        return opened, int(target)

    def name(self, index: int) -> str:
        has_names = hasattr(self._images, "filename")
        return str(self._images.filename(index, absolute=True)) if has_names else f"image {index}"


def training_pictures(data: DataSpec) -> Pictures:
    """Open the training images.

    Raises:
        ValueError: the folder is missing or holds no images, or a packed one is incomplete.
    """
    if data.name:
        return Listed(create_dataset(data.name, data.root, split="train"))
    return _packed(data, "train") or _listed(data, split_folder(data.root, "train"))


def validation_pictures(data: DataSpec) -> Pictures:
    """Open the validation images; those for training may be missing.

    Raises:
        ValueError: as `training_pictures`, or validation has a class of its own.
    """
    if data.name:
        return Listed(create_dataset(data.name, data.root, split="validation"))
    return _packed(data, "val") or _listed(data, val_folder(data.root))


def _packed(data: DataSpec, split: str) -> Pictures | None:
    if not data.root or not (index := find_index(data.root)):
        return None
    from repghost.training.packed import Packed  # pyarrow is imported where it is needed

    return Packed(index, split)


def _listed(data: DataSpec, folder: Path) -> Pictures:
    """Open one split; both number their classes as timm numbers those of training."""
    names = sorted(val_classes(data.root), key=natural_key)
    class_map = {name: index for index, name in enumerate(names)}
    try:
        return Listed(create_dataset("", str(folder), search_split=False, class_map=class_map))
    except RuntimeError as error:  # timm's word for a folder without images
        raise ValueError(f"data.root={data.root}: {error}") from error
