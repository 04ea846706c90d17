"""How much sooner are the variants of Table 6 trained as a cohort than one after another?

    python -m benchmarks.cohort          about ten minutes on two cores
    python -m benchmarks.cohort --quick  one round with few images: only whether it runs

Six branches of RepGhostNet 0.5x on 500 x 375 JPEGs, decoded by one worker process with timm's
transforms, at a small input size: loading is the bottleneck. Both as a sweep runs them here: jobs
with a process each, or one for all, from the start of Python to the certified result. Rounds of
both, in random order; the ratio is taken within a round. Then the same where nothing is to be
loaded (digits), where sharing can only cost. Goals: 2.5x with the loader as the bottleneck, never
slower than 1.0x. Last it is compared that the members' weights are those of the lone trainings.
"""

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.pictures import CLASSES, write_pictures
from repghost.cores import share_cores, threads_for
from repghost.latency.spec import StorageSpec
from repghost.latency.statistics import median_interval
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.provenance import commit
from repghost.run import Run
from repghost.settings import Settings
from repghost.sweep.jobs.contract import Phase, Task
from repghost.sweep.jobs.local import LocalJobs
from repghost.tracking.spec import TrackingSpec
from repghost.training.spec import DataSpec, RecipeSpec
from repghost.trial import run_stage

BRANCHES = ("none", "id", "dconv", "bn", "dconv+bn", "id+dconv+bn")
GOALS = {"photographs": 2.5, "digits": 1.0}
PAPER = {"hflip": 0.5, "scale_min": 0.08, "random_erasing": 0.2, "color_jitter": 0.4, "shift_px": 0}
ALONE, TOGETHER = "one after another", "cohort"


def main() -> None:
    """Print the table, then the figures as one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round, few images")
    parser.add_argument("--rounds", type=int, help="default: 5, with --quick 1")
    parser.add_argument("--images", type=int, help="default: 1024, with --quick 128")
    given = parser.parse_args()
    rounds = given.rounds or (1 if given.quick else 5)
    images = given.images or (128 if given.quick else 1024)
    share_cores()
    with tempfile.TemporaryDirectory(prefix="repghost-cohort-") as folder:
        root = write_pictures(Path(folder, "images"), images)
        data = DataSpec(
            "folder", str(root), num_classes=CLASSES, input_size=32, in_chs=3, workers=1
        )
        cases = {
            "photographs": (data, RecipeSpec(epochs=1, batch_size=64, warmup_epochs=0, **PAPER)),
            "digits": (DataSpec(), RecipeSpec(epochs=1, warmup_epochs=0)),
        }
        seconds = {
            name: _contest(Path(folder), name, *case, rounds) for name, case in cases.items()
        }
    _say(seconds, rounds, images)


def _contest(
    folder: Path, name: str, data: DataSpec, recipe: RecipeSpec, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of both ways, a number for each round."""
    seconds: dict[str, list[float]] = {ALONE: [], TOGETHER: []}
    rng = np.random.default_rng(0)
    for number in range(rounds):
        digests = {}
        for way in rng.permutation(list(seconds)):
            outputs = folder / f"{name}-{number}-{way.replace(' ', '-')}"
            variants = [_variant(branch, data, recipe, outputs) for branch in BRANCHES]
            seconds[way].append(_trained(variants, way))
            digests[way] = [_digest(variant) for variant in variants]
        assert digests[ALONE] == digests[TOGETHER], "a member is not what it would be alone"
    return seconds


def _variant(branch: str, data: DataSpec, recipe: RecipeSpec, outputs: Path) -> Settings:
    model = RepGhostNetSpec(
        width=0.5, reparam=branch, num_classes=data.num_classes or 10, in_chs=data.in_chs
    )
    return Settings(
        model=model,
        data=data,
        recipe=recipe,
        tracking=TrackingSpec(kind="none"),
        storage=StorageSpec(f"sqlite:///{outputs}/latency.db"),
        outputs=str(outputs),
    )


def _trained(variants: Sequence[Settings], way: str) -> float:
    """Train the variants as jobs of this machine, one process at a time; return the seconds."""
    cohort = "all" if way == TOGETHER else ""
    tasks = [
        Task(one.model.describe(), one.variant.key, "train", run_stage, _arguments(one), cohort)
        for one in variants
    ]
    jobs = LocalJobs(Path(variants[0].outputs), slots=1)
    began = time.monotonic()
    while tasks:
        given = jobs.submit(tasks)
        tasks = tasks[len(given) :]
        while any(sight.phase is not Phase.ENDED for sight in jobs.poll(given).values()):
            time.sleep(0.1)
    return time.monotonic() - began


def _arguments(settings: Settings) -> tuple[Settings, str, int]:
    return settings, "train", threads_for(1)


def _digest(variant: Settings) -> str:
    """Return the digest of the deployed network."""
    run = Run(variant.outputs, variant.variant.key)
    assert run.result(), run.error() or f"{run.folder}: did not end"
    return hashlib.sha256(run.onnx.read_bytes()).hexdigest()


def _say(seconds: dict[str, dict[str, list[float]]], rounds: int, images: int) -> None:
    table = Table("data", "6 variants", "s", "times as fast", "goal", title=f"n={rounds}")
    figures: dict[str, object] = {"rounds": rounds, "images": images, "threads": threads_for(1)}
    for name, ways in seconds.items():
        ratios = np.array(ways[ALONE]) / np.array(ways[TOGETHER])
        ratio = median_interval(ratios, np.random.default_rng(0))
        said = f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
        for way, taken in ways.items():
            last = (said, f"{GOALS[name]}") if way == TOGETHER else ("", "")
            table.add_row(name, way, f"{np.median(taken):.1f}", *last)
        figures[f"{name}: times as fast"] = round(ratio.value, 3)
        figures[f"{name}: goal met"] = bool(ratio.value >= GOALS[name])
    Console(width=100).print(table)
    print(json.dumps(figures | {"commit": commit()}))


if __name__ == "__main__":
    main()
