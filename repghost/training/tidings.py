"""What steps came to (loss, images, wishes), read so late that no step waits for the device."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

BEHIND = 8  # steps that a GPU's values are read after


@dataclass(frozen=True)
class Tiding:
    """What a step came to, over all processes: sum of losses, images, and who wishes what."""

    epoch: int
    step: int
    loss_sum: float
    images: float
    stop: bool
    save: bool

    @property
    def loss(self) -> float:
        """The mean loss of the step."""
        return self.loss_sum / max(self.images, 1)


class Tidings:
    """The values of the last steps on their way from `device`; they come in order, and all of them.

    How far behind they are read is counted in steps, not in time: every process reads the same.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._behind = BEHIND if device.type == "cuda" else 0
        self._coming: deque[tuple[int, int, Tensor, torch.cuda.Event | None]] = deque()

    def add(self, epoch: int, step: int, told: Tensor) -> None:
        """Note the values `(4,)` of a step, still on the device."""
        event = None
        if self._device.type == "cuda":
            told = told.to("cpu", non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        self._coming.append((epoch, step, told, event))

    def read(self, *, all: bool = False) -> Iterator[Tiding]:
        """Yield what is far enough behind, or `all`, waiting for the device where it must."""
        while len(self._coming) > (0 if all else self._behind):
            epoch, step, told, event = self._coming.popleft()
            if event:
                event.synchronize()
            loss_sum, images, stop, save = told.tolist()
            yield Tiding(epoch, step, loss_sum, images, stop > 0, save > 0)
