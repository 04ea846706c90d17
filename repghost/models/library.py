"""Networks that timm and torchvision have, built with random weights behind one small interface."""

import functools

import timm
import torch
from torch import Tensor, nn
from torchvision import models as torchvision_models

from repghost.models.baselines import (
    EfficientNetSpec,
    MobileNetV2Spec,
    MobileNetV3Spec,
    MobileOneSpec,
    ShuffleNetV2Spec,
    TimmSpec,
)
from repghost.models.registry import nearest
from repghost.models.spec import ModelSpec

NAMED_AT_MOST = 5


class DropoutLinear(nn.Linear):
    """A linear layer with dropout before it, under the key of the linear layer that it replaces."""

    def __init__(self, in_features: int, out_features: int, dropout: float) -> None:
        super().__init__(in_features, out_features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.dropout(x))


def mobilenetv2(spec: MobileNetV2Spec, dropout: float) -> nn.Module:
    """Return torchvision's MobileNetV2 of any width."""
    network = torchvision_models.mobilenet_v2(
        width_mult=spec.width, num_classes=spec.num_classes, dropout=dropout
    )
    return _with_input(network, "features.0.0", spec.in_chs)


def mobilenetv3(spec: MobileNetV3Spec, dropout: float) -> nn.Module:
    """Return timm's MobileNetV3, small or large."""
    return _created(f"mobilenetv3_{spec.size}_{round(100 * spec.width):03d}", spec, dropout)


def mobileone(spec: MobileOneSpec, dropout: float) -> nn.Module:
    """Return timm's MobileOne in its training form."""
    return _created(f"mobileone_{spec.variant}", spec, dropout)


def efficientnet(spec: EfficientNetSpec, dropout: float) -> nn.Module:
    """Return timm's EfficientNet."""
    return _created(f"efficientnet_{spec.variant}", spec, dropout)


def shufflenetv2(spec: ShuffleNetV2Spec, dropout: float) -> nn.Module:
    """Return torchvision's ShuffleNetV2, with dropout before the classifier."""
    name = f"shufflenet_v2_x{str(spec.width).replace('.', '_')}"
    network = torchvision_models.get_model(name, weights=None, num_classes=spec.num_classes)
    network.fc = DropoutLinear(network.fc.in_features, spec.num_classes, dropout)
    return _with_input(network, "conv1.0", spec.in_chs)


def timm_model(spec: TimmSpec, dropout: float) -> nn.Module:
    """Return any network of timm.

    Raises:
        ValueError: timm has no network of this name; the nearest are named.
    """
    if not spec.name:
        raise ValueError("model.name: give the name of a network of timm, such as resnet18")
    if not timm.is_model(spec.name):
        known = nearest(spec.name, timm.list_models(), NAMED_AT_MOST)
        raise ValueError(f"model.name={spec.name}: timm has no such network; nearest are {known}")
    return _created(spec.name, spec, dropout)


@functools.cache
def check_timm(spec: TimmSpec, size: int) -> None:
    """Build the network without weights and run it once on shapes alone.

    Raises:
        ValueError: there is no such network, or it cannot take images of `size` pixels a side, or
            does not give `(N, num_classes)` logits.
    """
    with torch.device("meta"), torch.no_grad():
        network = timm_model(spec, 0.0).eval()
        try:
            logits = network(torch.empty(2, spec.in_chs, size, size))
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            said = f"{spec.describe()} cannot take it: {' '.join(str(error).split())}"
            raise ValueError(f"input_size={size}: {said}") from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, spec.num_classes):
        raise ValueError(f"model.name={spec.name}: is no classifier of {spec.num_classes} classes")


def _created(name: str, spec: ModelSpec, dropout: float) -> nn.Module:
    """Return timm's network with random weights; nothing is fetched."""
    try:
        network: nn.Module = timm.create_model(
            name,
            pretrained=False,
            num_classes=spec.num_classes,
            in_chans=spec.in_chs,
            drop_rate=dropout,
        )
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ValueError(f"{spec.describe()}: timm cannot build it: {error}") from error
    return network


def _with_input(network: nn.Module, name: str, in_chs: int) -> nn.Module:
    """Replace the first conv, `name`, by one for images of `in_chs` channels, if they are not 3."""
    first = network.get_submodule(name)
    assert isinstance(first, nn.Conv2d)
    if in_chs != first.in_channels:
        conv = nn.Conv2d(
            in_chs,
            first.out_channels,
            first.kernel_size,  # type: ignore[arg-type]
            first.stride,  # type: ignore[arg-type]
            first.padding,  # type: ignore[arg-type]
            bias=first.bias is not None,
        )
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, conv)
    return network
