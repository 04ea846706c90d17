"""How much sooner are the variants of Table 6 trained as a cohort than one after another?

    python -m benchmarks.cohort          about 25 minutes on two cores
    python -m benchmarks.cohort --quick  one round with few images: only whether it runs

Six branches of RepGhostNet 0.5x on 500 x 375 JPEGs, decoded by one worker process with timm's
transforms: where loading is the bottleneck (batches of 256 at 16 pixels), where the members' steps
are (64 at 32 pixels), and where nothing is to be loaded (digits), so that sharing can only cost.
What a batch takes to load and the six to take a step each is measured before, and printed. Both
ways as a sweep runs them here: jobs with a process each, or one for all, from the start of Python
to the certified result. Rounds of both, in random order; the ratio is taken within a round. Goals:
2.5x with the loader as the bottleneck, never slower than 1.0x. Last it is compared that the
members' networks are those of the lone trainings.
"""

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from benchmarks.pictures import AUGMENTED, CLASSES, write_pictures
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
ALONE, TOGETHER = "one after another", "cohort"


def main() -> None:
    """Print the table, then the figures as one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round, few images")
    parser.add_argument("--rounds", type=int, help="default: 3, with --quick 1")
    parser.add_argument("--images", type=int, help="default: 1024, with --quick 128")
    given = parser.parse_args()
    rounds = given.rounds or (1 if given.quick else 3)
    images = given.images or (128 if given.quick else 1024)
    share_cores()
    with tempfile.TemporaryDirectory(prefix="repghost-cohort-") as folder:
        root = write_pictures(Path(folder, "images"), images)
        cases = _cases(root, epochs=1 if given.quick else 4)
        loads = [_bottleneck(case) for case in cases]
        seconds = [_contest(Path(folder), case, rounds) for case in cases]
    _say(cases, loads, seconds, rounds, images)


class Case(NamedTuple):
    """What the six are trained on, and how much faster a cohort is to be."""

    name: str
    data: DataSpec
    recipe: RecipeSpec
    goal: float


class Load(NamedTuple):
    """Seconds that one batch takes to load, and all six to take a step with it, each alone."""

    loading: float
    steps: float


def _cases(root: Path, epochs: int) -> list[Case]:
    def photographs(size: int, batch: int, goal: float) -> Case:
        data = DataSpec(
            "folder", str(root), num_classes=CLASSES, input_size=size, in_chs=3, workers=1
        )
        recipe = replace(AUGMENTED, epochs=epochs, batch_size=batch, warmup_epochs=0)
        return Case(f"{batch} photographs to {size} px", data, recipe, goal)

    digits = Case("digits", DataSpec(), RecipeSpec(epochs=1, warmup_epochs=0), 1.0)
    return [photographs(16, 256, 2.5), photographs(32, 64, 1.0), digits]


def _bottleneck(case: Case) -> Load:
    """Measure in a process of its own what a batch takes to load, and the six with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_measured, case).result()


def _measured(case: Case) -> Load:
    import torch

    from repghost.models.registry import build
    from repghost.training.data import open_source
    from repghost.training.engine import Training

    torch.set_num_threads(threads_for(1))
    source = open_source(case.data, case.recipe, 0)
    batches = source.train(0, 0)
    batch, arrivals = next(batches), [time.perf_counter()]
    for _ in range(source.steps - 1):
        batch = next(batches)
        arrivals.append(time.perf_counter())
    loading = (arrivals[-1] - arrivals[0]) / max(1, source.steps - 1)
    members = [
        Training(build(_network(branch, case.data)), source, case.recipe, 0, torch.device("cpu"))
        for branch in BRANCHES
    ]
    taken = []
    for _ in range(7):
        began = time.perf_counter()
        for member in members:
            member.train_step(batch)
        taken.append(time.perf_counter() - began)
    return Load(loading, float(np.median(taken[2:])))


def _contest(folder: Path, case: Case, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of both ways, a number for each round."""
    seconds: dict[str, list[float]] = {ALONE: [], TOGETHER: []}
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        digests = {}
        for way in rng.permutation(list(seconds)):
            outputs = Path(tempfile.mkdtemp(dir=folder))
            variants = [_variant(branch, case, outputs) for branch in BRANCHES]
            seconds[way].append(_trained(variants, way))
            digests[way] = [_digest(variant) for variant in variants]
        assert digests[ALONE] == digests[TOGETHER], "a member is not what it would be alone"
    return seconds


def _network(branch: str, data: DataSpec) -> RepGhostNetSpec:
    classes = data.num_classes or 10
    return RepGhostNetSpec(width=0.5, reparam=branch, num_classes=classes, in_chs=data.in_chs)


def _variant(branch: str, case: Case, outputs: Path) -> Settings:
    return Settings(
        model=_network(branch, case.data),
        data=case.data,
        recipe=case.recipe,
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


def _say(
    cases: Sequence[Case],
    loads: Sequence[Load],
    seconds: Sequence[dict[str, list[float]]],
    rounds: int,
    images: int,
) -> None:
    table = Table(
        Column("a batch", no_wrap=True),
        "loads in",
        "6 steps",
        *(f"{way}, s" for way in (ALONE, TOGETHER)),
        "times as fast",
        "goal",
        title=f"6 variants, {images} photographs, n={rounds}",
    )
    figures: dict[str, object] = {"rounds": rounds, "images": images, "threads": threads_for(1)}
    for case, load, ways in zip(cases, loads, seconds, strict=True):
        ratios = np.array(ways[ALONE]) / np.array(ways[TOGETHER])
        ratio = median_interval(ratios, np.random.default_rng(0))
        table.add_row(
            case.name,
            f"{load.loading:.3f} s",
            f"{load.steps:.3f} s",
            *(f"{np.median(ways[way]):.1f}" for way in (ALONE, TOGETHER)),
            f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]",
            f"{case.goal}",
        )
        figures[f"{case.name}: times as fast"] = round(ratio.value, 3)
        figures[f"{case.name}: goal met"] = bool(ratio.value >= case.goal)
    Console(width=110).print(table)
    print(json.dumps(figures | {"commit": commit()}))


if __name__ == "__main__":
    main()
