"""Which conv or linear layers feed one BatchNorm and nothing else: seen in one real forward.

Symbolic tracing fails on control flow; a forward at the deployed shape runs what will be exported.
"""

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from repghost.deploy.forward import noise_images, run
from repghost.models.folding import folded

NORMALISE = "batch_norm"  # in the name of each of torch's operators that do it
BATCH = 2
SAME = 1e-4  # relative; rounding in one float32 layer gives 1e-6, another function far more


def foldable(model: nn.Module, input_shape: Sequence[int]) -> dict[str, str]:
    """Return layer -> BatchNorm, by name, where one can be folded into the other.

    That is: the two are called equally often (a detector's heads once a level), each time the
    BatchNorm reads the very tensor that the layer returns, nothing else reads it, and nobody else
    reads their parameters. `model`, in eval mode, is left as it is; `input_shape` is (C, H, W).

    Raises:
        ValueError: the network cannot take an input of this shape.
    """
    twin = copy.deepcopy(model)  # a forward may cache things in its network
    inputs = noise_images(twin, (BATCH, *input_shape), torch.Generator().manual_seed(0))
    watcher = _Watcher(twin)
    with watcher.hooked(), watcher:
        outputs = run(twin, inputs)
    return watcher.pairs(outputs)


def leftover(norm: _BatchNorm) -> nn.Module:
    """Return what a BatchNorm does after normalising: timm's hold an activation as a child."""
    parts = [part for part in norm.children() if not isinstance(part, nn.Identity)]
    if len(parts) == 1:
        return parts[0]
    return nn.Sequential(*parts) if parts else nn.Identity()


@dataclass
class _Edge:
    """What a layer returned, and for each operator that read it the watched module it is in."""

    layer: _ConvNd | nn.Linear
    inputs: Any
    output: Tensor  # held: the id of a tensor that is gone may come again
    readers: list[nn.Module | None] = field(default_factory=list)
    normed: Tensor | None = None  # what the operator returned that normalised it
    as_folded: bool = False  # whether layer and BatchNorm compute what folding says they do


class _Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees each operator of a forward and the conv, linear or BatchNorm module that it is in."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        kinds = (_ConvNd, nn.Linear, _BatchNorm)
        self.names = {part: name for name, part in model.named_modules() if isinstance(part, kinds)}
        self.owners: dict[int, set[nn.Module]] = {}  # by the id of a parameter or buffer
        for part in self.names:
            for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False)):
                self.owners.setdefault(id(tensor), set()).add(part)
        self.open: list[nn.Module] = []
        self.calls: Counter[nn.Module] = Counter()
        self.edges: dict[int, _Edge] = {}  # by the id of the output
        self.read_elsewhere: set[nn.Module | None] = set()
        self.paused = False

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Follow the calls of the watched modules for as long as the block lasts."""
        handles = []
        for part in self.names:
            handles.append(part.register_forward_pre_hook(self._enter))
            handles.append(part.register_forward_hook(self._leave, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        if self.paused:
            return result
        inside = self.open[-1] if self.open else None
        for tensor in {id(leaf): leaf for leaf in tree_leaves((args, kwargs))}:
            self.read_elsewhere |= self.owners.get(tensor, set()) - {inside}
            if edge := self.edges.get(tensor):
                edge.readers.append(inside)
                if NORMALISE in func.name():
                    edge.normed = tree_leaves(result)[0].clone()  # it may be changed in place
        return result

    def _enter(self, part: nn.Module, args: Any) -> None:
        self.open.append(part)
        self.calls[part] += 1

    def _leave(self, part: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        while self.open.pop() is not part:  # a call inside it raised, and somebody caught that
            pass
        inputs = next(iter((*args, *kwargs.values())), None)
        edge = self.edges.get(id(inputs))
        if isinstance(part, _BatchNorm) and edge:
            self.paused = True
            edge.as_folded = _fits(edge) and _computes(edge, part, output)
            self.paused, edge.inputs, edge.normed = False, None, None
        elif isinstance(part, _ConvNd | nn.Linear) and isinstance(output, Tensor):
            self.edges[id(output)] = _Edge(part, inputs, output)

    def pairs(self, outputs: object) -> dict[str, str]:
        """Return layer -> BatchNorm, by name; `outputs` is what the network returned."""
        returned = {id(leaf) for leaf in tree_leaves(outputs)}
        edges = [edge for edge in self.edges.values() if id(edge.output) not in returned]
        found = Counter((edge.layer, norm) for edge in edges if (norm := self._only_norm(edge)))
        return {
            self.names[layer]: self.names[norm]
            for (layer, norm), times in found.items()
            if times == self.calls[layer] == self.calls[norm]
        }

    def _only_norm(self, edge: _Edge) -> _BatchNorm | None:
        """Return the BatchNorm that alone reads this output and can be folded into the layer."""
        if len(edge.readers) != 1 or not edge.as_folded:
            return None
        norm = edge.readers[0]
        if not isinstance(norm, _BatchNorm):
            return None
        return None if {edge.layer, norm} & self.read_elsewhere else norm


def _fits(edge: _Edge) -> bool:
    """Return whether the layer has a plain weight, and its outputs lie where BatchNorm's do."""
    weight = edge.layer._parameters.get("weight")  # a parametrised one is computed in each call
    return weight is not None and weight.ndim == edge.output.ndim


def _computes(edge: _Edge, norm: _BatchNorm, output: Tensor) -> bool:
    """Return whether layer and BatchNorm compute what folding assumes; torch's own classes do."""
    if edge.normed is None:  # the BatchNorm's class read it in another way
        return False
    if not _torchs_own(edge.layer):  # as timm's with standardised weights
        merged = folded(edge.layer, norm).forward(edge.inputs)  # no hooks
        if (merged - edge.normed).abs().max() > SAME * edge.normed.abs().max():
            return False
    return _torchs_own(norm) or torch.equal(leftover(norm)(edge.normed), output)


def _torchs_own(part: nn.Module) -> bool:
    return type(part).__module__.startswith("torch.nn.modules.")
