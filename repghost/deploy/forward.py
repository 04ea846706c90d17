"""One forward of a network on noise, for what can only be seen by running it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn


def noise_images(model: nn.Module, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Return normal noise of `shape` (N, C, H, W), with the network's dtype, on its device."""
    noise = torch.randn(*shape, generator=generator)
    like = next((p for p in model.parameters() if p.is_floating_point()), noise)
    return noise.to(like.device, like.dtype)


def run(model: nn.Module, inputs: Tensor) -> object:
    """Return `model(inputs)`, without gradients; no random number that others see is drawn.

    Raises:
        ValueError: the network cannot take these inputs; one line with their shape and the layer.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=[]), _running(model) as running:
        try:
            return model(inputs)
        except Exception as error:  # a forward may raise anything
            layer = f" at layer {running[-1]}" if running and running[-1] else ""
            shape, why = tuple(inputs.shape[1:]), first_line(error)
            raise ValueError(
                f"the network cannot take an input of {shape}{layer}: {why}"
            ) from error


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says, its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def _running(model: nn.Module) -> Iterator[list[str]]:
    """Keep the names of the modules whose forward is running, the innermost last."""
    running: list[str] = []

    def enter(name: str, *_: object) -> None:
        running.append(name)

    def leave(name: str, *_: object) -> None:
        while running.pop() != name:  # a call inside it raised, and somebody caught that
            pass

    handles = []
    for name, part in model.named_modules():
        handles.append(part.register_forward_pre_hook(partial(enter, name)))
        handles.append(part.register_forward_hook(partial(leave, name)))
    try:
        yield running
    finally:
        for handle in handles:
            handle.remove()
