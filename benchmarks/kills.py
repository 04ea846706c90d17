"""Does a sweep that is killed again and again end in the same table as one that was left alone?

    python -m benchmarks.kills --kills 10 --seed 1      about three minutes on two cores

Runs a small sweep undisturbed, then the same one under kill -9 of driver, jobs or both at
random moments, the same command started again each time. Compares states, scores, epochs and the
bytes of the deployed networks.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.adversary import job_processes
from repghost.provenance import commit

LAUNCH = Path(__file__).parents[1] / "launch.py"
SWEEP = (
    "-m",
    "model.reparam=bn,id,dconv",
    "model.width=0.25",
    "recipe.epochs=4",
    "recipe.checkpoint_every_s=0.5",
    "latency.max_rounds=30",
    "tracking=none",
    "study=s",
)
VICTIMS = ("driver", "jobs", "both")
LONGEST_PAUSE_S = 14.0
LIMIT_S = 1800.0
Ending = tuple[str, str, list[int], str]  # state, top-1, epochs, digest of the network


def main() -> None:
    """Print what was killed and whether the tables agree, then the figures as one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10, help="how many kills at the most")
    parser.add_argument("--seed", type=int, default=0, help="decides whom and when")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as calm, tempfile.TemporaryDirectory() as storm:
        undisturbed_s = _calm(Path(calm))
        killed, seconds = _storm(Path(storm), arguments.kills, random.Random(arguments.seed))
        equal = _endings(Path(calm)) == _endings(Path(storm))
    counts = {victim: killed.count(victim) for victim in VICTIMS}
    print(f"killed: {counts}; {seconds:.0f} s, undisturbed {undisturbed_s:.0f} s")
    print("same table, same networks" if equal else "THE TABLES DIFFER")
    figures = {"kills": len(killed), "equal": equal, "s": round(seconds), "seed": arguments.seed}
    print(json.dumps(figures | {"undisturbed_s": round(undisturbed_s), "commit": commit()}))
    sys.exit(0 if equal else 1)


def _calm(folder: Path) -> float:
    start = time.monotonic()
    assert _start(folder).wait() == 0, "the undisturbed sweep failed"
    return time.monotonic() - start


def _storm(folder: Path, kills: int, rng: random.Random) -> tuple[list[str], float]:
    """Run the sweep to its end under up to `kills` kills; return whom they hit and the seconds."""
    start, killed = time.monotonic(), list[str]()
    driver = _start(folder)
    while driver.poll() != 0:
        assert time.monotonic() - start < LIMIT_S, "the sweep does not end"
        if driver.poll() is not None:
            driver = _start(folder)
        _wait(driver, rng.uniform(1, LONGEST_PAUSE_S))
        if driver.poll() is None and len(killed) < kills:
            killed.append(rng.choice(VICTIMS))
            _kill(killed[-1], driver, folder)
    return killed, time.monotonic() - start


def _kill(victim: str, driver: subprocess.Popen[bytes], folder: Path) -> None:
    if victim != "jobs":
        driver.kill()
        driver.wait()
    for pid in job_processes(folder) if victim != "driver" else []:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _start(folder: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, str(LAUNCH), *SWEEP]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(words, cwd=folder, stdout=quiet, stderr=quiet, start_new_session=True)


def _wait(driver: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        driver.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _endings(folder: Path) -> dict[str, Ending]:
    with (folder / "outputs/s/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        row["model.reparam"]: _ending(folder / "outputs/runs" / row["key"], row) for row in rows
    }


def _ending(run: Path, row: dict[str, str]) -> Ending:
    epochs = [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").open()]
    digest = hashlib.sha256((run / "model.onnx").read_bytes()).hexdigest()
    return row["state"], row["top1"], epochs, digest


if __name__ == "__main__":
    main()
