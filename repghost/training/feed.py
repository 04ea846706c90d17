"""From a set of images to the batches of one process, made by others in time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader

from repghost.training.batches import Batch, Place
from repghost.training.rows import Rows
from repghost.training.spec import DataSpec

if TYPE_CHECKING:
    from repghost.training.fast import FastSet
    from repghost.training.folder import ImageSet


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

    def batches(
        self, images: "FastSet | ImageSet", places: list[Place], batch_size: int
    ) -> Iterator[Batch]:
        """Yield this process's part of each batch of the images at `places`.

        Raises:
            ValueError: no batch came for `timeout_s`.
        """
        whole = [places[at : at + batch_size] for at in range(0, len(places), batch_size)]
        loader: DataLoader[Any] = DataLoader(
            images,
            batch_sampler=[batch[self.rows.of(len(batch))] for batch in whole],
            num_workers=self.workers,
            collate_fn=images.collate,  # type: ignore[arg-type]
            timeout=self.timeout_s,
        )
        return in_time(iter(loader), self.timeout_s)


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
