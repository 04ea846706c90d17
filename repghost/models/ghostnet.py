"""GhostNet as timm has it, and with every concatenation replaced by an add (Table 1)."""

from dataclasses import replace

import timm
from torch import nn

from repghost.models.architecture import BottleneckShape, ghostnet_shapes
from repghost.models.bottlenecks import BottleneckNet
from repghost.models.ghost import GhostModule
from repghost.models.repghost_spec import GhostNetSpec


def build_ghostnet(spec: GhostNetSpec, dropout: float) -> nn.Module:
    """Return GhostNet of any width: timm's, or `stacked` with `reuse=add`."""
    if spec.reuse == "add":
        return stacked(spec, dropout)
    known = timm.create_model("ghostnet_100")  # holds the table of its stages
    network: nn.Module = type(known)(
        known.cfgs,
        num_classes=spec.num_classes,
        width=spec.width,
        in_chans=spec.in_chs,
        drop_rate=dropout,
    )
    return network


def stacked(spec: GhostNetSpec, dropout: float = 0.0) -> nn.Module:
    """Return GhostNet from our bottlenecks; with `reuse=concat` it deploys to timm's graph.

    With `reuse=add` each module adds the two tensors that it would concatenate: half the channels
    come out of it, and so all that lies between two modules has half the channels.
    """

    def module(in_chs: int, out_chs: int, relu: str | None) -> nn.Module:
        chs = 2 * out_chs if spec.reuse == "add" else out_chs
        return GhostModule(in_chs, chs, relu=relu is not None, reuse=spec.reuse)

    shapes = ghostnet_shapes(spec.width)
    if spec.reuse == "add":
        shapes = [_halved(shape) for shape in shapes]
    return BottleneckNet(spec, shapes, module, dropout=dropout)


def _halved(shape: BottleneckShape) -> BottleneckShape:
    halves = {name: getattr(shape, name) // 2 for name in ("in_chs", "mid_chs", "out_chs")}
    return replace(shape, **halves)
