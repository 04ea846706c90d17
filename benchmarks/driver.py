"""What the driver itself costs: 10,000 trials in the journal, 1,000 jobs queued, a rerun of 1,000.

    python -m benchmarks.driver        about four minutes

The journal is compared with Optuna's own ask and tell (multivariate TPE, journal on a file), in
one run, interleaved. The cluster is simulated: commands of SLURM's names that print a queue of
1,000 jobs, so that the cost of starting `squeue` and reading its answer is in the figures.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import optuna
from rich.console import Console
from rich.table import Table

from benchmarks.finished import make_finished
from benchmarks.slots import Sleepers
from repghost.provenance import commit
from repghost.settings import Settings
from repghost.sweep.flights import Places
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.sweep.jobs.local import LocalJobs
from repghost.sweep.jobs.slurm import SlurmJobs
from repghost.sweep.scheduler import Scheduler
from repghost.sweep.space.dimensions import Choice, Interval
from repghost.sweep.space.points import Point, SamplerSpec
from repghost.sweep.space.search import Search
from repghost.sweep.study import Ledger
from repghost.sweep.ticket import Outcome

TRIALS = 10_000
JOBS = 1_000
ROUNDS = 15
LAUNCH = Path(__file__).parents[1] / "launch.py"
OPEN = """
import sys, time, resource
from pathlib import Path
from repghost.settings import Settings
from repghost.sweep.study import Ledger
tickets = Ledger(Path(sys.argv[1]), "study", Settings()).tickets()
assert len(tickets) == int(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
RERUN = """
import runpy, sys
launch, *sys.argv[1:] = sys.argv[1:]
sys.argv[0] = launch
try:
    runpy.run_path(launch, run_name="__main__")
except SystemExit as ended:
    assert not ended.code, ended.code
assert "torch" not in sys.modules, "torch was imported"
"""
Row = tuple[str, float, str]


def main() -> None:
    """Print the table, then the figures as one JSON line."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = [*journal_rows(Path(name)), *queue_rows(Path(name)), *rerun_rows(Path(name))]
    table = Table("what", "measured", "goal", title=f"the driver, commit {commit()}")
    for what, value, goal in rows:
        table.add_row(what, f"{value:.1f}", goal)
    Console(width=100).print(table)
    print(json.dumps({what: round(value, 2) for what, value, _ in rows} | {"commit": commit()}))


def journal_rows(folder: Path) -> list[Row]:
    """Measure start, memory, and ask and tell with `TRIALS` finished trials."""
    study = folder / "study"
    _fill(study)
    starts = [_timed([sys.executable, "-c", OPEN, str(study), str(TRIALS)]) for _ in range(5)]
    memory = max(float(said) for _, said in starts)
    ours, plain = _ask_and_tell(study), _plain_ask_and_tell(folder)
    pairs = [(next(ours), next(plain)) for _ in range(ROUNDS)]
    return [
        ("start with 10,000 trials, s", statistics.median(s for s, _ in starts), "< 2"),
        ("its memory, MB", memory, "< 300"),
        ("ask + tell at 10,000, ms", statistics.median(a for a, _ in pairs), "< 25"),
        ("Optuna's own ask + tell at 10,000, ms", statistics.median(b for _, b in pairs), ""),
    ]


def _point(values: dict[str, float]) -> Point:
    """Return a variant that these values stand for; composing is not what is measured here."""
    recipe = replace(Settings().recipe, lr=values["recipe.lr"])
    return Point(dict(values), replace(Settings(), recipe=recipe, seed=int(values["seed"])))


def _fill(study: Path) -> None:
    ledger = Ledger(study, "study", Settings())
    rates = [1e-4 * 1.0005**trial for trial in range(TRIALS)]
    points = [_point({"recipe.lr": rate, "seed": 0}) for rate in rates]
    with ledger.together():
        for number, ticket in enumerate(ledger.enroll(points)):
            ledger.move(ticket, "running", job=f"17_{number}")
            ledger.tell(ticket, Outcome("finished", 90 + number % 97 / 10, 1 + number % 89 / 10))


def _ask_and_tell(study: Path) -> Iterator[float]:
    """Yield the milliseconds of one trial in our driver: suggested, noted, told, durably."""
    ledger = Ledger(study, "study", Settings())
    dimensions = [Interval("recipe.lr", 1e-5, 1e2, log=True), Choice("seed", [(0, "0"), (1, "1")])]
    search = Search(dimensions, _point, SamplerSpec(), n_trials=2 * TRIALS)  # type: ignore[arg-type]
    search.more(1, ledger.tickets())
    while True:
        start = time.perf_counter()
        for ticket in ledger.enroll(search.more(1, ledger.tickets())):
            ledger.move(ticket, "running")
            ledger.tell(ticket, Outcome("finished", 95.0, 2.0))
        yield 1e3 * (time.perf_counter() - start)


def _plain_ask_and_tell(folder: Path) -> Iterator[float]:
    """Yield the same of Optuna alone."""
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "plain.journal"))
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        sampler=optuna.samplers.TPESampler(multivariate=True, seed=0),
        directions=["maximize", "minimize"],
    )
    space = {
        "lr": optuna.distributions.FloatDistribution(1e-5, 1e2, log=True),
        "seed": optuna.distributions.CategoricalDistribution([0, 1]),
    }
    for trial in range(TRIALS):
        params = {"lr": 1e-4 * 1.0005**trial, "seed": 0}
        values = [90 + trial % 97 / 10, 1 + trial % 89 / 10]
        study.add_trial(optuna.create_trial(params=params, distributions=space, values=values))
    while True:
        start = time.perf_counter()
        study.tell(study.ask(space), [95.0, 2.0])
        yield 1e3 * (time.perf_counter() - start)


def queue_rows(folder: Path) -> list[Row]:
    """Measure a poll and a pass with `JOBS` jobs queued at once, without the files of runs."""
    study = folder / "queued"
    with _simulated_cluster(folder) as queue:
        ledger = Ledger(study, "study", Settings())
        points = [Point({"seed": seed}, replace(Settings(), seed=seed)) for seed in range(JOBS)]
        tickets = ledger.enroll(points)
        jobs = SlurmJobs(study, SlurmSpec(poll_s=0.1, array_parallelism=JOBS))
        places = Places(LocalJobs(study, 1), jobs)
        sleepers = Sleepers(folder / "none", [0.0] * JOBS)
        scheduler = Scheduler(ledger, sleepers, places, max_requeues=0, stop=Settings().stop)
        scheduler.adopt(tickets)
        start = time.perf_counter()
        scheduler.one_pass()
        submitted_s = time.perf_counter() - start
        queue.touch()
        assert len(scheduler.flights) == JOBS
        passes = [_ms(scheduler.one_pass, pause_s=0.2) for _ in range(ROUNDS)]
        mine = [flight.job for flight in scheduler.flights.values()]
        polls = [_ms(lambda: jobs.poll(mine), pause_s=0.2) for _ in range(ROUNDS)]
        squeue = [_ms(lambda: subprocess.run(["squeue"], capture_output=True)) for _ in range(9)]
        assert all(ticket.life.state == "queued" for ticket in tickets)
    return [
        ("submit 1,000 jobs as arrays and note them, s", submitted_s, ""),
        ("one poll of 1,000 jobs, ms", statistics.median(polls), "< 50"),
        ("  of which the (simulated) squeue, ms", statistics.median(squeue), ""),
        ("one pass with 1,000 jobs queued, ms", statistics.median(passes), "< 100"),
    ]


@contextmanager
def _simulated_cluster(folder: Path) -> Iterator[Path]:
    """Put commands of SLURM's names first on the PATH; yield the file of what is queued."""
    bin_folder, queue = folder / "bin", folder / "queue"
    bin_folder.mkdir()
    scripts = {
        "sbatch": (
            f"id=$(( $(cat {folder}/id 2>/dev/null || echo 100) + 1 )); echo $id > {folder}/id\n"
            'n=$(sed -n "s/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p" "$1")\n'
            'mark=$(sed -n "s/^#SBATCH --comment=//p" "$1")\n'
            f'for i in $(seq 0 "$n"); do echo "${{id}}_$i|PENDING||1:00:00|Priority|$mark"; done'
            f" >> {queue}\n"
            'echo "Submitted batch job $id"'
        ),
        "squeue": f"cat {queue} 2>/dev/null || true",
        "scontrol": 'echo "MaxArraySize = 1001"; echo "AccountingStorageType = none"',
        "sinfo": "echo elsewhere",
        "sacct": "exit 1",
        "scancel": "exit 0",
        "srun": "exit 0",
    }
    for name, text in scripts.items():
        (bin_folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin_folder / name).chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{bin_folder}{os.pathsep}{before}"
    try:
        yield queue
    finally:
        os.environ["PATH"] = before


def rerun_rows(folder: Path) -> list[Row]:
    """Measure the command of a finished sweep of `JOBS` variants, run again."""
    place = folder / "rerun"
    place.mkdir()
    words = make_finished(place, JOBS)
    rerun = [sys.executable, "-c", RERUN, str(LAUNCH), *words]
    first, _ = _timed(rerun, place)
    again = [_timed(rerun, place)[0] for _ in range(3)]
    return [
        ("a study of 1,000 variants that other studies have finished, s", first, ""),
        ("rerun of a finished sweep of 1,000, s", statistics.median(again), "< 3"),
    ]


def _timed(words: list[str], folder: Path | None = None) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return time.perf_counter() - start, done.stdout


def _ms(run: Callable[[], object], pause_s: float = 0.0) -> float:
    time.sleep(pause_s)
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
