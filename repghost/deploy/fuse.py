"""The deployed form of any network: branches and BatchNorms folded, dropout removed."""

import copy
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from repghost.deploy.forward import first_line
from repghost.deploy.watch import foldable, leftover
from repghost.models.branches import KeptSum
from repghost.models.folding import folded

DROPOUTS = ("DropPath", "DropBlock2d", "DropBlock3d", "StochasticDepth")  # timm's, torchvision's


@runtime_checkable
class Foldable(Protocol):
    """A module with a smaller equal in eval mode; any network's blocks may offer it."""

    def fused(self) -> nn.Module:
        """Return the equal of this module, which is left as it is."""


def fuse(model: nn.Module, input_shape: tuple[int, int, int]) -> nn.Module:
    """Return a new network equal to `model` in eval mode for inputs of `input_shape` (C, H, W).

    Blocks with a `fused()` are replaced by it, timm's are re-parameterised by timm, then every
    BatchNorm that alone reads a conv's or a linear layer's output is folded into it. What cannot be
    folded is kept: see `not_folded`. `model` is left alone.

    Raises:
        ValueError: `model` or a part of it is in training mode, a BatchNorm keeps no running
            statistics, or the network cannot take an input of this shape.
    """
    _refuse_training(model)
    _refuse_batch_statistics(model)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        fused = _blocks_fused(copy.deepcopy(model))
        if any(type(part).__module__.startswith("timm.") for part in fused.modules()):
            fused = _timm_fused(fused)
        fused = _without_dropout(fused)
        return _norms_folded(fused, foldable(fused, input_shape)).eval()


def not_folded(fused: nn.Module) -> list[str]:
    """Return the names of what fusion had to keep.

    Those are the sums behind a ReLU (`KeptSum`) and the BatchNorms that read no conv of their own.
    """
    kinds = (KeptSum, _BatchNorm)
    return [name for name, part in fused.named_modules() if isinstance(part, kinds)]


def _refuse_training(model: nn.Module) -> None:
    training = [name or "the network" for name, part in model.named_modules() if part.training]
    if training:
        raise ValueError(
            f"cannot fuse in training mode ({_few(training)}): its BatchNorms would use the"
            " statistics of each batch; call model.eval() first"
        )


def _refuse_batch_statistics(model: nn.Module) -> None:
    norms = [(name, part) for name, part in model.named_modules() if isinstance(part, _BatchNorm)]
    without = [name or "the network" for name, norm in norms if norm.running_mean is None]
    if without:
        raise ValueError(
            f"cannot fuse BatchNorms that keep no running statistics ({_few(without)}): what they"
            " compute depends on the batch; give them track_running_stats=True"
        )


def _blocks_fused(module: nn.Module) -> nn.Module:
    if isinstance(module, Foldable) and callable(module.fused):
        return module.fused()
    for name, child in module.named_children():
        setattr(module, name, _blocks_fused(child))
    return module


def _timm_fused(network: nn.Module) -> nn.Module:
    """Re-parameterise `network` in place as timm does, but in float64 on the CPU."""
    from timm.utils import reparameterize_model

    like = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(()))
    device, dtype = like.device, like.dtype
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # timm's new convs take this one
    try:
        reparameterize_model(network.cpu().double(), inplace=True)
    except Exception as error:  # each network's own code
        raise ValueError(f"timm cannot re-parameterise its network: {first_line(error)}") from error
    finally:
        torch.set_default_dtype(default)
    return network.to(device, dtype)


def _without_dropout(network: nn.Module) -> nn.Module:
    dropouts = [part for part in network.modules() if _is_dropout(part)]
    return _replaced(network, {part: nn.Identity() for part in dropouts})


def _is_dropout(part: nn.Module) -> bool:
    library = type(part).__module__.partition(".")[0]
    named = type(part).__name__ in DROPOUTS and library in ("timm", "torchvision")
    return named or isinstance(part, _DropoutNd)


def _norms_folded(network: nn.Module, pairs: Mapping[str, str]) -> nn.Module:
    new: dict[nn.Module, nn.Module] = {}
    for layer_name, norm_name in pairs.items():
        layer, norm = network.get_submodule(layer_name), network.get_submodule(norm_name)
        assert isinstance(layer, _ConvNd | nn.Linear) and isinstance(norm, _BatchNorm)
        new |= {layer: folded(layer, norm), norm: leftover(norm)}
    return _replaced(network, new)


def _replaced(network: nn.Module, new: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Put the new modules in place of the old ones, under every name that these have."""
    for name, part in list(network.named_modules(remove_duplicate=False)):
        if part in new:
            if not name:
                return new[part]
            network.set_submodule(name, new[part])
    return network


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
