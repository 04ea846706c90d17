"""Released checkpoints: read, unwrapped, renamed where needed, compared, and only then loaded.

timm's and torchvision's networks are themselves, so their state_dicts load as they are. For our
RepGhostNet the released names are translated; timm kept those of the paper's own code.
"""

import argparse
import re
from collections.abc import Container, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from repghost.models.repghostnet import RepGhostNet

# Where training scripts (timm's, torchvision's, ours) keep the weights in a checkpoint.
PLAIN, EMA = ("state_dict", "model"), ("state_dict_ema", "model_ema", "ema")
PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and of torch.compile
COUNTERS = ("num_batches_tracked", "n_averaged")  # old or averaged checkpoints differ in them
NAMED_AT_MOST = 5

# The released name -> ours, by where it stands. Source: model/repghost.py of the paper's code.
NETWORK = {
    "conv_stem.": "stem.conv.",
    "bn1.": "stem.bn.",
    "conv_head.": "head.",
    "classifier.": "classifier.",
}
LAST = {"conv.": "last.conv.", "bn1.": "last.bn."}  # a stage of its own, of one block
BOTTLENECK = {
    "conv_dw.": "dw.conv.",
    "bn_dw.": "dw.bn.",
    "se.conv_reduce.": "se.reduce.",
    "se.conv_expand.": "se.expand.",
    "shortcut.0.": "shortcut.0.conv.",
    "shortcut.1.": "shortcut.0.bn.",
    "shortcut.2.": "shortcut.1.conv.",
    "shortcut.3.": "shortcut.1.bn.",
}
MODULE = {
    "primary_conv.0.": "primary.conv.",
    "primary_conv.1.": "primary.bn.",
    "cheap_operation.0.": "depthwise.branches.main.conv.",
    "cheap_operation.1.": "depthwise.branches.main.bn.",
}
STAGES = (1, 1, 1, 1, 1, 1, 5, 1, 4)  # bottlenecks in each of the released stages
BLOCK_KEY = re.compile(r"blocks\.(\d+)\.(\d+)\.(?:(ghost[12])\.)?(.+)")
BRANCH_KEY = re.compile(r"fusion_(conv|bn)\.(\d+)\.(.+)")
DEPLOYED_KEY = re.compile(r".+\.cheap_operation\.(weight|bias)")


def read_checkpoint(path: Path, ema: bool = True) -> dict[str, Tensor]:
    """Return the weights in a file by name: `.safetensors`, or anything that torch.save wrote.

    Nothing in the file is executed. `ema` prefers the averaged weights where there are any.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, holds other objects than tensors and plain data, or no weights.
    """
    try:
        return unwrapped(_read(path), ema)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read(path: Path) -> object:
    """Return what is in the file; garbage makes the readers raise whatever they trip over."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # timm's trainer, and so the paper's, keeps its command line in the checkpoint.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it holds a {foreign[1]}" if foreign else _first_line(error)
        raise ValueError(f"not a checkpoint that can be read safely ({reason})") from error


def unwrapped(checkpoint: object, ema: bool = True) -> dict[str, Tensor]:
    """Return the named tensors inside a checkpoint, without the wrappers' prefixes.

    Raises:
        ValueError: there are none, or something among them is no tensor.
    """
    found = checkpoint if isinstance(checkpoint, Mapping) else {}
    for name in (*EMA, *PLAIN) if ema else PLAIN:
        if isinstance(found.get(name), Mapping):
            return unwrapped(found[name], ema)
    if any(isinstance(found.get(name), Mapping) for name in EMA):
        raise ValueError("only averaged (EMA) weights are in it")
    odd = [str(key) for key, value in found.items() if not isinstance(value, Tensor)]
    if odd or not found:
        names = _few(odd or [f"a {type(checkpoint).__name__}"])
        raise ValueError(f"no weights: found {names}; expected tensors or {', '.join(PLAIN + EMA)}")
    return {_bare(key): value for key, value in found.items()}


def classes_in(state_dict: Mapping[str, Tensor], otherwise: int) -> int:
    """Return how many classes a classifier's weights are for: its last linear layer's outputs."""
    linear = [value for value in state_dict.values() if value.ndim == 2]
    return len(linear[-1]) if linear else otherwise


def load_weights(model: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Copy named tensors into `model`: its own names, or the released ones into a RepGhostNet.

    Released RepGhostNet weights fit every variant in training form that has their branches. An
    identity branch or shortcut has no weights: whether there was one, the names cannot tell.

    Raises:
        ValueError: names or shapes differ (the first ones are named) or the checkpoint is a
            deployed network; `model` is then unchanged.
    """
    ours = {key: key for key in state_dict}
    if isinstance(model, RepGhostNet) and "conv_stem.weight" in state_dict:
        ours = _translated(state_dict)
    expected = model.state_dict()
    problems = _mismatch(expected, state_dict, ours)
    if problems:
        raise ValueError(
            f"these weights do not fit {type(model).__name__}: {problems}; they need the same"
            " network, branches, width, num_classes and in_chs"
        )
    model.load_state_dict({name: state_dict[key] for key, name in ours.items() if name in expected})


def _translated(state_dict: Mapping[str, Tensor]) -> dict[str, str]:
    """Return our name of each released name; one that stands nowhere keeps its own."""
    deployed = [key for key in state_dict if DEPLOYED_KEY.fullmatch(key)]
    if deployed:
        raise ValueError(
            f"this is a deployed RepGhostNet ({deployed[0]}): its branches are merged and cannot be"
            " told apart again; give the checkpoint from before the conversion"
        )
    return {key: _our_name(key, state_dict) or key for key in state_dict}


def _our_name(key: str, keys: Container[str]) -> str | None:
    match = BLOCK_KEY.fullmatch(key)
    if match is None:
        return _renamed(key, NETWORK)
    stage, block, module, rest = int(match[1]), int(match[2]), match[3], match[4]
    if stage == len(STAGES) and block == 0 and module is None:
        return _renamed(rest, LAST)
    if stage >= len(STAGES) or block >= STAGES[stage]:
        return None
    index = sum(STAGES[:stage]) + block
    if module is None:
        inner, prefix = _renamed(rest, BOTTLENECK), f"blocks.{index}."
    else:
        inner = _renamed(rest, MODULE) or _branch(rest, key.removesuffix(rest), keys)
        prefix = f"blocks.{index}.{module}."
    return inner and prefix + inner


def _branch(rest: str, module: str, keys: Container[str]) -> str | None:
    """Return our name of a weight in a branch: with a conv it is "dconv", else "bn"."""
    match = BRANCH_KEY.fullmatch(rest)
    if match is None:
        return None
    branch = "dconv" if f"{module}fusion_conv.{match[2]}.weight" in keys else "bn"
    return f"depthwise.branches.{branch}.{match[1]}.{match[3]}"


def _renamed(key: str, names: Mapping[str, str]) -> str | None:
    for theirs, ours in names.items():
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return None


def _mismatch(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], ours: Mapping[str, str]
) -> str:
    """Return what is missing, unexpected and of another shape in words; "" if all fits."""
    theirs = {name: key for key, name in ours.items()}
    missing = [name for name in expected if name not in theirs and _counts(name)]
    fitting = {theirs[name] for name in expected if name in theirs}
    unexpected = [key for key in found if key not in fitting and _counts(key)]
    shapes = [
        f"{theirs[name]} is {tuple(found[theirs[name]].shape)}, expected {tuple(value.shape)}"
        for name, value in expected.items()
        if name in theirs and found[theirs[name]].shape != value.shape
    ]
    groups = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    return "; ".join(f"{len(each)} {what}: {_few(each)}" for what, each in groups.items() if each)


def _counts(name: str) -> bool:
    """Whether this is a weight, not a counter that no network needs."""
    return name.rpartition(".")[2] not in COUNTERS


def _bare(key: str) -> str:
    while any(key.startswith(prefix) for prefix in PREFIXES):
        key = key.partition(".")[2]
    return key


def _few(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
