"""`python -m repghost.costs [NAME...]`: what the paper's networks cost, one JSON object a line."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence

from repghost.models.paper import ENTRIES
from repghost.models.registry import build, nearest

IMAGE = (3, 224, 224)  # the paper's input (C, H, W)
NAMED_AT_MOST = 3
DESCRIPTION = (
    "Build, fuse and count the paper's networks at 224 pixels: a JSON object a line, each as soon"
    " as it is known. Keys: name; params and macs of the deployed form; training_params."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the costs of the entries named, of all without names; a bad name is exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m repghost.costs", description=DESCRIPTION)
    parser.add_argument("names", metavar="NAME", nargs="*", help="an entry, such as ghostnet-0.5x")
    names: list[str] = parser.parse_args(arguments).names or list(ENTRIES)
    unknown = [name for name in names if name not in ENTRIES]
    if unknown:
        known = nearest(unknown[0], ENTRIES, NAMED_AT_MOST)
        print(f"error: {unknown[0]}: no network of the paper; nearest are {known}", file=sys.stderr)
        return 2
    for cost in costs(names):
        print(json.dumps(cost), flush=True)
    return 0


def costs(names: Iterable[str]) -> Iterator[dict[str, str | int]]:
    """Yield the costs of entries in their order, counted on one thread; imports torch."""
    import torch

    from repghost.deploy.fuse import fuse
    from repghost.models.cost import count

    torch.set_num_threads(1)
    for name in names:
        model = build(ENTRIES[name].spec).eval()
        deployed = count(fuse(model, IMAGE), IMAGE)
        trained = sum(parameter.numel() for parameter in model.parameters())
        cost = {"params": deployed.params, "macs": deployed.macs, "training_params": trained}
        yield {"name": name} | cost


if __name__ == "__main__":
    sys.exit(main())
