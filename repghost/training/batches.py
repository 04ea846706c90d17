"""What every source of images keeps: batches that (seed, epoch, step) alone decide."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from repghost.training.finish import Finish, finished

Place = tuple[int, int]  # epoch, index: what decides how an image comes


@dataclass
class Batch:
    """Images `(N, C, H, W)`; class indices `(N,)`; files that were skipped.

    Images are normalised float32, or uint8 pixels with what is left to do to them.
    """

    images: Tensor
    targets: Tensor
    skipped: list[str] = field(default_factory=list)
    finish: Finish | None = None

    def on(self, device: torch.device) -> Tensor:
        """Return the images on `device` as the network takes them, normalised float32."""
        return finished(self.images, self.finish, device)

    def there(self, device: torch.device) -> "Batch":
        """Return the batch finished, on `device`, for several who take their step with it."""
        return Batch(self.on(device), self.targets.to(device), self.skipped)

    def first(self, count: int) -> "Batch":
        """Return a batch of its first images."""
        finish = self.finish and self.finish.first(count)
        return Batch(self.images[:count], self.targets[:count], [], finish)


Made = TypeVar("Made", covariant=True)  # a batch


class Source(Protocol[Made]):
    """Training and validation batches; what comes depends on seed, epoch and step alone.

    Where several processes train one network, each has a source of its own, which gives its `Rows`
    of every batch. All give the same number of batches; a part may be empty.
    """

    steps: int

    def train(self, epoch: int, start: int) -> Iterator[Made]:
        """Yield the batches of `epoch` from step `start` on."""
        ...

    def val(self) -> Iterator[Made]:
        """Yield every validation image of these rows once, unaugmented."""
        ...


def shuffled(count: int, seed: int, epoch: int) -> Tensor:
    """Return a permutation of `count` indices that only (seed, epoch) decide."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(mix(seed, epoch)))


def mix(*numbers: int) -> int:
    """Return one well-spread 63-bit seed made from several numbers (splitmix64)."""
    state = 0
    for number in numbers:
        state = (state ^ (number + 0x9E3779B97F4A7C15)) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1


def seed_everything(*numbers: int) -> None:
    """Seed Python's, NumPy's and torch's global random state from several numbers."""
    seed = mix(*numbers)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # of RandAugment
    torch.manual_seed(seed)
