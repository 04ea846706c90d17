"""Parameters and multiply-adds, measured from the built network."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """`params`: learnable numbers of the network; `macs`: multiply-adds for one image."""

    params: int
    macs: int


def count(model: nn.Module, input_shape: tuple[int, int, int]) -> Cost:
    """Return the cost of `model`, as it is, for one image of `input_shape` (C, H, W).

    The paper's Params are all parameters of the training form, BatchNorm and branches included:
    that alone rounds to Table 3 at 0.5, 0.58, 1.0, 1.11, 1.3 and 1.5 (conv and linear layers alone
    give 4.0 for its 4.1 M, the fused network 6.5 for its 6.6 M). Its FLOPs are the MACs of convs
    and linear layers; training and deployed form agree but for `dconv`, which is folded away.
    So `params` is reported of the training form; `macs` of the fused one are those of the device.
    """
    network = copy.deepcopy(model).cpu().eval()
    image = torch.zeros(1, *input_shape, dtype=next(network.parameters()).dtype)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    params = sum(parameter.numel() for parameter in model.parameters())
    return Cost(params, counter.get_total_flops() // 2)
