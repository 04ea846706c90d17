"""Every family of networks: its knobs and its builder. To add one: a row, and a conf/model file."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repghost.models.baselines import (
    EfficientNetSpec,
    MobileNetV2Spec,
    MobileNetV3Spec,
    MobileNeXtSpec,
    MobileOneSpec,
    ProxylessNASSpec,
    ShuffleNetV2Spec,
    TimmSpec,
)
from repghost.models.repghost_spec import (
    GhostNetSpec,
    GhostRes50Spec,
    RepGhostNetSpec,
    RepGhostRes50Spec,
)
from repghost.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Family:
    """The knobs of a family, and "module:function" (spec, dropout) -> network, imported late."""

    spec: type[ModelSpec]
    builder: str

    def build(self, spec: ModelSpec, dropout: float) -> nn.Module:
        """Import the builder, and torch with it, and call it."""
        module, function = self.builder.split(":")
        network: nn.Module = getattr(importlib.import_module(module), function)(spec, dropout)
        return network


FAMILIES = {
    "repghostnet": Family(RepGhostNetSpec, "repghost.models.repghostnet:build_repghostnet"),
    "ghostnet": Family(GhostNetSpec, "repghost.models.ghostnet:build_ghostnet"),
    "mobilenetv2": Family(MobileNetV2Spec, "repghost.models.library:mobilenetv2"),
    "mobilenetv3": Family(MobileNetV3Spec, "repghost.models.library:mobilenetv3"),
    "mobilenext": Family(MobileNeXtSpec, "repghost.models.written:mobilenext"),
    "mobileone": Family(MobileOneSpec, "repghost.models.library:mobileone"),
    "efficientnet": Family(EfficientNetSpec, "repghost.models.library:efficientnet"),
    "shufflenetv2": Family(ShuffleNetV2Spec, "repghost.models.library:shufflenetv2"),
    "proxylessnas": Family(ProxylessNASSpec, "repghost.models.written:proxylessnas"),
    "ghost_res50": Family(GhostRes50Spec, "repghost.models.written:ghost_res50"),
    "repghost_res50": Family(RepGhostRes50Spec, "repghost.models.written:repghost_res50"),
    "timm": Family(TimmSpec, "repghost.models.library:timm_model"),
}


def spec_class(family: str) -> type[ModelSpec]:
    """Return the dataclass of a family's knobs.

    Raises:
        ValueError: no family has this name; all are named, the nearest first.
    """
    return _family(family).spec


def build(spec: ModelSpec, dropout: float = 0.0) -> nn.Module:
    """Return the network that `spec` names, in training mode, weights from torch's generator.

    Raises:
        ValueError: there is no such family, or the network cannot be built with these knobs.
    """
    return _family(spec.family).build(spec, dropout).train()


def nearest(name: str, known: Iterable[str], at_most: int) -> str:
    """Return known names in words, those most like `name` first."""
    return ", ".join(difflib.get_close_matches(name, list(known), n=at_most, cutoff=0.0))


def _family(name: str) -> Family:
    if name not in FAMILIES:
        known = nearest(name, FAMILIES, len(FAMILIES))
        raise ValueError(f"model.family={name}: allowed are {known}")
    return FAMILIES[name]
