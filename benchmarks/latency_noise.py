"""Does the number hold still? GhostNet 0.5x / RepGhostNet 0.5x at 224 pixels, again and again.

    python -m benchmarks.latency_noise             20 repeats, about half an hour
    python -m benchmarks.latency_noise --others 6  ... a third of an hour
    python -m benchmarks.latency_noise --quick     small networks, few rounds: only whether it runs

Every repeat is a process of its own. It takes the ratio by `paired`, by the paper's protocol (the
mean of 100 runs in a row after 10, of each, and their quotient), by the same repeated until it has
had as many runs as `paired`, and by what `benchmark.out` does on its folder (10 + 100 runs of a
fresh load of each), repeated as often; once on a quiet machine and once with the other core kept
busy by a load that switches on and off at random. The repeats of all are interleaved. Beside it:
the ratio to RepGhostNet 1.0x, and ten networks in one session. As a device's database would, the
repeats before tell `paired` how long the reference usually takes.

cv: standard deviation of the repeats' ratios over their mean; its interval is a bootstrap's. agree:
the pairs of repeats that differ by no more than their two intervals allow, of which 95 % should; by
spread: ... than the device's spread between sessions allows, as all other repeats tell it.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean, median
from typing import Any, Self

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.latency_repeat import Order
from repghost.latency.devices.local import LocalDevice
from repghost.latency.spread import Spread
from repghost.latency.states import RECENT, usual_ms
from repghost.provenance import commit

MODEL, REFERENCE, OTHER_REFERENCE = "ghostnet-0.5x", "repghostnet-0.5x", "repghostnet-1.0x"
GOALS = {("paired", "quiet"): 0.005, ("paired", "busy"): 0.01}
GOAL_S = 30.0
TOGETHER = 10
QUICK_ROUNDS = 3
SEED = 0
Row = tuple[str, str]  # what was measured by which protocol, and on what machine
Repeats = dict[Row, list[dict[str, Any]]]


@dataclass(frozen=True)
class Figures:
    """What the repeats of one protocol say; cv with its 95 % interval."""

    n: int
    cv: float
    cv_low: float
    cv_high: float
    ratio: float
    ratio_least: float
    ratio_most: float
    runs: float
    seconds: float
    seconds_most: float
    settled: float
    agree: float | None
    agree_by_spread: float | None

    @classmethod
    def of(cls, repeats: Sequence[Mapping[str, Any]]) -> Self:
        """Sum up."""
        ratios = np.array([one["ratio"] for one in repeats])
        seconds = [one["seconds"] for one in repeats]
        low, high = _cv_bounds(ratios)
        return cls(
            n=len(ratios),
            cv=float(_cv(ratios)),
            cv_low=low,
            cv_high=high,
            ratio=float(np.median(ratios)),
            ratio_least=float(ratios.min()),
            ratio_most=float(ratios.max()),
            runs=median(one["runs"] for one in repeats),
            seconds=median(seconds),
            seconds_most=max(seconds),
            settled=fmean(one["settled"] for one in repeats),
            agree=_agreement(repeats),
            agree_by_spread=_agreement_by_spread([one["ratio"] for one in repeats]),
        )


def main() -> None:
    """Print the tables, then the figures as one JSON line."""
    arguments = _arguments()
    if arguments.repeats < 2 or arguments.others == 1:
        sys.exit("--repeats must be at least 2, and --others 0 or at least 2")
    with tempfile.TemporaryDirectory() as folder:
        found = _measured(arguments, Path(folder))
    (together,) = found.pop(("together", "quiet"))
    figures = {row: Figures.of(repeats) for row, repeats in (found | _settled(found)).items()}
    alone = figures["paired", "quiet"].seconds
    console = Console(width=120)
    console.print(_table(figures, arguments))
    console.print(
        f"one network to {arguments.precision:.1%}: median {alone:.1f} s, worst"
        f" {figures['paired', 'quiet'].seconds_most:.1f} s (goal < {GOAL_S:g} s)\n"
        f"ten together: {together['seconds']:.1f} s; ten alone: {TOGETHER * alone:.1f} s"
    )
    facts = {"size": arguments.size, "device": LocalDevice().profile, "commit": commit()}
    costs = {"together_s": together["seconds"], "ten_alone_s": TOGETHER * alone, "seed": SEED}
    names = {f"{protocol} ({machine})": asdict(one) for (protocol, machine), one in figures.items()}
    print(json.dumps(names | costs | facts))


def _settled(found: Repeats) -> Repeats:
    """Return the repeats of which it was said that they settled, where there are two and others."""
    told = {row: [one for one in repeats if one["settled"]] for row, repeats in found.items()}
    return {
        (f"{protocol}, settled", machine): settled
        for (protocol, machine), settled in told.items()
        if 2 <= len(settled) < len(found[protocol, machine])
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=20, help="of `paired`")
    parser.add_argument("--others", type=int, default=20, help="repeats of the other protocols")
    parser.add_argument("--size", type=int, default=224, help="side of the input in pixels")
    parser.add_argument("--precision", type=float, default=0.01, help="at which `paired` stops")
    parser.add_argument("--rounds", type=int, default=600, help="at which `paired` gives up")
    parser.add_argument("--quick", action="store_true", help="2 repeats of 3 rounds at 32 pixels")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats, arguments.size, arguments.rounds = 2, 32, QUICK_ROUNDS
    return arguments


def _measured(arguments: argparse.Namespace, folder: Path) -> Repeats:
    console, found = Console(stderr=True, width=120), Repeats()
    past: dict[str, list[float]] = {}  # what each reference took in the repeats so far
    console.print("exporting the networks")
    files = exported(folder, arguments.size)
    orders = list(_orders(files, arguments))
    for done, (name, order) in enumerate(orders, start=1):
        machine = "busy" if order.loaded else "quiet"
        before = past.setdefault(order.reference, [])
        for protocol, one in repeated(replace(order, usual_ms=usual_ms(before[-RECENT:]))).items():
            before += [one["reference_ms"]] if one["reference_ms"] else []
            found.setdefault((name or protocol, machine), []).append(one)
            console.print(
                f"[{done}/{len(orders)}] {name or protocol}, {machine}: {one['ratio']:.4f}"
                f" {one['runs']} runs {one['seconds']:.1f} s {'; '.join(one['flags'])}"
                f"{'' if one['settled'] else ' (not settled)'}",
                highlight=False,
            )
    return found


def _orders(
    files: Mapping[str, Path], arguments: argparse.Namespace
) -> Iterator[tuple[str, Order]]:
    """Yield what each process does, and the name of the row where it is not the protocol's."""
    limits = {"precision": arguments.precision, "max_rounds": arguments.rounds}
    model, reference, other = (str(files[n]) for n in (MODEL, REFERENCE, OTHER_REFERENCE))
    shuffled = random.Random(SEED)
    for seed in range(arguments.repeats):
        others = seed < arguments.others
        orders = [
            ("", Order(model, reference, seed, loaded=loaded, others=others, **limits))
            for loaded in (False, True)
        ]
        if seed % 4 == 1 or arguments.repeats < 4:  # some of them: only to choose the reference
            to_other = Order(model, other, seed, others=False, **limits)
            orders.append(("paired, to RepGhostNet 1.0x", to_other))
        shuffled.shuffle(orders)
        yield from orders
    yield "together", Order(model, reference, SEED, together=TOGETHER, **limits)


def exported(folder: Path, size: int) -> dict[str, Path]:
    """Return the networks as the product deploys them, by name."""
    from repghost.latency.spec import LatencySpec
    from repghost.models.paper import ENTRIES
    from repghost.preparation import prepare
    from repghost.settings import Settings

    files = {}
    for name in (MODEL, REFERENCE, OTHER_REFERENCE):
        settings = Settings(model=ENTRIES[name].spec, latency=LatencySpec(input_size=size))
        files[name] = folder / f"{name}.mnn"
        prepare(settings, files[name]).certificate.require()
    return files


def repeated(order: Order) -> dict[str, dict[str, Any]]:
    """Return the figures of a repeat in a process of its own, by protocol."""
    words = [sys.executable, "-m", "benchmarks.latency_repeat", json.dumps(asdict(order))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"a repeat failed:\n{done.stdout}{done.stderr}")
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _cv(ratios: np.ndarray[Any, Any]) -> Any:
    """Return the coefficient of variation along the last axis."""
    return ratios.std(axis=-1, ddof=1) / ratios.mean(axis=-1)


def _cv_bounds(ratios: np.ndarray[Any, Any]) -> tuple[float, float]:
    rng, n = np.random.default_rng(SEED), len(ratios)
    resampled = _cv(ratios[rng.integers(n, size=(2000, n))])
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)


def _agreement(repeats: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the share of pairs whose difference lies within that of their 95 % intervals."""
    if any(one["low"] is None for one in repeats):
        return None
    pairs = list(combinations(repeats, 2))
    widths = [np.hypot(*((one["high"] - one["low"]) / 2 for one in pair)) for pair in pairs]
    gaps = [abs(a["ratio"] - b["ratio"]) for a, b in pairs]
    return fmean(float(gap <= width) for gap, width in zip(gaps, widths, strict=True))


def _agreement_by_spread(ratios: Sequence[float]) -> float | None:
    """Return the share of pairs that differ by no more than all other repeats let expect."""
    said = []
    for i, j in combinations(range(len(ratios)), 2):
        spread = Spread.of([[one for at, one in enumerate(ratios) if at not in (i, j)]])
        if spread is None:
            return None
        said.append(abs(np.log(ratios[i] / ratios[j])) <= np.sqrt(2) * spread.half_width)
    return fmean(map(float, said))


def _table(figures: Mapping[Row, Figures], arguments: argparse.Namespace) -> Table:
    title = (
        f"GhostNet 0.5x / RepGhostNet 0.5x at {arguments.size} pixels, commit {commit()}\n"
        "quiet, and with the other core busy at random; runs: of both networks, untimed ones too"
    )
    columns = ("protocol", "machine", "n", "cv", "goal", "ratio", "runs", "s", "settled")
    table = Table(*columns, "agree", "by spread", title=title)
    for row, one in sorted(figures.items(), key=lambda item: item[0][1], reverse=True):
        goal = GOALS.get(row)
        table.add_row(
            *row,
            str(one.n),
            f"{one.cv:.2%} [{one.cv_low:.2%}, {one.cv_high:.2%}]",
            "" if goal is None else f"{goal:.1%} {'reached' if one.cv <= goal else 'missed'}",
            f"{one.ratio:.4f} [{one.ratio_least:.3f}, {one.ratio_most:.3f}]",
            f"{one.runs:.0f}",
            f"{one.seconds:.1f}",
            f"{one.settled:.0%}",
            _share(one.agree),
            _share(one.agree_by_spread),
        )
    return table


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


if __name__ == "__main__":
    main()
