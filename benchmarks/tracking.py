"""What W&B costs a run, and a step of its training: tracking=wandb beside tracking=none.

    python -m benchmarks.tracking                         about ten minutes on two cores
    python -m benchmarks.tracking --rounds 1 --epochs 1   a look

Each run is a process of its own that trains RepGhostNet 0.1x on random images (32 x 32, batch 64,
one thread) and tells the tracker what a real one does: its settings, its epochs, and in the end
scores, a table of latency samples and files. In a round every way runs once, in random order; what
is reported are medians of differences to `none` in the same round: of whole processes, and of each
one's median step. `online` is a server on loopback: what a network adds to it happens in W&B's own
process.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from repghost.provenance import commit
from tests.services.wandb_server import fake_wandb

WAYS = ("none", "offline", "online")
RUN_GOAL_S, STEP_GOAL_MS = 3.0, 1.0
BATCH = 64
SAMPLES = 1200  # rows of the table of latency samples
Ran = dict[str, float]


def main() -> None:
    """Print the table, then the figures as one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="runs of each way")
    parser.add_argument("--epochs", type=int, default=5, help="of each run")
    parser.add_argument("--steps", type=int, default=100, help="of each epoch")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(_train(asked.child, asked.epochs, asked.steps)))
        return
    rounds = _rounds(asked.rounds, asked.epochs, asked.steps)
    figures = {way: _costs(rounds, way) for way in WAYS[1:]}
    _show(figures, asked)
    about = {"rounds": asked.rounds, "epochs": asked.epochs, "steps": asked.steps}
    print(json.dumps(figures | about | {"commit": commit()}))


def _rounds(count: int, epochs: int, steps: int) -> list[dict[str, Ran]]:
    order = random.Random(0)
    rounds = []
    with fake_wandb() as server:
        for n in range(count):
            ways = order.sample(WAYS, len(WAYS))
            rounds.append({way: _run(way, epochs, steps, server.environment()) for way in ways})
            print(f"round {n + 1} of {count} done", file=sys.stderr)
    return rounds


def _run(way: str, epochs: int, steps: int, online: Mapping[str, str]) -> Ran:
    """Run one process, and return what it measured and how long it took in all, in s."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    words = [sys.executable, "-m", "benchmarks.tracking", "--child", way]
    words += ["--epochs", str(epochs), "--steps", str(steps)]
    with tempfile.TemporaryDirectory() as folder:
        own = {"HOME": folder, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
        environment = clean | own | (dict(online) if way == "online" else {})
        start = time.perf_counter()
        done = subprocess.run(
            words, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        whole = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{way}: exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    measured: Ran = json.loads(done.stdout.splitlines()[-1])
    return measured | {"process_s": whole}


def _train(way: str, epochs: int, steps: int) -> Ran:
    """Train, tracked or not; return the seconds to open, to close, and of a step."""
    from repghost.tracking.spec import TrackingSpec
    from repghost.tracking.tracker import Tracker
    from repghost.tracking.wandb_run import Label

    step = _trainer()
    files = [Path("metrics.jsonl")]
    files[0].write_text("{}\n" * epochs)
    label = Label("0" * 16, "study", "a run", "variant", {"model": {"width": 0.1}}, ("digits",))
    spec, said = TrackingSpec("none" if way == "none" else "wandb"), list[str]()
    start = time.perf_counter()
    with Tracker(spec, Path("wandb"), said.append) as tracker:
        tracker.start(label)
        opened = time.perf_counter()
        history: list[dict[str, Any]] = []
        steps_s: list[float] = []
        for epoch in range(epochs):
            took, losses = zip(*(_timed(step) for _ in range(steps)), strict=True)
            steps_s += took
            history.append({"epoch": epoch, "train_loss": losses[-1], "top1": 0.0, "lr": 0.1})
            tracker.follow(history)
        trained = time.perf_counter()
        tracker.summarise({"top1": 0.0, "state": "finished"})
        tracker.table("latency_samples", ("sample", "ms"), [(n, 0.5) for n in range(SAMPLES)])
        tracker.keep(files, "run")
    closed = time.perf_counter()
    if said:
        raise RuntimeError(f"the tracker complained: {said}")
    step_s = statistics.median(steps_s)
    return {"open_s": opened - start, "close_s": closed - trained, "step_s": step_s}


def _timed(step: Callable[[], float]) -> tuple[float, float]:
    """Return how long a step took, in s, and its loss."""
    start = time.perf_counter()
    loss = step()
    return time.perf_counter() - start, loss


def _trainer() -> Callable[[], float]:
    """Return what makes a step of training and gives its loss; it is warm."""
    import torch
    from torch.nn.functional import cross_entropy

    from repghost.models.registry import build
    from repghost.models.repghost_spec import RepGhostNetSpec

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = build(RepGhostNetSpec(width=0.1, num_classes=10)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images, classes = torch.randn(BATCH, 3, 32, 32), torch.arange(BATCH) % 10

    def step() -> float:
        loss = cross_entropy(model(images), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    for _ in range(5):
        step()
    return step


def _costs(rounds: Sequence[Mapping[str, Ran]], way: str) -> dict[str, float]:
    """Return the medians over rounds of what `way` costs beyond `none`, and the largest."""
    whole = [one[way]["process_s"] - one["none"]["process_s"] for one in rounds]
    steps = [1000 * (one[way]["step_s"] - one["none"]["step_s"]) for one in rounds]
    return {
        "run_s": round(statistics.median(whole), 3),
        "run_s_largest": round(max(whole), 3),
        "close_s": round(statistics.median(one[way]["close_s"] for one in rounds), 3),
        "step_ms": round(statistics.median(steps), 3),
        "step_ms_largest": round(max(steps), 3),
        "step_ms_of_none": round(1000 * statistics.median(r["none"]["step_s"] for r in rounds), 3),
    }


def _show(figures: Mapping[str, Mapping[str, float]], asked: argparse.Namespace) -> None:
    title = f"W&B beside none, {asked.rounds} rounds, commit {commit()}"
    table = Table("what it costs", *figures, "goal", title=title)
    for name, goal in (
        ("run_s", f"< {RUN_GOAL_S:g}"),
        ("run_s_largest", ""),
        ("close_s", ""),
        ("step_ms", f"< {STEP_GOAL_MS:g}"),
        ("step_ms_largest", ""),
        ("step_ms_of_none", ""),
    ):
        table.add_row(name, *(f"{costs[name]:.3f}" for costs in figures.values()), goal)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
