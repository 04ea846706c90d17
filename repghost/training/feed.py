"""From a set of images to the batches of one process, made by others in time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from torch.utils.data import DataLoader

from repghost.training.batches import Place, shuffled
from repghost.training.pool import PREFETCHED, Pool, enter
from repghost.training.rows import Rows
from repghost.training.spec import DataSpec

B = TypeVar("B")  # a batch
Made = TypeVar("Made", covariant=True)


class Pieces(Protocol[Made]):
    """Images by their place, and what makes a batch of some.

    `image_bytes` is what one takes in a batch at most, 0 where that differs.
    """

    image_bytes: int

    def __len__(self) -> int: ...

    @property
    def collate(self) -> Callable[[Any], Made]: ...


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

    def epoch(
        self, images: Pieces[B], seed: int, epoch: int, batch_size: int, start: int
    ) -> Iterator[B]:
        """Yield this process's part of an epoch's whole batches, shuffled, from step `start` on."""
        order = shuffled(len(images), seed, epoch).tolist()
        first, last = start * batch_size, len(images) // batch_size * batch_size
        return self.batches(images, [(epoch, index) for index in order[first:last]], batch_size)

    def batches(self, images: Pieces[B], places: list[Place], batch_size: int) -> Iterator[B]:
        """Yield this process's part of each batch of the images at `places`.

        Raises:
            ValueError: no batch came for `timeout_s`.
        """
        whole = [places[at : at + batch_size] for at in range(0, len(places), batch_size)]
        parts = [batch[self.rows.of(len(batch))] for batch in whole]
        most = max(map(len, parts), default=0)
        pool = Pool.fitting(self.workers, most * images.image_bytes)
        loader: DataLoader[Any] = DataLoader(
            images,  # type: ignore[arg-type]
            batch_sampler=parts,
            num_workers=self.workers,
            collate_fn=images.collate,
            timeout=self.timeout_s,
            worker_init_fn=partial(enter, pool),
            prefetch_factor=PREFETCHED if self.workers else None,
        )
        return _in_time(iter(loader), self.timeout_s, pool)


def _in_time(batches: Iterator[B], timeout_s: float, _pool: Pool | None) -> Iterator[B]:
    """Yield what a loader brings; its pool lives as long as this does.

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
