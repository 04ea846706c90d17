"""The spatial features of any network of the registry, behind one interface: what a detector needs.

Ours and torchvision's are cut where their resolution falls; timm's give theirs themselves, as its
`features_only` does. Either way the network keeps the weights that it was given with.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
from timm.models._features import FeatureGetterNet
from torch import Tensor, nn
from torchvision.models import MobileNetV2, ShuffleNetV2

from repghost.models.bottlenecks import BottleneckNet
from repghost.models.mobilenext import MobileNeXt
from repghost.models.proxylessnas import ProxylessNAS
from repghost.models.res50 import Res50

SEEN = 64  # pixels a side of the image on which strides are seen


class Features(nn.Module, ABC):
    """A network without its head: images `(N, C, H, W)` -> a map for each of `strides`.

    The map of stride s is `(N, chs, H / s, W / s)`, that of the last layer at this resolution; H
    and W are multiples of the largest stride.
    """

    strides: tuple[int, ...]
    chs: tuple[int, ...]

    @abstractmethod
    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps, from the finest on."""


class CutFeatures(Features):
    """Those of layers that run one after the other, cut behind the last one at each resolution."""

    def __init__(self, layers: Sequence[nn.Module], strides: Sequence[int], in_chs: int) -> None:
        super().__init__()
        ends = _ends(layers, in_chs)
        missing = [stride for stride in strides if stride not in ends]
        if missing:
            raise ValueError(_lacks(missing, list(ends)))
        self.strides = tuple(strides)
        self.chs = tuple(ends[stride][1] for stride in strides)
        cuts = [0, *(ends[stride][0] + 1 for stride in strides)]
        parts = (layers[start:end] for start, end in pairwise(cuts))
        self.stages = nn.ModuleList(nn.Sequential(*part) for part in parts)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class TimmFeatures(Features):
    """Those that a network of timm gives; what comes after the last of them is removed from it."""

    def __init__(self, network: nn.Module, strides: Sequence[int]) -> None:
        super().__init__()
        known = [info["reduction"] for info in getattr(network, "feature_info", None) or []]
        last = {stride: index for index, stride in enumerate(known)}
        missing = [stride for stride in strides if stride not in last]
        if missing or not hasattr(network, "forward_intermediates"):
            raise ValueError(_lacks(missing or list(strides), known))
        self.strides = tuple(strides)
        self.getter = FeatureGetterNet(network, [last[stride] for stride in strides])
        self.chs = tuple(self.getter.feature_info.channels())

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.getter(x)
        return maps


def features_of(network: nn.Module, strides: Sequence[int], in_chs: int = 3) -> Features:
    """Return the features of a classifier at `strides`; its layers are used, not copied.

    Raises:
        ValueError: the network has no features at one of the strides; those that it has are named.
    """
    if type(network).__module__.startswith("timm."):
        return TimmFeatures(network, strides)
    return CutFeatures(_layers(network), strides, in_chs)


def _layers(network: nn.Module) -> list[nn.Module]:
    """Return what runs one after the other, without what prepares for the classifier."""
    if isinstance(network, BottleneckNet):
        return [network.stem, *network.blocks]
    if isinstance(network, Res50):
        return [network.stem, network.maxpool, *network.stages]
    if isinstance(network, MobileNeXt):
        return list(network.features)
    if isinstance(network, ProxylessNAS | MobileNetV2):
        return list(network.features)[:-1]
    if isinstance(network, ShuffleNetV2):
        stages = (network.stage2, network.stage3, network.stage4)
        return [network.conv1, network.maxpool, *stages]
    raise ValueError(f"{type(network).__name__} has no spatial features that are known here")


@torch.no_grad()
def _ends(layers: Sequence[nn.Module], in_chs: int) -> dict[int, tuple[int, int]]:
    """Return, by stride, the last layer there and the channels that come out of it."""
    x = torch.zeros(1, in_chs, SEEN, SEEN)
    ends: dict[int, tuple[int, int]] = {}
    for index, layer in enumerate(layers):
        x = copy.deepcopy(layer).eval()(x)
        ends[SEEN // x.shape[-1]] = index, x.shape[1]
    return ends


def _lacks(missing: Sequence[int], known: Sequence[int]) -> str:
    found = ", ".join(map(str, dict.fromkeys(known))) or "none"
    return (
        f"no features at stride {', '.join(map(str, missing))} (it has {found}): a pyramid needs a"
        " network whose resolution falls by 2 at a time"
    )
