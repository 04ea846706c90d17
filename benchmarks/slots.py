"""How much of a cluster's time is lost between jobs, beside Hydra's own plug-ins.

    python -m benchmarks.slots                 40 uneven trials on 4 slots, then 50 trivial jobs
    python -m benchmarks.slots --ours-only     without the stock stack (it takes five minutes)

Needs a running SLURM with four nodes of two CPUs and a `sacct` that answers, without which submitit
waits for ever (`NODES=4 CPUS=2 ACCT=shim bash tests/services/slurm.sh`).
Trials sleep 2 s, every fourth 10 s: 160 s of work, 40 s on four slots at the least, 44 s in the
order in which they are given. Stock is
Hydra's basic sweeper with hydra-submitit-launcher, in batches of four as its Optuna sweeper has
them; "refill" is a loop over submitit that fills a slot when a job's `done()` says so.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.sleeper import sleep_for
from repghost.provenance import commit
from repghost.settings import Settings
from repghost.sweep.flights import Places
from repghost.sweep.jobs.contract import Task
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.sweep.jobs.local import LocalJobs
from repghost.sweep.jobs.slurm import SlurmJobs
from repghost.sweep.scheduler import Scheduler
from repghost.sweep.space.points import Point
from repghost.sweep.study import Ledger
from repghost.sweep.ticket import Outcome, Ticket

SLOTS = 4
CPUS = 2  # of a node: a job takes a whole one
UNEVEN = [10.0 if trial % 4 == 0 else 2.0 for trial in range(40)]
TRIVIAL = [0.0] * 50
SPEC = SlurmSpec(cpus_per_task=CPUS, array_parallelism=SLOTS, timeout_min=10)
STOCK_APP = """
import time, hydra
@hydra.main(version_base="1.3", config_path=None)
def main(config):
    start = time.time()
    _, trial, seconds = config.trial.split("-")
    time.sleep(float(seconds))
    open(f"{config.folder}/{trial}", "w").write(f"{start} {time.time()}")
main()
"""


@dataclass
class Sleepers:
    """Variants that are done when their file is there; nothing is measured."""

    folder: Path
    seconds: list[float]

    def review(self, ticket: Ticket) -> str | Outcome:
        return Outcome("finished", 0.0, 0.0) if self._done(ticket).exists() else "train"

    def task(self, ticket: Ticket, stage: str) -> Task:
        arguments = (self._done(ticket), self.seconds[ticket.settings.seed])
        return Task(ticket.row, ticket.key, stage, sleep_for, arguments)

    def _done(self, ticket: Ticket) -> Path:
        return self.folder / str(ticket.settings.seed)

    def error(self, ticket: Ticket) -> None: ...
    def progress(self, ticket: Ticket) -> float:
        return 0.0

    def is_at_work(self, ticket: Ticket) -> bool:
        return False

    def curve(self, ticket: Ticket) -> None: ...
    def blocked(self) -> None: ...


def ours(folder: Path, seconds: list[float]) -> None:
    """Our scheduler with its journal, as `launch.py -m` runs it."""
    study = folder / "study"
    ledger = Ledger(study, "study", Settings())
    points = [Point({"seed": i}, replace(Settings(), seed=i)) for i in range(len(seconds))]
    tickets = ledger.enroll(points)
    places = Places(LocalJobs(study, 1), SlurmJobs(study, SPEC, None))
    scheduler = Scheduler(
        ledger, Sleepers(folder, seconds), places, max_requeues=0, stop=Settings().stop
    )
    scheduler.adopt(tickets)
    while not scheduler.done:
        scheduler.one_pass()
        time.sleep(0.3)
    assert all(ticket.life.state == "finished" for ticket in tickets)


def stock(folder: Path, seconds: list[float]) -> None:
    """Hydra's basic sweeper and its submitit launcher, a batch of the slots at a time."""
    app = folder / "app.py"
    app.write_text(STOCK_APP)
    values = ",".join(f"trial-{trial}-{value}" for trial, value in enumerate(seconds))
    words = [
        "-m",
        "hydra/launcher=submitit_slurm",
        f"hydra.launcher.cpus_per_task={CPUS}",
        "hydra.launcher.timeout_min=10",
        f"hydra.sweeper.max_batch_size={SLOTS}",
        f"hydra.sweep.dir={folder}/stock",
        f"+folder={folder}",
        f"+trial={values}",
    ]
    subprocess.run([sys.executable, str(app), *words], check=True, capture_output=True, cwd=folder)


def refill(folder: Path, seconds: list[float]) -> None:
    """A loop of one's own over submitit."""
    import submitit

    from repghost.interrupt import Stop

    executor = submitit.AutoExecutor(folder / "refill", cluster="slurm")
    executor.update_parameters(cpus_per_task=CPUS, timeout_min=10)
    waiting, running = list(enumerate(seconds)), []
    while waiting or running:
        running = [job for job in running if not job.done()]
        while waiting and len(running) < SLOTS:
            trial, value = waiting.pop(0)
            running.append(executor.submit(sleep_for, folder / str(trial), value, stop=Stop()))
        time.sleep(0.3)


def timed(run: Callable[[Path, list[float]], None], seconds: list[float]) -> tuple[float, float]:
    """Return the wall seconds from the command to its end, and the share of slot time idle."""
    with tempfile.TemporaryDirectory(
        dir=Path.cwd(), prefix="bench-", ignore_cleanup_errors=True
    ) as name:  # the last job may still write its log
        start = time.time()
        run(Path(name), seconds)
        wall = time.time() - start
        spans = list(_spans(Path(name), len(seconds)))
    busy = sum(end - begin for begin, end in spans)
    return wall, 1 - busy / (SLOTS * wall)


def _spans(folder: Path, count: int) -> Iterable[tuple[float, float]]:
    files = [path for path in folder.iterdir() if path.is_file() and path.name[0].isdigit()]
    assert len(files) == count, f"{len(files)} of {count} trials ran"
    for path in files:
        begin, end = path.read_text().split()
        yield float(begin), float(end)


def main() -> None:
    """Print the table, then the figures as one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ours-only", action="store_true", help="without the stock stack")
    chosen = parser.parse_args()
    if shutil.which("sbatch") is None:
        sys.exit(
            "there is no SLURM here; this starts one:"
            " NODES=4 CPUS=2 ACCT=shim bash tests/services/slurm.sh"
        )
    ways = {"ours": ours} if chosen.ours_only else {"ours": ours, "refill": refill, "stock": stock}
    table = Table("jobs", "by", "wall s", "idle %", "ideal s", title=f"commit {commit()}")
    figures: dict[str, float] = {}
    for name, seconds in {"40 uneven": UNEVEN, "50 trivial": TRIVIAL}.items():
        ideal = sum(seconds) / SLOTS
        for way, run in ways.items():
            wall, idle = timed(run, seconds)
            figures |= {f"{name} {way} s": round(wall, 1), f"{name} {way} idle": round(idle, 3)}
            table.add_row(name, way, f"{wall:.1f}", f"{100 * idle:.0f}", f"{ideal:.0f}")
            print(f"{name}, {way}: {wall:.1f} s, idle {100 * idle:.0f} %", flush=True)
    Console(width=90).print(table)
    print(json.dumps(figures | {"commit": commit()}))


if __name__ == "__main__":
    main()
