"""From a set of images to the batches of one process, made by others in time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.multiprocessing.reductions import reduce_tensor
from torch.utils.data import DataLoader

from repghost.training.batches import Place, shuffled
from repghost.training.rows import Rows
from repghost.training.spec import DataSpec

SMALL = 1 << 14  # bytes; sharing the memory of so little costs more than to copy it
B = TypeVar("B")  # a batch
Made = TypeVar("Made", covariant=True)


class Pieces(Protocol[Made]):
    """Images by their place, and what makes a batch of some."""

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
        loader: DataLoader[Any] = DataLoader(
            images,  # type: ignore[arg-type]
            batch_sampler=[batch[self.rows.of(len(batch))] for batch in whole],
            num_workers=self.workers,
            collate_fn=images.collate,
            timeout=self.timeout_s,
            worker_init_fn=_hand_over_by_value,
        )
        return in_time(iter(loader), self.timeout_s)


def in_time(batches: Iterator[B], timeout_s: float) -> Iterator[B]:
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


def _hand_over_by_value(_worker: int) -> None:
    """In a worker: share the memory of large tensors only; each is a file and a connection."""
    ForkingPickler.register(Tensor, _reduced)


def _reduced(tensor: Tensor) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
    if tensor.nbytes <= SMALL:
        return torch.from_numpy, (tensor.numpy(),)
    shared: tuple[Callable[..., Tensor], tuple[Any, ...]]
    shared = reduce_tensor(tensor)  # type: ignore[no-untyped-call]
    return shared
