"""What stopping at rungs saves, and whether the final front changes: real curves, replayed.

    python -m benchmarks.rungs                          200 orders, about a minute
    python -m benchmarks.rungs --record outputs/STUDY   put a finished study's curves in their place

Trains nothing: `benchmarks/data/curves.csv` holds the curves of a real sweep, and its first lines
say of which. Each rule sees them in many shuffled orders on a few slots, where a stopped variant
makes room for the next. Hours are a run's epochs times the seconds that one of them took. The front
is over configurations (latency, mean top-1 of the seeds that were trained to the end), by brute
force: it differs where a configuration is lost, and where the mean moved because a seed was
stopped. Beside it: Optuna's MedianPruner, which can see top-1 alone.
"""

import argparse
import json
import random
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Self

import optuna
from rich.console import Console
from rich.table import Table

from benchmarks.replay import MedianOfTop1, Recorded, Replay, Rungs, curves, recorded, replay
from repghost.atomic import write_text
from repghost.provenance import commit
from repghost.sweep.rungs import Curve, StopSpec

CURVES = Path(__file__).parent / "data" / "curves.csv"
SPECS: tuple[StopSpec | None, ...] = (
    None,
    StopSpec(rungs=[0.1]),
    StopSpec(rungs=[0.3]),
    StopSpec(rungs=[0.5]),
    StopSpec(rungs=[0.1, 0.3]),
    StopSpec(rungs=[0.1, 0.3, 0.5]),
    StopSpec(rungs=[0.1, 0.3], enough=1),
    StopSpec(rungs=[0.1, 0.3], enough=1, noise=1.0),
    StopSpec(rungs=[0.1, 0.3], enough=1, noise=0.0),
)
Point = tuple[float, float]  # latency in ms, top-1 in percent


@dataclass(frozen=True)
class Verdict:
    """What a rule did to one order: the shares that it saved, and what became of the front."""

    saved: float  # of the hours
    epochs: float
    stopped: int
    same_front: bool
    lost: int  # configurations of the front that were not trained to the end with any seed
    points: float  # top-1 that the front lost at the latency where it lost most
    best_rank: int  # in the whole sweep, of the best configuration that was trained to the end


@dataclass(frozen=True)
class Figures:
    """Means over the orders, with the 5 % and 95 % quantiles of what is saved, and the worst."""

    saved: float
    saved_low: float
    saved_high: float
    epochs: float
    stopped: float
    same_front: float
    lost: float
    points: float
    points_worst: float
    best_rank: float

    @classmethod
    def of(cls, verdicts: Sequence[Verdict]) -> Self:
        """Sum up what a rule did to many orders."""
        saved = sorted(one.saved for one in verdicts)
        return cls(
            saved=fmean(saved),
            saved_low=saved[len(saved) // 20],
            saved_high=saved[-1 - len(saved) // 20],
            epochs=fmean(one.epochs for one in verdicts),
            stopped=fmean(one.stopped for one in verdicts),
            same_front=fmean(one.same_front for one in verdicts),
            lost=fmean(one.lost for one in verdicts),
            points=fmean(one.points for one in verdicts),
            points_worst=max(one.points for one in verdicts),
            best_rank=fmean(one.best_rank for one in verdicts),
        )


class Truth:
    """The sweep with every variant trained to the end."""

    def __init__(self, runs: Iterable[Recorded]) -> None:
        self.runs = {run.curve.row: run for run in runs}
        self.points = self.configurations(self.runs)
        self.front = front(self.points)
        self.spent_s = sum(run.epoch_s * run.curve.epochs for run in self.runs.values())

    def configurations(self, rows: Iterable[str]) -> dict[str, Point]:
        """Return latency and mean top-1 of the seeds among `rows`, by configuration."""
        seeds: dict[str, list[Curve]] = {}
        for row in sorted(rows):
            seeds.setdefault(self.runs[row].curve.group, []).append(self.runs[row].curve)
        return {
            name: (curves[0].latency_ms, fmean(curve.scores[-1] for curve in curves))
            for name, curves in seeds.items()
        }

    def judged(self, played: Replay) -> Verdict:
        """Compare what a user sees after stopping with what there was to be seen."""
        left = self.configurations(played.finished)
        top1s = sorted((top1 for _, top1 in self.points.values()), reverse=True)
        best = max((self.points[name][1] for name in left), default=0.0)
        return Verdict(
            saved=max(0.0, 1 - played.spent_s / self.spent_s),
            epochs=1 - played.epochs / sum(run.curve.epochs for run in self.runs.values()),
            stopped=len(self.runs) - len(played.finished),
            same_front=front(left) == self.front,
            lost=len(self.front - left.keys()),
            points=max(self._lost_at(name, left) for name in self.front),
            best_rank=1 + sum(top1 > best for top1 in top1s),
        )

    def _lost_at(self, name: str, left: Collection[str]) -> float:
        """Return the points that are missing at the latency of a member of the front."""
        latency_ms, top1 = self.points[name]
        others = [self.points[one] for one in left if self.points[one][0] <= latency_ms]
        return max(0.0, top1 - max((score for _, score in others), default=0.0))


def front(points: Mapping[str, Point]) -> frozenset[str]:
    """Return those that nobody dominates, by brute force."""

    def dominates(a: Point, b: Point) -> bool:
        return a != b and a[0] <= b[0] and a[1] >= b[1]

    every = points.values()
    return frozenset(
        name
        for name, point in points.items()
        if not any(dominates(other, point) for other in every)
    )


def replayed(truth: Truth, spec: StopSpec | None, orders: int, slots: int) -> list[Verdict]:
    """Return what a rule does to each of so many shuffled orders; None is Optuna's rule."""
    found = []
    for seed in range(orders):
        order = list(truth.runs.values())
        random.Random(seed).shuffle(order)
        judge = MedianOfTop1(truth.runs) if spec is None else Rungs(truth.runs, spec)
        found.append(truth.judged(replay(order, slots, judge)))
    return found


def main() -> None:
    """Print the table, then the figures as one JSON line."""
    arguments = _arguments()
    try:
        if arguments.record:
            write_text(arguments.curves, recorded(arguments.record))
        truth = Truth(curves(arguments.curves))
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rules = {_name(spec): spec for spec in SPECS}
    found = {
        name: Figures.of(replayed(truth, spec, arguments.orders, arguments.slots))
        for name, spec in rules.items()
    }
    Console(width=116).print(_table(truth, found, arguments))
    facts = {"runs": len(truth.runs), "front": len(truth.front), "orders": arguments.orders}
    facts |= {"slots": arguments.slots, "commit": commit(), "hours": truth.spent_s / 3600}
    print(json.dumps({name: asdict(figure) for name, figure in found.items()} | facts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=200, help="shuffled orders of the sweep")
    parser.add_argument("--slots", type=int, default=4, help="trainings at a time")
    parser.add_argument("--record", type=Path, metavar="STUDY", help="folder of a finished study")
    parser.add_argument("--curves", type=Path, default=CURVES, help="file to read, or to record to")
    return parser.parse_args()


def _name(spec: StopSpec | None) -> str:
    if spec is None:
        return "Optuna's MedianPruner"
    return f"{spec.rungs} enough={spec.enough} noise={spec.noise:g}"


def _table(truth: Truth, found: Mapping[str, Figures], arguments: argparse.Namespace) -> Table:
    title = (
        f"{len(truth.runs)} runs of {len(truth.points)} configurations, {truth.spent_s / 3600:.2f}"
        f" h, {len(truth.front)} configurations on the front; means of {arguments.orders} orders"
        f" on {arguments.slots} slots\nlost: configurations of the front; points: top-1 that the"
        " front lost where it lost most (its worst order);\nbest: rank of the best top-1 that is"
        " left"
    )
    table = Table(
        "rule", "hours saved", "epochs", "stopped", "same front", "lost", "points", "best"
    )
    table.title = title
    for name, figure in found.items():
        table.add_row(
            name,
            f"{figure.saved:.0%} [{figure.saved_low:.0%}, {figure.saved_high:.0%}]",
            f"{figure.epochs:.0%}",
            f"{figure.stopped:.1f}",
            f"{figure.same_front:.0%}",
            f"{figure.lost:.2f}",
            f"{figure.points:.2f} ({figure.points_worst:.2f})",
            f"{figure.best_rank:.2f}",
        )
    return table


if __name__ == "__main__":
    main()
