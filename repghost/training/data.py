"""From the name of a data set to its batches."""

from repghost.training.batches import Source
from repghost.training.digits import Digits
from repghost.training.folder import FolderSource
from repghost.training.rows import ALL, Rows
from repghost.training.spec import DataSpec, RecipeSpec


def open_source(data: DataSpec, recipe: RecipeSpec, seed: int, rows: Rows = ALL) -> Source:
    """Return the source that `data` names; it gives `rows` of every batch.

    Raises:
        ValueError: the folder is missing or holds no images.
    """
    kinds: dict[str, type[Digits] | type[FolderSource]] = {"digits": Digits, "folder": FolderSource}
    return kinds[data.kind](data, recipe, seed, rows)
