"""The deployed form of a network: everything that offers `fused()` folded, dropout removed."""

import copy
from typing import Protocol, runtime_checkable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from repghost.models.branches import KeptSum


@runtime_checkable
class Foldable(Protocol):
    """A module with a smaller equal in eval mode; any network's blocks may offer it."""

    def fused(self) -> nn.Module:
        """Return the equal of this module, which is left as it is."""


def fuse(model: nn.Module) -> nn.Module:
    """Return a new network equal to `model` in eval mode, without BatchNorm; `model` is left alone.

    Raises:
        ValueError: `model` or a part of it is in training mode, or a BatchNorm cannot be folded.
    """
    training = [name or "the network" for name, part in model.named_modules() if part.training]
    if training:
        raise ValueError(
            f"cannot fuse in training mode ({_few(training)}): its BatchNorms would use the"
            " statistics of each batch; call model.eval() first"
        )
    fused = _folded(copy.deepcopy(model)).eval()
    left = [name for name, part in fused.named_modules() if isinstance(part, _BatchNorm)]
    if left:
        raise ValueError(
            f"{len(left)} BatchNorm left after fusion ({_few(left)}):"
            " give the block that holds it a fused() method"
        )
    return fused


def kept_sums(fused: nn.Module) -> list[str]:
    """Return the names of the sums that a ReLU before the add kept from being folded."""
    return [name for name, part in fused.named_modules() if isinstance(part, KeptSum)]


def _folded(module: nn.Module) -> nn.Module:
    if isinstance(module, Foldable):
        return module.fused()
    if isinstance(module, _DropoutNd):
        return nn.Identity()
    for name, child in module.named_children():
        setattr(module, name, _folded(child))
    return module


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
