"""Every network by name. To add one: a builder and a description here, as one `Family`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repghost.models.architecture import bottleneck_shapes
from repghost.models.spec import ModelSpec, parse_branches

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Family:
    """One name of `model.name`: how it is built (which imports torch), how it is described."""

    build: Callable[[ModelSpec, float], nn.Module]
    describe: Callable[[ModelSpec], str]


def build(spec: ModelSpec, dropout: float = 0.0) -> nn.Module:
    """Return the network that `spec` names, in training mode, weights from torch's generator.

    Raises:
        ValueError: no network has this name.
    """
    return _family(spec.name).build(spec, dropout)


def describe(spec: ModelSpec) -> str:
    """Return one short line that says what `spec` is; imports no torch.

    Raises:
        ValueError: no network has this name.
    """
    return _family(spec.name).describe(spec)


def _family(name: str) -> Family:
    if name not in MODELS:
        nearest = difflib.get_close_matches(name, MODELS, n=len(MODELS), cutoff=0.0)
        raise ValueError(f"model.name={name}: allowed are {', '.join(nearest)}")
    return MODELS[name]


def _build_repghostnet(spec: ModelSpec, dropout: float) -> nn.Module:
    from repghost.models.repghostnet import RepGhostNet

    return RepGhostNet(spec, dropout)


def _describe_repghostnet(spec: ModelSpec) -> str:
    shapes = bottleneck_shapes(spec.width, spec.ratio, spec.se)
    identities = sum(shape.keeps_shape for shape in shapes)
    parts = [f"RepGhostNet {spec.width:g}x", f"branches {spec.reparam}"]
    if spec.ratio != 2:
        parts.append(f"s={spec.ratio:g}")
    if not spec.se:
        parts.append("no SE")
    if not spec.shortcut:
        kept = len(shapes) - identities
        parts.append(f"{identities} identity shortcuts removed, {kept} that change shape kept")
    if spec.relu != "after_add":
        parts.append(f"ReLU {_relu_note(spec)}")
    return ", ".join(parts)


def _relu_note(spec: ModelSpec) -> str:
    if not parse_branches(spec.reparam):
        return f"{spec.relu} (no branches: as after_add)"
    return f"{spec.relu} (before the add: the sum stays unfused)"


MODELS: dict[str, Family] = {"repghostnet": Family(_build_repghostnet, _describe_repghostnet)}
