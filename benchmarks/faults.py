"""Does a sweep on SLURM end in the same table however often its parts fail?

    python -m benchmarks.faults --faults 100 --seed 1     about half an hour on two cores
    python -m benchmarks.faults --faults 12 --variants 6  what the tests run

Runs a sweep of short trainings undisturbed, then the same one on a small disk of its own while a
seeded adversary kills the driver and jobs, cancels, requeues and preempts, takes nodes and the
controller away, fills the disk and corrupts checkpoints; a driver that is gone is started again by
the same command. Then both are compared: states, scores, epochs and the bytes of the networks.
Needs root, and starts SLURM by `tests/services/slurm.sh`.
"""

import argparse
import contextlib
import csv
import hashlib
import itertools
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.adversary import Adversary, job_processes, service
from repghost.provenance import commit
from repghost.settings import Settings
from repghost.sweep.study import Ledger

LAUNCH = Path(__file__).parents[1] / "launch.py"
DISK_MB = 700
PAUSE_S = (1.0, 8.0)  # between two faults
LOOK_S = 0.2  # between two looks at the processes
LIMIT_S = 5400.0
NOTE = re.compile(r"run (\w+): train (begins|ends) on \S+, process (\d+), time ([\d.]+)")
Ending = tuple[str, str, list[int], str]  # state, top-1, epochs, digest of the network


def words(variants: int) -> list[str]:
    """Return the sweep: branches times seeds, narrow, with a checkpoint every half second."""
    return [
        "-m",
        "model.reparam=bn,id,dconv",
        f"seed=range(0,{variants // 3})",
        "model.width=0.1",
        "recipe.epochs=6",
        "recipe.checkpoint_every_s=0.5",
        "latency.max_rounds=10",
        "latency.wait_s=0",  # the cluster of this machine keeps it busy
        "tracking=none",
        "study=s",
        "max_requeues=100",
        "hydra/launcher=slurm",
        "hydra.launcher.partition=low",
        "hydra.launcher.cpus_per_task=1",
        "hydra.launcher.timeout_min=60",
    ]


@dataclass
class Watcher:
    """What a sweep's processes were seen to do, for a verdict that does not trust the sweep."""

    folder: Path
    finished: dict[str, bytes] = field(default_factory=dict)  # result.json by key, once written
    lost: set[str] = field(default_factory=set)
    rewritten: set[str] = field(default_factory=set)
    alive: dict[int, float] = field(default_factory=dict)  # pid: seen last

    def look(self) -> None:
        """Note which processes live, and whether a result that was there is gone or another."""
        now = time.time()
        self.alive |= dict.fromkeys(job_processes(self.folder), now)
        for path in self.folder.glob("outputs/runs/*/result.json"):
            content = path.read_bytes()
            if self.finished.setdefault(path.parent.name, content) != content:
                self.rewritten.add(path.parent.name)
        for key in self.finished:
            if not (self.folder / "outputs/runs" / key / "result.json").exists():
                self.lost.add(key)

    def side_by_side(self) -> list[str]:
        """Return in words where a job began on a variant that another process still worked on.

        Jobs say in their log when they have taken a variant and when they let it go, and in which
        process. One that was killed says nothing: how long it lived was seen from outside.
        """
        began: dict[str, list[tuple[float, int]]] = {}
        ended: dict[tuple[str, int], float] = {}
        for log in self.folder.glob("outputs/s/jobs/*/*.out"):
            for key, what, pid, at in NOTE.findall(log.read_text(errors="replace")):
                if what == "ends":
                    ended[key, int(pid)] = float(at)
                else:
                    began.setdefault(key, []).append((float(at), int(pid)))
        return [
            f"{key}: process {pid} until {end:.2f}, process {other} from {later:.2f}"
            for key, notes in began.items()
            for (start, pid), (later, other) in itertools.pairwise(sorted(notes))
            if pid != other
            and (end := ended.get((key, pid), self.alive.get(pid, start) - LOOK_S)) > later
        ]


@dataclass
class Storm:
    """One sweep under faults."""

    folder: Path
    variants: int
    rng: random.Random
    drivers: int = 0
    log: Path = field(init=False)
    driver: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder.parent / f"{self.folder.name}-driver.log"
        self.start()

    def start(self) -> None:
        """Start the driver, by the same command each time."""
        self.drivers += 1
        with self.log.open("ab") as log:
            self.driver = subprocess.Popen(
                [sys.executable, str(LAUNCH), *words(self.variants)],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, faults: int) -> tuple[Adversary, Watcher, float]:
        """Bring the sweep to its end under up to `faults` faults."""
        adversary = Adversary(self.folder, self.rng, lambda: self.driver)
        watcher, start = Watcher(self.folder), time.monotonic()
        strike_at, struck = start + 10.0, 0
        while self.driver.poll() != 0:
            assert time.monotonic() - start < LIMIT_S, f"the sweep does not end: {self.log}"
            watcher.look()
            adversary.repair(everything=struck >= faults)
            if self.driver.poll() is not None:
                self.start()
            if struck < faults and time.monotonic() > strike_at:
                if name := adversary.strike():
                    struck += 1
                    print(f"{time.monotonic() - start:7.1f} s  {struck:3}  {name}", flush=True)
                strike_at = time.monotonic() + self.rng.uniform(*PAUSE_S)
            time.sleep(LOOK_S)
        adversary.repair(everything=True)
        watcher.look()
        return adversary, watcher, time.monotonic() - start


@contextlib.contextmanager
def small_disk(size_mb: int) -> Iterator[Path]:
    """Yield a folder on a disk of its own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name) / "disk"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)]
        subprocess.run(mount, check=True)
        try:
            yield folder
        finally:
            subprocess.run(["scancel", "-u", "root"], check=False, capture_output=True)
            subprocess.run(["umount", "-l", str(folder)], check=False)


def endings(folder: Path) -> dict[str, Ending]:
    """Return how every variant of a sweep ended."""
    with (folder / "outputs/s/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {row["key"]: _ending(folder / "outputs/runs" / row["key"], row) for row in rows}


def _ending(run: Path, row: dict[str, str]) -> Ending:
    epochs = [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").open()]
    digest = hashlib.sha256((run / "model.onnx").read_bytes()).hexdigest()
    return row["state"], row["top1"], epochs, digest


def told_twice(folder: Path) -> int:
    """Return how many variants the ledger says to have finished more than once."""
    study = folder / "outputs/s"
    tickets = Ledger.read(study, "s", Settings(outputs=str(folder / "outputs"))).tickets()
    ends = [[life.state for life in ticket.lives].count("finished") for ticket in tickets]
    return sum(count != 1 for count in ends)


def main() -> None:
    """Print the faults and the verdict, then the figures as one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=100, help="how many")
    parser.add_argument("--variants", type=int, default=24, help="a multiple of three")
    parser.add_argument("--seed", type=int, default=0, help="decides what happens when")
    parser.add_argument("--disk-mb", type=int, default=DISK_MB, help="size of the sweep's disk")
    chosen = parser.parse_args()
    service("start")
    with small_disk(chosen.disk_mb) as calm:
        calm_s = Storm(calm, chosen.variants, random.Random(0)).run(faults=0)[2]
        expected = endings(calm)
    with small_disk(chosen.disk_mb) as folder:
        storm = Storm(folder, chosen.variants, random.Random(chosen.seed))
        adversary, watcher, storm_s = storm.run(chosen.faults)
        figures = {
            "variants": chosen.variants,
            "faults": sum(adversary.counts.values()),
            "finished": len(watcher.finished),
            "results lost": len(watcher.lost),
            "results rewritten": len(watcher.rewritten),
            "told not exactly once": told_twice(folder),
            "trained side by side": len(overlaps := watcher.side_by_side()),
            "same table": endings(folder) == expected,
            "drivers": storm.drivers,
            "seconds": round(storm_s),
            "undisturbed seconds": round(calm_s),
        }
    print(*overlaps, sep="\n")
    _report(adversary.counts, figures)
    good = figures["same table"] and not any(list(figures.values())[3:7])
    print(json.dumps(figures | adversary.counts | {"seed": chosen.seed, "commit": commit()}))
    sys.exit(0 if good else 1)


def _report(counts: dict[str, int], figures: dict[str, object]) -> None:
    table = Table("what", "how many", title=f"faults, commit {commit()}")
    for name, count in [*counts.items(), *figures.items()]:
        table.add_row(name, str(count))
    Console(width=80).print(table)


if __name__ == "__main__":
    main()
