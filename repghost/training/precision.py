"""How a step is computed: in which floating-point format, and compiled or not."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

FORMATS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def usable(amp: str, device: torch.device) -> str:
    """Return the format that a training asked for as `recipe.amp` gets on `device`.

    Float16 needs a GPU; elsewhere it is "none", float32, which the caller should say.

    Raises:
        ValueError: the GPU computes no bfloat16; there float16 is the one to ask for.
    """
    if amp == "fp16" and device.type != "cuda":
        return "none"
    if amp == "bf16" and device.type == "cuda" and not _has_bf16():
        name = torch.cuda.get_device_name(device)
        raise ValueError(f"recipe.amp=bf16: {name} computes no bfloat16; recipe.amp=fp16 does")
    return amp


def autocast(amp: str, device: torch.device) -> AbstractContextManager[object]:
    """Return what a forward pass runs in; a format that is usable on `device`."""
    return nullcontext() if amp == "none" else torch.autocast(device.type, FORMATS[amp])


def compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return `model` as torch.compile makes it faster: whole, or not at all.

    Sizes are compiled in, so that a run that is continued gets the same code for the same batch.
    What is returned raises ValueError at its first call where network or machine cannot be
    compiled; never is it the plain network in secret.
    """
    fast = torch.compile(model, fullgraph=True, dynamic=False)

    def forward(images: Tensor) -> Tensor:
        try:
            logits: Tensor = fast(images)
        except _failures() as error:
            reason = " ".join((str(error).strip() or type(error).__name__).split())[:300]
            raise ValueError(f"recipe.compile=true: cannot be compiled here: {reason}") from error
        return logits

    return forward


def _failures() -> type[Exception]:
    from torch._dynamo.exc import TorchDynamoException

    return TorchDynamoException


def _has_bf16() -> bool:
    found: bool = torch.cuda.is_bf16_supported(including_emulation=False)
    return found
