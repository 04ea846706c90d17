"""Builders of the networks that are written here because nobody has them."""

from torch import nn

from repghost.models.baselines import MobileNeXtSpec, ProxylessNASSpec
from repghost.models.mobilenext import MobileNeXt
from repghost.models.proxylessnas import ProxylessNAS
from repghost.models.repghost_spec import GhostRes50Spec, RepGhostRes50Spec, parse_branches
from repghost.models.res50 import GhostRes50, RepGhostRes50


def mobilenext(spec: MobileNeXtSpec, dropout: float) -> nn.Module:
    """Return MobileNeXt of any width."""
    return MobileNeXt(spec.width, spec.num_classes, spec.in_chs, dropout)


def proxylessnas(spec: ProxylessNASSpec, dropout: float) -> nn.Module:
    """Return the mobile ProxylessNAS."""
    return ProxylessNAS(spec.num_classes, spec.in_chs, dropout)


def ghost_res50(spec: GhostRes50Spec, dropout: float) -> nn.Module:
    """Return ResNet-50 with Ghost modules."""
    return GhostRes50(spec.ratio, spec.num_classes, spec.in_chs, dropout)


def repghost_res50(spec: RepGhostRes50Spec, dropout: float) -> nn.Module:
    """Return ResNet-50 with RepGhost modules."""
    branches = parse_branches(spec.reparam)
    return RepGhostRes50(spec.ratio, branches, spec.num_classes, spec.in_chs, dropout)
