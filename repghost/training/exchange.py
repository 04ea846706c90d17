"""What the processes of a training tell each other at a step, in one sum over one buffer.

Gradients, BatchNorm statistics, loss and wishes lie side by side in one flat tensor whose layout
never changes. So a sum adds in the same order in every step of every run, which buckets that follow
the order of arrival (as in torch's DistributedDataParallel) do not promise for more than two.
Networks here are small: the sum is some megabytes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from repghost.training.ranks import Ranks

TOLD = ("loss_sum", "images", "stop", "save")  # at the end of the buffer


class Exchange:
    """The buffer of one training, in which the gradients of its parameters live.

    Each process gives the sum of its images' gradients over `batch_size`; all get the mean over all
    images that came, also where some processes could read fewer. Statistics become their mean.
    """

    def __init__(self, model: nn.Module, ranks: Ranks, batch_size: int) -> None:
        self._ranks, self._batch_size = ranks, batch_size
        self._parameters = [one for one in model.parameters() if one.requires_grad]
        self._statistics = moving_statistics(model)
        sizes = [one.numel() for one in (*self._parameters, *self._statistics)]
        self._buffer = torch.zeros(sum(sizes) + len(TOLD), device=self._parameters[0].device)
        parts = torch.split(self._buffer, [*sizes, len(TOLD)])
        count = len(self._parameters)
        self._gradients = self._buffer[: sum(sizes[:count])]
        self._views = [_like(*pair) for pair in zip(parts, self._parameters, strict=False)]
        self._seen = [_like(*pair) for pair in zip(parts[count:-1], self._statistics, strict=True)]
        self._told = parts[-1]

    def begin(self) -> None:
        """Make the gradients zero, in their place in the buffer."""
        self._gradients.zero_()
        for parameter, view in zip(self._parameters, self._views, strict=True):
            parameter.grad = view

    def weigh(self, loss: Tensor, images: int) -> Tensor:
        """Return what to differentiate for the mean `loss` of this process's `images`."""
        return loss * (images / self._batch_size)

    @torch.no_grad()
    def finish(self, loss: Tensor, images: int, wishes: Sequence[bool]) -> Tensor:
        """Sum over all processes; return what `TOLD` names, float32 `(4,)` on the device."""
        if self._statistics:
            torch._foreach_copy_(self._seen, self._statistics)
        self._told[0] = loss * images
        for place, value in enumerate((images, *wishes), start=1):
            self._told[place].fill_(float(value))  # from a tensor it would wait for the device
        self._ranks.sum(self._buffer)
        self._gradients.mul_(self._batch_size / self._told[1].clamp(min=1))
        if self._statistics:
            torch._foreach_div_(self._seen, float(self._ranks.world))
            torch._foreach_copy_(self._statistics, self._seen)
        return self._told.clone()


def told_alone(loss: Tensor, images: int) -> Tensor:
    """Return what `TOLD` names where there is one process, which asks itself for its wishes."""
    told = torch.zeros(len(TOLD), device=loss.device)
    told[0] = loss * images
    told[1].fill_(float(images))
    return told


def norms(model: nn.Module) -> list[nn.Module]:
    """Return the BatchNorm layers of `model`."""
    kinds = (nn.modules.batchnorm._BatchNorm,)
    return [module for module in model.modules() if isinstance(module, kinds)]


def moving_statistics(model: nn.Module) -> list[Tensor]:
    """Return the running means and variances of the layers that move them in a training step."""
    moving = [module for module in norms(model) if module.training]
    return [one for module in moving for one in module.buffers() if one.is_floating_point()]


def _like(part: Tensor, tensor: Tensor) -> Tensor:
    """Return a part of the buffer in the shape and memory format of `tensor`."""
    return part.as_strided(tensor.shape, tensor.stride(), part.storage_offset())
