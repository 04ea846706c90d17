"""Room for the batches of loader workers, used again: fresh shared memory is slow.

Its pages are zeroed, mapped and given back batch by batch: 7.8 ms of a core for 64 images of 224 x
224 as uint8, where 0.5 ms write them into memory that is there (AMD EPYC). A worker takes a slot
for a batch and hands over its place; the slot is free again when nobody here holds that memory.
"""

import itertools
import math
import mmap
import multiprocessing
import os
import weakref
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing.reductions import reduce_tensor
from torch.utils.data import get_worker_info

PREFETCHED = 2  # batches that a worker makes ahead, as DataLoader has it
SLOTS = PREFETCHED + 2  # a worker's: those, the one that is trained on, and the one that is made
SMALL = 1 << 14  # bytes; each shared tensor is a file and a connection, which cost more than a copy
FREE, TAKEN = 0, 1
Rebuilt = tuple[Callable[..., Tensor], tuple[Any, ...]]

_numbers = itertools.count()
_pools: "weakref.WeakValueDictionary[int, Pool]" = weakref.WeakValueDictionary()
_mine: "Pool | None" = None  # of this process, where it is a worker


class Pool:
    """Slots of `size` bytes in memory that a process shares with the workers it forks.

    Each worker has slots of its own. A byte a slot says whether it is taken: the worker sets it,
    the process that made the pool clears it.
    """

    def __init__(self, workers: int, size: int) -> None:
        self.number, self._size, self._pid = next(_numbers), size, os.getpid()
        self._memory = mmap.mmap(-1, workers * SLOTS * size)  # a page is there once it is written
        self._taken = mmap.mmap(-1, workers * SLOTS)
        self._start = torch.frombuffer(self._memory, dtype=torch.uint8).data_ptr()
        _pools[self.number] = self

    @classmethod
    def fitting(cls, workers: int, size: int) -> "Pool | None":
        """Return a pool; None without: no forked workers, an unknown size, no memory of that."""
        if not workers or not size or multiprocessing.get_start_method() != "fork":
            return None
        try:
            return cls(workers, size)
        except OSError:
            return None

    def blank(self, worker: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor | None:
        """Return a slot of a worker as a tensor; None where all are taken, or it is too small."""
        count = math.prod(shape)
        own = range(worker * SLOTS, (worker + 1) * SLOTS)
        free = next((slot for slot in own if self._taken[slot] == FREE), None)
        if free is None or not 0 < count * dtype.itemsize <= self._size:
            return None
        self._taken[free] = TAKEN
        start = free * self._size
        return torch.frombuffer(self._memory, dtype=dtype, count=count, offset=start).view(shape)

    def place(self, tensor: Tensor) -> int | None:
        """Return where in this memory a tensor begins, in bytes; None for any other tensor."""
        at = tensor.data_ptr() - self._start
        return at if 0 <= at < len(self._memory) else None

    def at(self, place: int, count: int, dtype: torch.dtype) -> Tensor:
        """Return what a worker wrote to a slot; when that memory is let go the slot is free."""
        array = np.frombuffer(self._memory, np.uint8, count * dtype.itemsize, place)
        weakref.finalize(array, self._free, place // self._size).atexit = False
        return torch.from_numpy(array).view(dtype)

    def _free(self, slot: int) -> None:
        if os.getpid() == self._pid:  # a worker has what we held when it was forked, and lets it go
            self._taken[slot] = FREE


def enter(pool: Pool | None, _worker: int) -> None:
    """In a worker: take memory from the pool, and share that of no small tensor."""
    global _mine
    _mine = pool
    ForkingPickler.register(Tensor, _reduced)


def blank(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return room for a batch; a worker's is shared memory, or it would be copied there."""
    worker = get_worker_info()
    if worker is None:
        return torch.empty(shape, dtype=dtype)
    pooled = _mine.blank(worker.id, shape, dtype) if _mine else None
    if pooled is not None:
        return pooled
    size = math.prod(shape) * dtype.itemsize
    shared = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(shared).view(shape)


def _reduced(tensor: Tensor) -> Rebuilt:
    place = _mine.place(tensor) if _mine else None
    if _mine and place is not None:
        layout = tuple(tensor.shape), tensor.stride()
        return _rebuilt, (_mine.number, place, tensor.dtype, *layout)
    if tensor.nbytes <= SMALL:
        return torch.from_numpy, (tensor.numpy(),)
    shared: Rebuilt = reduce_tensor(tensor)  # type: ignore[no-untyped-call]
    return shared


def _rebuilt(
    number: int, place: int, dtype: torch.dtype, shape: tuple[int, ...], stride: tuple[int, ...]
) -> Tensor:
    return _pools[number].at(place, math.prod(shape), dtype).as_strided(shape, stride)
