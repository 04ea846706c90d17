"""timm's `repghostnet_*` weights in our network: the same function, other names."""

import re
from collections.abc import Mapping

from torch import Tensor, nn

# timm's name -> ours, within the network and within a bottleneck; the first that fits is taken.
NETWORK = {
    "conv_stem.": "stem.conv.",
    "bn1.": "stem.bn.",
    "conv_head.": "head.",
    "classifier.": "classifier.",
}
LAST = {"conv.": "last.conv.", "bn1.": "last.bn."}
BOTTLENECK = {
    "primary_conv.0.": "primary.conv.",
    "primary_conv.1.": "primary.bn.",
    "cheap_operation.0.": "depthwise.branches.main.conv.",
    "cheap_operation.1.": "depthwise.branches.main.bn.",
    "fusion_bn.0.": "depthwise.branches.bn.bn.",
    "conv_dw.": "dw.conv.",
    "bn_dw.": "dw.bn.",
    "se.conv_reduce.": "se.reduce.",
    "se.conv_expand.": "se.expand.",
    "shortcut.0.": "shortcut.0.conv.",
    "shortcut.1.": "shortcut.0.bn.",
    "shortcut.2.": "shortcut.1.conv.",
    "shortcut.3.": "shortcut.1.bn.",
}
BLOCK_KEY = re.compile(r"blocks\.(\d+)\.(\d+)\.(.+)")


def load_timm(model: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Copy the state_dict of a timm `repghostnet_*` into a RepGhostNet with reparam=bn.

    Raises:
        ValueError: names or shapes differ (they are named); `model` is then unchanged.
    """
    blocks = sorted({block for key in state_dict if (block := _block(key))})
    ours = {_our_name(key, blocks): value for key, value in state_dict.items()}
    expected = model.state_dict()
    problems = [f"missing {key}" for key in expected if key not in ours]
    problems += [f"unexpected {key}" for key in ours if key not in expected]
    problems += [
        f"{key} is {tuple(ours[key].shape)}, expected {tuple(value.shape)}"
        for key, value in expected.items()
        if key in ours and ours[key].shape != value.shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(
            f"these timm weights do not fit the network: {'; '.join(problems[:5])}{more};"
            " it needs reparam=bn and the same width, num_classes and in_chs"
        )
    model.load_state_dict(ours)


def _block(key: str) -> tuple[int, int] | None:
    match = BLOCK_KEY.fullmatch(key)
    return (int(match[1]), int(match[2])) if match else None


def _our_name(key: str, blocks: list[tuple[int, int]]) -> str:
    """Return our name of timm's `key`; `blocks` are timm's (stage, block) pairs in order."""
    match = BLOCK_KEY.fullmatch(key)
    if match is None:
        return _replaced(key, NETWORK)
    index = blocks.index((int(match[1]), int(match[2])))
    if index == len(blocks) - 1:  # timm keeps the last conv1x1 as a stage of its own
        return _replaced(match[3], LAST)
    return f"blocks.{index}.{_replaced(match[3], BOTTLENECK)}"


def _replaced(key: str, names: Mapping[str, str]) -> str:
    for theirs, ours in names.items():
        if re.search(rf"(^|\.){re.escape(theirs)}", key):
            return key.replace(theirs, ours, 1)
    return key
