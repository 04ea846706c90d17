"""Proof by comparison that training form, fused network and MNN model compute the same."""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from repghost.deploy.runtime import MnnNetwork

# Relative error against the training form. Measured, as the worst of 60 spread networks (widths 0.3
# to 2.0, all branches and ReLU positions, 32 and 224 pixels): 6.3e-6 fused, 5.9e-6 MNN; trained on
# digits: 1.5e-6. Any one of 95 biases dropped gives 3.1e-4 or more (0.5x at 32, 1.0x at 224).
TOLERANCE = 1e-4


class CertificateError(ValueError):
    """A deployed network does not compute what the trained one does; the message has the number."""


@dataclass(frozen=True)
class Comparison:
    """One form against the training form on the same inputs.

    `relative_error` is max|a - b| / max|a| over all logits (None: not finite, see `problem`);
    `top1_agreement` the share of inputs with the same top-1, a near tie counting as the same: b's
    top-1 has in `a` a logit within 2 `tolerance` max|a| of the largest, all that an error within
    the tolerance can move. `ties` is how many inputs agree only so.
    """

    form: str
    relative_error: float | None
    top1_agreement: float
    ties: int
    tolerance: float
    problem: str | None

    @property
    def passed(self) -> bool:
        """Whether the forms are equal within the tolerance."""
        return self.problem is None


@dataclass(frozen=True)
class Certificate:
    """The comparisons of one network on `inputs` images; see `certify`."""

    inputs: int
    comparisons: tuple[Comparison, ...]

    @property
    def passed(self) -> bool:
        """Whether every comparison passed."""
        return all(comparison.passed for comparison in self.comparisons)

    def as_dict(self) -> dict[str, Any]:
        """Return what `certificate.json` holds: `passed`, `inputs`, and a dict per form."""
        rows = {row.form: asdict(row) | {"passed": row.passed} for row in self.comparisons}
        return {"passed": self.passed, "inputs": self.inputs} | rows

    def require(self) -> "Certificate":
        """Return self if every comparison passed.

        Raises:
            CertificateError: naming form, number found and tolerance of each that did not.
        """
        problems = [f"{row.form}: {row.problem}" for row in self.comparisons if row.problem]
        if problems:
            raise CertificateError(
                f"the deployed network is not the trained one; {'; '.join(problems)}"
            )
        return self


def certify(model: nn.Module, fused: nn.Module, mnn_path: Path, inputs: Tensor) -> Certificate:
    """Compare training form (in eval mode), fused network and MNN model on `inputs` (N, C, H, W).

    All run in float32 on the CPU, MNN at the file's own batch size; neither network is changed. The
    result may be negative: `certify(...).require()` raises then.

    Raises:
        ValueError: there are no inputs, or they do not fit the MNN model, or MNN cannot load it.
    """
    runtime = MnnNetwork(mnn_path)
    if not len(inputs) or tuple(inputs.shape[1:]) != runtime.input_shape[1:]:
        raise ValueError(
            f"inputs are {tuple(inputs.shape)}, {mnn_path} takes {runtime.input_shape}"
            " (any number of images above 0)"
        )
    reference = _logits(model, inputs)
    others = {"fused": _logits(fused, inputs), "mnn": _mnn_logits(runtime, inputs)}
    rows = [_compared(form, reference, others[form]) for form in others]
    return Certificate(len(inputs), tuple(rows))


def _logits(model: nn.Module, inputs: Tensor) -> Tensor:
    twin = copy.deepcopy(model).cpu().eval()  # a GPU would round to TF32
    with torch.no_grad():
        logits: Tensor = twin(inputs.cpu())
    return logits.double()


def _mnn_logits(runtime: MnnNetwork, inputs: Tensor) -> Tensor:
    """Run MNN at its own batch size; the last batch is filled up with its first images."""
    batch, images = runtime.input_shape[0], inputs.cpu().numpy()
    padded = np.resize(images, (math.ceil(len(images) / batch) * batch, *images.shape[1:]))
    logits = [runtime.run(padded[i : i + batch]) for i in range(0, len(padded), batch)]
    return torch.from_numpy(np.concatenate(logits)[: len(images)]).double()


def _compared(form: str, a: Tensor, b: Tensor) -> Comparison:
    if broken := _incomparable(form, a, b):
        return Comparison(form, None, 0.0, 0, TOLERANCE, broken)
    scale = a.abs().max().item()
    error = (a - b).abs().max().item() / scale if scale else math.inf
    same = a.argmax(1) == b.argmax(1)
    margin = a.max(1).values - a.gather(1, b.argmax(1, keepdim=True)).squeeze(1)
    agree = same | (margin <= 2 * TOLERANCE * scale)
    agreement, ties = agree.double().mean().item(), int((agree & ~same).sum())
    found = error if math.isfinite(error) else None
    return Comparison(form, found, agreement, ties, TOLERANCE, _problem(error, agreement))


def _incomparable(form: str, a: Tensor, b: Tensor) -> str | None:
    if a.shape != b.shape:
        return f"its outputs are {tuple(b.shape)}, the training form's {tuple(a.shape)}"
    for name, logits in (("the training form", a), (form, b)):
        if broken := int((~logits.isfinite()).sum()):
            return f"{broken} of {logits.numel()} outputs of {name} are not finite (NaN or inf)"
    return None


def _problem(error: float, agreement: float) -> str | None:
    if math.isinf(error):
        return "all outputs of the training form are 0: nothing can be compared"
    if error > TOLERANCE:
        return f"relative error {error:.3g}, the tolerance is {TOLERANCE:g}"
    if agreement < 1:
        return f"top-1 agrees on {agreement:.1%} of the inputs, near ties included; expected 100%"
    return None


def spread_statistics(model: nn.Module, seed: int) -> nn.Module:
    """Return a copy in eval mode whose BatchNorms are no longer fresh, as after a training.

    With fresh ones a fusion that drops every bias passes. Noise (8 images of 64 x 64) runs through
    the copy once; each BatchNorm takes its mean and variance, each moved at random, and a random
    scale and shift: so activations stay of order 1 however deep the network, and no unit is idle.
    """
    spread = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(seed)
    norms = [part for part in spread.modules() if isinstance(part, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(_spread_hook(generator)) for norm in norms]
    with torch.no_grad():
        spread(_noise(spread, generator))
    for hook in hooks:
        hook.remove()
    return spread


def _noise(model: nn.Module, generator: torch.Generator) -> Tensor:
    conv = next(part for part in model.modules() if isinstance(part, nn.Conv2d))
    return torch.randn(8, conv.in_channels, 64, 64, generator=generator).to(conv.weight)


def _spread_hook(generator: torch.Generator) -> Callable[[nn.Module, tuple[Tensor]], None]:
    def spread(norm: nn.Module, args: tuple[Tensor]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None and norm.running_var is not None
        var, mean = torch.var_mean(args[0], dim=(0, 2, 3), correction=0)
        var = var + 0.1 * var.mean() + norm.eps  # a channel that is always 0 has none
        noise = torch.randn(len(mean), generator=generator).to(mean)
        norm.running_mean.copy_(mean + 0.3 * noise * var.sqrt())
        norm.running_var.copy_(var * _uniform(mean, 0.5, 2.0, generator))
        if norm.affine:
            norm.weight.copy_(_uniform(mean, 0.5, 1.5, generator))
            norm.bias.copy_(0.3 * torch.randn(len(mean), generator=generator).to(mean))

    return spread


def _uniform(like: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    return (low + (high - low) * torch.rand(len(like), generator=generator)).to(like)
