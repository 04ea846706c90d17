"""Training throughput: our engine beside timm's train.py on the same network, batch and images.

    python -m benchmarks.train --quick          about a minute on two cores
    python -m benchmarks.train                  larger images, more rounds, ours compiled as well

timm's wheel holds no train.py, so its step is made here of timm's own parts, in the order of that
script without distribution: autocast, loss, `loss.item()` into an AverageMeter, zero_grad,
backward, optimizer.step, ModelEmaV3.update, synchronize, scheduler. Once with that script's
defaults, once with its --channels-last, which is ours always. All compute
LabelSmoothingCrossEntropy, SGD and an average of RepGhostNet 0.5x on one batch of random images
that lies on the device: no data are loaded.

Rounds of some steps each, in random order; what is compared is the time of a step within a round,
and the interval is one of the median over rounds. Goals: 1.0x on a CPU, 1.2x on a GPU (bf16, batch
256 and 1024). Then what steps wait for a checkpoint: the copy of the state, and the writing of it
beside them. Last the share of their time that they wait for photographs, packed raw (goal: under
5 %).
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from repghost.cores import share_cores
from repghost.latency.statistics import Interval, median_interval
from repghost.provenance import commit

TIMMS = ("timm", "timm --channels-last")
MINUTE_MS = 60_000.0
GOAL_SHARE = 0.01  # of its time that a step may wait for checkpoints
GOAL_DATA = 0.05  # ... and for data
GOALS = {"cpu": 1.0, "cuda": 1.2}  # times as fast as timm
Seconds = Mapping[str, Sequence[float]]  # of a step, by contestant and round


def ratio(other: Sequence[float], ours: Sequence[float]) -> Interval:
    """Return how many times as fast `ours` is, round by round, with the interval of the median."""
    each = np.array(other) / np.array(ours)
    return median_interval(each, np.random.default_rng(0))


def said(one: Interval) -> str:
    """Write an interval."""
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def table_of(seconds: Seconds, batch: int, title: str) -> Table:
    """Return the contestants as a table."""
    table = Table("", "ms a step", "images/s", *(f"times {name}" for name in TIMMS), title=title)
    for name, taken in seconds.items():
        step_s = statistics.median(taken)
        ratios = (said(ratio(seconds[other], taken)) for other in TIMMS)
        table.add_row(name, f"{1000 * step_s:.1f}", f"{batch / step_s:.0f}", *ratios)
    return table


def figures_of(seconds: Seconds, where: str) -> dict[str, float]:
    """Return how many times as fast as each of timm's ours is."""
    return {
        f"{where}: {name} / {other}": round(ratio(seconds[other], taken).value, 3)
        for name, taken in seconds.items()
        for other in TIMMS
        if name not in TIMMS
    }


def main() -> None:
    """Print the tables, then the figures as one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small images, few rounds")
    parser.add_argument("--rounds", type=int, help="default: 21, with --quick 9")
    parser.add_argument("--size", type=int, help="pixels on the CPU; default: 128, with --quick 64")
    parser.add_argument("--steps", type=int, help="in a round; default: 4, with --quick 2")
    run(parser.parse_args(), Console(width=110))


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Let them train, on the CPU and on a GPU where there is one."""
    share_cores()  # before torch is imported, as the product does
    import torch

    from benchmarks.train_contest import compare, contestants, waiting
    from benchmarks.train_feed import waited_for_data

    rounds = arguments.rounds or (9 if arguments.quick else 21)
    at_once = arguments.steps or (2 if arguments.quick else 4)
    batch, size = (32, 64) if arguments.quick else (64, 128)
    places = [(torch.device("cpu"), batch, arguments.size or size, "none")]
    if torch.cuda.is_available():
        places += [(torch.device("cuda"), batch, 224, "bf16") for batch in (256, 1024)]
    figures: dict[str, object] = {}
    for device, batch, size, amp in places:
        steps = contestants(device, batch, size, amp, not arguments.quick)
        seconds = compare(steps, device, rounds, at_once)
        where = f"{device.type}, batch {batch} at {size} x {size}, {amp}"
        console.print(table_of(seconds, batch, f"{where}, n={rounds}"))
        figures |= figures_of(seconds, where)
        best = max(figures[f"{where}: {name} / timm"] for name in seconds if name not in TIMMS)
        figures[f"{where}: goal met"] = bool(best >= GOALS[device.type])
    device, batch, size, _ = places[0]
    figures |= say_waits(waiting(device, batch, size, 3), console)
    for device, batch, _, amp in places:
        waits = waited_for_data(device, batch, amp)
        figures |= say_feed(waits, f"{device.type}, {batch}", console)
    if not torch.cuda.is_available():
        console.print("GPU: skipped: there is none here")
    figures |= {"cuda": torch.cuda.is_available(), "threads": torch.get_num_threads()}
    print(json.dumps(figures | {"commit": commit()}))


def say_waits(waits: dict[str, float], console: Console) -> dict[str, object]:
    """Print what steps wait for checkpoints; return the figures."""
    longest = waits["wait_ms_most"] + max(0.0, waits["slower_while_writing_ms"])
    share = longest / MINUTE_MS
    console.print(
        f"a checkpoint of {waits['checkpoint_mb']:.0f} MB: a step waits {waits['wait_ms']:.1f} ms"
        f" (at most {waits['wait_ms_most']:.1f}), those beside its writing take"
        f" {waits['slower_while_writing_ms']:.1f} ms longer: {share:.3%} at one a minute"
    )
    rounded = {name: round(value, 2) for name, value in waits.items()}
    return rounded | {"wait_share": round(share, 6), "wait_goal_met": share < GOAL_SHARE}


def say_feed(waits: dict[str, float], where: str, console: Console) -> dict[str, object]:
    """Print what steps wait for photographs; return the figures."""
    console.print(
        f"{where} photographs a step, packed raw, {waits['workers']:.0f} worker(s): steps wait"
        f" {waits['share']:.2%} of their time ({waits['images_per_s']:.0f} images/s; the epoch's"
        f" first batch took {waits['first_s']:.2f} s)"
    )
    rounded = {f"{where}: data {name}": round(value, 4) for name, value in waits.items()}
    return rounded | {f"{where}: data_goal_met": waits["share"] < GOAL_DATA}


if __name__ == "__main__":
    main()
