"""Proof by comparison that training form, fused network and MNN model compute the same."""

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from repghost.deploy.forward import noise_images, run
from repghost.deploy.runtime import MnnNetwork

# Relative error against the training form. Measured, as the worst of 60 spread RepGhostNets (widths
# 0.3 to 2.0, all branches and ReLU positions, 32 and 224 pixels): 1.5e-5 fused, 2.4e-5 MNN; trained
# on digits: 1.5e-6. Any one of 96 biases dropped gives 1.4e-3 or more (0.5x at 32, 1.0x at 224).
TOLERANCE = 1e-4
FAST_TOLERANCE = 1e-2  # measured: Ghost-Res50 1.1e-3 (Winograd), repvit_m0_9 2.0e-3 (GELU by tanh)
NOISE_IMAGES = 8


class CertificateError(ValueError):
    """A deployed network does not compute what the trained one does; the message has the number."""


@dataclass(frozen=True)
class Comparison:
    """One form against the training form on the same inputs.

    `relative_error` is max|a - b| / max|a| over all logits (None: not finite, see `problem`);
    `top1_agreement` the share of inputs with the same top-1, a near tie counting as the same: b's
    top-1 has in `a` a logit within 2 `tolerance` max|a| of the largest, all that an error within
    the tolerance can move. `ties` is how many inputs agree only so. Of a network with several
    outputs, a detector, each is compared so; the worst error stands for all.
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
    form `mnn` proves the graph and its weights: MNN without the large tiles of Winograd's
    algorithm, against GELU by tanh where there is GELU, since MNN has no other. The form `mnn_fast`
    is MNN as it is timed, where each of the two is off by 1e-4 to 2e-3. The result may be negative:
    `certify(...).require()` raises then.

    Raises:
        ValueError: there are no inputs, or they do not fit the MNN model, or MNN cannot load it.
    """
    runtime = MnnNetwork(mnn_path, exact=True)
    if not len(inputs) or tuple(inputs.shape[1:]) != runtime.input_shape[1:]:
        raise ValueError(
            f"inputs are {tuple(inputs.shape)}, {mnn_path} takes {runtime.input_shape}"
            " (any number of images above 0)"
        )
    reference = _outputs(model, inputs)
    as_mnn = _outputs(_with_mnns_gelu(model), inputs)
    fast = _mnn_outputs(MnnNetwork(mnn_path), inputs)
    rows = (
        _compared("fused", reference, _outputs(fused, inputs), TOLERANCE),
        _compared("mnn", as_mnn, _mnn_outputs(runtime, inputs), TOLERANCE),
        _compared("mnn_fast", reference, fast, FAST_TOLERANCE),
    )
    return Certificate(len(inputs), rows)


def _with_mnns_gelu(model: nn.Module) -> nn.Module:
    """Return `model`, or a copy with its GELUs approximated by tanh as MNN does, if it has any."""
    if not any(_is_gelu(part) for part in model.modules()):
        return model
    twin = copy.deepcopy(model)
    for part in twin.modules():
        if _is_gelu(part):
            part.forward = partial(nn.functional.gelu, approximate="tanh")
    return twin


def _is_gelu(part: nn.Module) -> bool:
    return type(part).__name__ == "GELU"  # torch's own, and timm's of the same name


def _outputs(model: nn.Module, inputs: Tensor) -> list[Tensor]:
    twin = copy.deepcopy(model).cpu().eval()  # a GPU would round to TF32
    with torch.no_grad():
        outputs: Tensor | tuple[Tensor, ...] = twin(inputs.cpu())
    several = [outputs] if isinstance(outputs, Tensor) else outputs
    return [one.double() for one in several]


def _mnn_outputs(runtime: MnnNetwork, inputs: Tensor) -> list[Tensor]:
    """Run MNN at its own batch size; the last batch is filled up with its first images."""
    batch, images = runtime.input_shape[0], inputs.cpu().numpy()
    padded = np.resize(images, (math.ceil(len(images) / batch) * batch, *images.shape[1:]))
    runs = [runtime.run_all(padded[i : i + batch]) for i in range(0, len(padded), batch)]
    parts = (np.concatenate(part)[: len(images)] for part in zip(*runs, strict=True))
    return [torch.from_numpy(part).double() for part in parts]


def _compared(form: str, a: list[Tensor], b: list[Tensor], tolerance: float) -> Comparison:
    if len(a) != len(b):
        said = f"it has {len(b)} outputs, the training form {len(a)}"
        return Comparison(form, None, 0.0, 0, tolerance, said)
    rows = [_compared_one(form, *pair, tolerance) for pair in zip(a, b, strict=True)]
    broken = next((row for row in rows if row.relative_error is None), None)
    worst = broken or max(rows, key=lambda row: row.relative_error or 0.0)
    agreement = min(row.top1_agreement for row in rows)
    problem = worst.problem or next((row.problem for row in rows if row.problem), None)
    ties = sum(row.ties for row in rows)
    return replace(worst, top1_agreement=agreement, ties=ties, problem=problem)


def _compared_one(form: str, a: Tensor, b: Tensor, tolerance: float) -> Comparison:
    if broken := _incomparable(form, a, b):
        return Comparison(form, None, 0.0, 0, tolerance, broken)
    a, b = a.flatten(1), b.flatten(1)
    scale = a.abs().max().item()
    error = (a - b).abs().max().item() / scale if scale else math.inf
    same = a.argmax(1) == b.argmax(1)
    margin = a.max(1).values - a.gather(1, b.argmax(1, keepdim=True)).squeeze(1)
    agree = same | (margin <= 2 * tolerance * scale)
    agreement, ties = agree.double().mean().item(), int((agree & ~same).sum())
    found = error if math.isfinite(error) else None
    problem = _problem(error, agreement, tolerance)
    return Comparison(form, found, agreement, ties, tolerance, problem)


def _incomparable(form: str, a: Tensor, b: Tensor) -> str | None:
    if a.shape != b.shape:
        return f"its outputs are {tuple(b.shape)}, the training form's {tuple(a.shape)}"
    for name, logits in (("the training form", a), (form, b)):
        if broken := int((~logits.isfinite()).sum()):
            return f"{broken} of {logits.numel()} outputs of {name} are not finite (NaN or inf)"
    return None


def _problem(error: float, agreement: float, tolerance: float) -> str | None:
    if math.isinf(error):
        return "all outputs of the training form are 0: nothing can be compared"
    if error > tolerance:
        return f"relative error {error:.3g}, the tolerance is {tolerance:g}"
    if agreement < 1:
        return f"top-1 agrees on {agreement:.1%} of the inputs, near ties included; expected 100%"
    return None


def spread_statistics(model: nn.Module, seed: int, input_shape: tuple[int, int, int]) -> nn.Module:
    """Return a copy in eval mode with nothing fresh left in it, as after a training.

    With fresh BatchNorms a fusion that drops every bias passes. 8 images of noise of `input_shape`
    (C, H, W) run through the copy once; each BatchNorm takes its mean and variance, each moved at
    random, and a random scale and shift: so activations stay of order 1 however deep the network
    (statistics of other sizes do not: EfficientNet-B0 with those of 64 pixels gives logits of 9,000
    at 224), and no unit is idle. Every other parameter that is constant is drawn at random too: a
    bias of zeros, LayerNorm's scale, a LayerScale of 1e-6.

    Raises:
        ValueError: the network cannot take an input of this shape.
    """
    spread = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(seed)
    norms = [part for part in spread.modules() if isinstance(part, _BatchNorm)]
    _spread_constants(spread, norms, generator)
    hooks = [norm.register_forward_pre_hook(_spread_hook(generator)) for norm in norms]
    try:
        run(spread, noise_images(spread, (NOISE_IMAGES, *input_shape), generator))
    finally:
        for hook in hooks:
            hook.remove()
    return spread


def _spread_constants(
    model: nn.Module, norms: Iterable[nn.Module], generator: torch.Generator
) -> None:
    """Draw anew each parameter, BatchNorm's apart, whose values are all 0, or all the same."""
    known = {id(parameter) for norm in norms for parameter in norm.parameters(recurse=False)}
    for parameter in model.parameters():
        values = parameter.detach()
        if id(parameter) in known or not values.numel() or values.min() != values.max():
            continue
        if not values.any():
            values.copy_(0.3 * torch.randn(values.shape, generator=generator))
        elif values.numel() > 1:  # a single number may be the constant of a formula
            values.copy_(0.5 + torch.rand(values.shape, generator=generator))


def _spread_hook(generator: torch.Generator) -> Callable[[nn.Module, tuple[Tensor]], None]:
    def spread(norm: nn.Module, args: tuple[Tensor]) -> None:
        assert isinstance(norm, _BatchNorm)
        if norm.running_mean is None or norm.running_var is None:
            return  # fuse refuses it
        dims = [dim for dim in range(args[0].ndim) if dim != 1]
        var, mean = torch.var_mean(args[0], dim=dims, correction=0)
        var = var + 0.1 * var.mean() + norm.eps  # a channel that is always 0 has none
        noise = torch.randn(len(mean), generator=generator).to(mean)
        norm.running_mean.copy_(mean + 0.3 * noise * var.sqrt())
        norm.running_var.copy_(var * _uniform(mean, 0.5, 2.0, generator))
        if norm.affine:
            norm.weight.copy_(_uniform(mean, 0.5, 1.5, generator))
            # Centred on 0, ReLUs half shut, 50 layers of them amplify rounding a thousandfold.
            noise = torch.randn(len(mean), generator=generator).to(mean)
            norm.bias.copy_(0.3 + 0.3 * noise)

    return spread


def _uniform(like: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    return (low + (high - low) * torch.rand(len(like), generator=generator)).to(like)
