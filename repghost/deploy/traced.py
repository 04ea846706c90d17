"""A fused network as a TorchScript file with its input shape beside it, for GPUs."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from repghost.atomic import replace_file
from repghost.deploy.forward import first_line, run

SHAPE = "input_shape.json"  # an extra file within the TorchScript archive
Shape = tuple[int, int, int, int]


def write_traced(fused: nn.Module, input_shape: Shape, path: Path) -> None:
    """Write `fused` for inputs of exactly `input_shape` (N, C, H, W) as TorchScript in `path`.

    The file appears whole or not at all; one of that name is replaced.

    Raises:
        ValueError: the network cannot take that input, or torch cannot trace it.
    """
    like = next(fused.parameters(), torch.zeros(()))
    example = torch.zeros(input_shape, dtype=like.dtype, device=like.device)
    run(fused, example)
    with _quietly():
        try:
            traced = torch.jit.trace(fused.eval(), example)  # type: ignore[no-untyped-call]
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"torch cannot trace this network: {first_line(error)}") from error
        extra = {SHAPE: json.dumps(list(input_shape))}
        replace_file(path, lambda draft: torch.jit.save(traced, draft, _extra_files=extra))


def read_traced(path: Path, device: str = "cpu") -> tuple[Any, Shape]:
    """Return the network of a file on a torch device, and its input shape (N, C, H, W).

    Raises:
        ValueError: the file is missing, is no TorchScript, or does not say its input shape.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such TorchScript network")
    extra = {SHAPE: ""}
    try:
        with _quietly():
            network: Any = torch.jit.load(path, map_location="cpu", _extra_files=extra)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        why = first_line(error).partition(". ")[0]
        raise ValueError(f"{path}: torch cannot load this network; it said: {why}") from error
    return network.eval().to(device), _shape(path, extra[SHAPE])


def _shape(path: Path, said: str | bytes) -> Shape:
    try:
        sides = [int(side) for side in json.loads(said)]
    except (TypeError, ValueError):
        sides = []
    if len(sides) != 4 or min(sides) < 1:
        raise ValueError(f"{path}: does not say its input shape; write it with `write_traced`")
    return sides[0], sides[1], sides[2], sides[3]


@contextmanager
def _quietly() -> Iterator[None]:
    """No gradients and no warnings: torch calls TorchScript deprecated, and every shape a constant.

    Its successor, `torch.export`, takes seconds a network to write and as many to load.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
