"""Where images come from: folders and whatever timm reads, or packed shards."""

from typing import Any, Protocol

from timm.data import create_dataset

from repghost.training.crops import Content
from repghost.training.pack_index import find_index
from repghost.training.spec import DataSpec, split_folder


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


def open_pictures(data: DataSpec) -> tuple[Pictures, Pictures]:
    """Open training and validation images; the validation classes are numbered as in training.

    Raises:
        ValueError: the folder is missing or holds no images, or a packed one is incomplete.
    """
    if data.name:
        train, val = (
            create_dataset(data.name, data.root, split=split) for split in ("train", "validation")
        )
        return Listed(train), Listed(val)
    if data.root and (index := find_index(data.root)):
        from repghost.training.packed import Packed  # pyarrow is imported where it is needed

        return Packed(index, "train"), Packed(index, "val")
    try:
        train = create_dataset("", str(split_folder(data.root, "train")), search_split=False)
        classes = train.reader.class_to_idx
        folder = str(split_folder(data.root, "val"))
        val = create_dataset("", folder, search_split=False, class_map=classes)
    except RuntimeError as error:  # timm's word for a folder without images
        raise ValueError(f"data.root={data.root}: {error}") from error
    return Listed(train), Listed(val)
