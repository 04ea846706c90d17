"""From the name of a data set to its batches."""

from collections.abc import Iterator
from typing import Protocol

from repghost.training.batches import Batch, Source
from repghost.training.digits import Digits, DigitsVal
from repghost.training.folder import FolderSource, FolderVal
from repghost.training.rows import ALL, Rows
from repghost.training.spec import DataSpec, RecipeSpec


def open_source(data: DataSpec, recipe: RecipeSpec, seed: int, rows: Rows = ALL) -> Source[Batch]:
    """Return the source that `data` names; it gives `rows` of every batch.

    Raises:
        ValueError: the folder is missing or holds no images.
    """
    kinds: dict[str, type[Digits] | type[FolderSource]] = {"digits": Digits, "folder": FolderSource}
    return kinds[data.kind](data, recipe, seed, rows)


class Validation(Protocol):
    """Every validation image once, unaugmented, in batches."""

    images: int
    batch_size: int

    def __iter__(self) -> Iterator[Batch]: ...


def open_validation(data: DataSpec, recipe: RecipeSpec) -> Validation:
    """Return the validation images that `data` names; those for training may be missing.

    Raises:
        ValueError: the folder is missing or holds no images.
    """
    if data.kind == "digits":
        return DigitsVal(data)
    return FolderVal(data, recipe.batch_size)
