"""Our fusion beside timm's: operators of the deployed graph, and latency on this machine's CPU.

    python -m benchmarks.fusion                        all networks, about ten minutes on two cores
    python -m benchmarks.fusion --only mobileone_s0 --size 64 --rounds 30

For each network of timm (random weights) the graph that `repghost.deploy.fuse` gives is compared
with that of `timm.utils.reparameterize_model` as torch exports it; the converter is the same. The
ratio of latencies, ours / timm's, is the median over interleaved rounds with its 95 % interval.
Goal: never more operators, never slower.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from repghost.latency.statistics import Interval
from repghost.provenance import commit

if TYPE_CHECKING:
    from torch import nn

NETWORKS = (
    "ghostnet_050",
    "ghostnet_100",
    "mobilenetv3_small_100",
    "mobilenetv3_large_100",
    "mobileone_s0",
    "efficientnet_b0",
    "repghostnet_050",
    "repghostnet_100",
    "repvit_m0_9",
)
PRECISION = 0.005  # of the ratio: rounds end when its interval is this narrow


@dataclass(frozen=True)
class Graph:
    """A deployed network as files, and how many operators they hold."""

    mnn: Path
    onnx_operators: int
    mnn_operators: int


@dataclass(frozen=True)
class Row:
    """One network: our graph, timm's, and the ratio of their latencies, ours / timm's."""

    name: str
    ours: Graph
    timms: Graph
    ratio: Interval
    rounds: int

    @property
    def reached(self) -> bool:
        """Whether ours has no more operators and its ratio's interval does not lie above 1."""
        fewer = (
            self.ours.onnx_operators <= self.timms.onnx_operators
            and self.ours.mnn_operators <= self.timms.mnn_operators
        )
        return fewer and self.ratio.low <= 1

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        return {
            "onnx_operators": [self.ours.onnx_operators, self.timms.onnx_operators],
            "mnn_operators": [self.ours.mnn_operators, self.timms.mnn_operators],
            "ratio": [round(value, 4) for value in self.ratio],
            "rounds": self.rounds,
        }


def main() -> None:
    """Print the table, then the figures as one JSON line."""
    arguments = _arguments()
    console = Console(width=110)
    rows = []
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_compared(name, arguments.size, arguments.rounds, Path(folder)))
    console.print(_table(rows, arguments.size))
    facts = {"size": arguments.size, "device": _device_profile(), "commit": commit()}
    print(json.dumps({row.name: row.as_dict() for row in rows} | facts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=224, help="side of the input in pixels")
    parser.add_argument("--rounds", type=int, default=200, help="at most so many a network")
    parser.add_argument("--only", nargs="+", default=NETWORKS, metavar="NAME", help="of timm")
    return parser.parse_args()


def _compared(name: str, size: int, rounds: int, folder: Path) -> Row:
    import timm
    import torch
    from timm.utils import reparameterize_model

    from repghost.deploy.certificate import spread_statistics
    from repghost.deploy.fuse import fuse
    from repghost.latency.devices.local import LocalDevice
    from repghost.latency.record import Budget
    from repghost.latency.session import paired

    torch.manual_seed(0)
    image = (3, size, size)
    model = spread_statistics(timm.create_model(name, pretrained=False), 0, image)
    ours = _deployed(fuse(model, image), size, folder / "ours.mnn", simplified=True)
    theirs = reparameterize_model(model).eval()
    timms = _deployed(theirs, size, folder / "timms.mnn", simplified=False)
    with LocalDevice() as device:
        pair = (lambda: device.load(ours.mnn), lambda: device.load(timms.mnn))
        found = paired(*pair, Budget(PRECISION, rounds), seed=0)
    assert found.ratio is not None
    taken = len(found.samples_ms) // found.samples_per_round
    return Row(name, ours, timms, found.ratio, taken)


def _deployed(network: "nn.Module", size: int, mnn: Path, simplified: bool) -> Graph:
    """Export with our simplifications, as the product does, or as torch writes it."""
    import onnx

    from repghost.deploy.export import convert, export, write_onnx
    from repghost.deploy.runtime import MnnNetwork

    shape, path = (1, 3, size, size), mnn.with_suffix(".onnx")
    if simplified:
        export(network, shape, path, mnn)
    else:
        write_onnx(network, shape, path)
        convert(path, mnn)
    nodes = onnx.load(str(path)).graph.node
    computing = [node for node in nodes if node.op_type != "Constant"]
    return Graph(mnn, len(computing), len(MnnNetwork(mnn).operators()))


def _table(rows: Sequence[Row], size: int) -> Table:
    title = f"our fusion against timm's at {size} pixels, commit {commit()}"
    columns = ("network", "ONNX operators", "MNN operators", "latency, ours / timm's", "goal")
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(
            row.name,
            f"{row.ours.onnx_operators} / {row.timms.onnx_operators}",
            f"{row.ours.mnn_operators} / {row.timms.mnn_operators}",
            f"{row.ratio.value:.3f} [{row.ratio.low:.3f}, {row.ratio.high:.3f}] n={row.rounds}",
            "reached" if row.reached else "missed",
        )
    return table


def _device_profile() -> str:
    from repghost.latency.devices.local import LocalDevice

    return LocalDevice().profile


if __name__ == "__main__":
    main()
