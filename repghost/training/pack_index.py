"""What a packed folder holds: its `index.json`. No torch and no pyarrow is imported here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from repghost.atomic import read_json, write_json

INDEX = "index.json"
FORMAT = "repghost-pack-1"
UNFINISHED = "packing"  # a folder with what is done so far
ENCODINGS = ("jpeg", "raw")
SPLITS = ("train", "val")


@dataclass(frozen=True)
class PackSpec:
    """How images are stored: short side in pixels (0: as they are), encoding, JPEG quality."""

    short: int = 256
    encoding: str = "jpeg"
    quality: int = 90

    def __post_init__(self) -> None:
        if self.short < 0:
            raise ValueError(f"short={self.short}: must be at least 0 (0 keeps the size)")
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding={self.encoding}: allowed are {', '.join(ENCODINGS)}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality={self.quality}: must be in 1 to 100")


@dataclass(frozen=True)
class Skipped:
    """An image that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Shard:
    """A file of images: how many, its size and checksum, and which images it was made from."""

    file: str
    images: int
    size_bytes: int
    sha256: str
    source: str
    skipped: tuple[Skipped, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the shard that `asdict` described."""
        skipped = tuple(Skipped(**one) for one in values["skipped"])
        return cls(**{**values, "skipped": skipped})


@dataclass(frozen=True)
class PackIndex:
    """A whole packed folder: how it is stored, its classes, the shards of each split."""

    folder: Path
    spec: PackSpec
    classes: tuple[str, ...] | None
    num_classes: int
    shards: Mapping[str, tuple[Shard, ...]]
    made: Mapping[str, Any]  # from what, by which commit and versions

    def images(self, split: str) -> int:
        """Return the number of images of a split."""
        return sum(shard.images for shard in self.shards[split])

    def skipped(self, split: str) -> list[Skipped]:
        """Return the images of a split that could not be read when it was packed."""
        return [one for shard in self.shards[split] for one in shard.skipped]

    def write(self) -> None:
        """Write `index.json` atomically: from then on the folder is a packed one."""
        values = asdict(replace(self, folder=Path()))
        del values["folder"]
        write_json(self.folder / INDEX, {"format": FORMAT, **values})


def find_index(root: str | Path) -> PackIndex | None:
    """Return the index of a packed folder, None for a folder of another kind.

    Raises:
        ValueError: packing was not finished, or another version wrote the index.
    """
    folder = Path(root)
    values = read_json(folder / INDEX)
    if values is None or not str(values.get("format", "")).startswith("repghost-pack"):
        if (folder / UNFINISHED).is_dir():
            raise ValueError(f"{folder}: packing was not finished; run its command again")
        return None
    if values.pop("format") != FORMAT:
        raise ValueError(f"{folder / INDEX}: not of the format {FORMAT}; pack the images anew")
    try:
        return _index(folder, values)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / INDEX}: damaged ({error!r}); pack again to mend it") from error


def _index(folder: Path, values: dict[str, Any]) -> PackIndex:
    shards = {
        split: tuple(Shard.from_dict(one) for one in values["shards"][split]) for split in SPLITS
    }
    return PackIndex(
        folder,
        PackSpec(**values["spec"]),
        tuple(values["classes"]) if values["classes"] else None,
        values["num_classes"],
        shards,
        values["made"],
    )
