"""The operators of a deployed network: what each one does, and for which module."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from repghost.deploy.runtime import OperatorInfo, Shape

MADE_BY_MNN = re.compile(r"(_raster_\d+|__matmul_converted|_output_\d+)+$")
NODE_NUMBER = re.compile(r"_\d+$")  # the second Add of a module is Add_1


@dataclass(frozen=True)
class Operator:
    """One operator as MNN runs it.

    `kind` is the type, made finer where a name or the inputs tell more: "Raster concat" (it reads
    several tensors), "Raster copy" (it reads one: another memory layout, or a broadcast),
    "BinaryOp add". `layer` is the dotted path of the module; a Raster has that of the module that
    reads it, because MNN knows no other. `mflops` is MNN's estimate: of a convolution, its MMACs.
    """

    name: str
    type: str
    kind: str
    layer: str
    mflops: float
    input_shapes: tuple[Shape, ...]
    output_shape: Shape

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return vars(self) | {"input_shapes": [list(shape) for shape in self.input_shapes]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the operator that `as_dict` wrote."""
        shapes = {
            "input_shapes": tuple(tuple(shape) for shape in values["input_shapes"]),
            "output_shape": tuple(values["output_shape"]),
        }
        return cls(**(values | shapes))


def described(infos: Sequence[OperatorInfo]) -> tuple[Operator, ...]:
    """Return the operators of a network, given in the order in which they run."""
    layers = layers_of([info.name for info in infos])
    return tuple(
        Operator(info.name, info.type, kind_of(info), layer, *info[2:])
        for info, layer in zip(infos, layers, strict=True)
    )


def kind_of(info: OperatorInfo) -> str:
    """Return the type of an operator, a Raster and a BinaryOp with what it is there for."""
    if info.type == "Raster":
        return "Raster concat" if len(info.input_shapes) > 1 else "Raster copy"
    path = _path(info.name)
    if info.type == "BinaryOp" and path:
        return f"BinaryOp {NODE_NUMBER.sub('', path[-1]).lower()}"
    return info.type


def layers_of(names: Sequence[str]) -> list[str]:
    """Return the dotted module path of each of MNN's operator names, such as "blocks.0.ghost1".

    An operator that MNN's optimiser made has a bare name ("BinaryOp58"): it gets the deepest module
    that holds both its neighbours. Where a neighbour is missing too, its layer is its own name.
    """
    modules = [_module(path) if (path := _path(name)) else None for name in names]
    return [
        module if module is not None else _between(modules, i) or _bare(names[i])
        for i, module in enumerate(modules)
    ]


def _bare(name: str) -> str:
    return MADE_BY_MNN.sub("", name)


def _path(name: str) -> list[str] | None:
    """Return the parts of an ONNX node's name, "/stem/stem.0/Conv"; None where it is no path."""
    bare = _bare(name)
    return bare[1:].split("/") if bare.startswith("/") else None


def _module(path: Sequence[str]) -> str:
    """Return the dotted path; the ONNX exporter repeats a container: blocks/blocks.0 is blocks.0.

    An operator of the network's own forward() belongs to no module: it is named itself.
    """
    parts: list[str] = []
    for part in path[:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts) or path[-1]


def _between(modules: Sequence[str | None], i: int) -> str:
    before = next((module for module in reversed(modules[:i]) if module), "")
    after = next((module for module in modules[i + 1 :] if module), "")
    shared: list[str] = []
    for one, other in zip(before.split("."), after.split("."), strict=False):
        if one != other:
            break
        shared.append(one)
    return ".".join(shared)
