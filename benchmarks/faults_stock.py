"""The same faults against Hydra's own stack: what is lost, and what is run again?

    python -m benchmarks.faults_stock --faults 100 --seed 1      about a quarter of an hour

Hydra's basic sweeper and hydra-submitit-launcher run 24 jobs that sleep as long as ours train, as
one array. The driver is started again by the same command until it ends well, which is all that
its users can do. Needs root, and starts SLURM by `tests/services/slurm.sh` with a `sacct` that
answers: without one submitit waits for ever.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.adversary import Adversary, service
from benchmarks.faults import DISK_MB, LOOK_S, PAUSE_S, small_disk
from repghost.provenance import commit

VARIANTS = 24
SECONDS = 10.0
LIMIT_S = 2400.0
APP = """
import time, hydra
@hydra.main(version_base="1.3", config_path=None)
def main(config):
    with open(f"{config.folder}/begun", "a") as file:
        file.write(f"{config.trial}\\n")
    time.sleep(float(config.seconds))
    with open(f"{config.folder}/finished", "a") as file:
        file.write(f"{config.trial}\\n")
main()
"""


@dataclass
class StockStorm:
    """Hydra's stack under faults, restarted until its driver says that all is well."""

    folder: Path
    rng: random.Random
    drivers: int = 0
    driver: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "app.py").write_text(APP)
        self.start()

    def start(self) -> None:
        """Start the driver, by the same command each time."""
        self.drivers += 1
        words = [
            "-m",
            "hydra/launcher=submitit_slurm",
            "hydra.launcher.partition=low",
            "hydra.launcher.cpus_per_task=1",
            "hydra.launcher.timeout_min=60",
            f"hydra.sweep.dir={self.folder}/stock",
            f"+folder={self.folder}",
            f"+seconds={SECONDS}",
            f"+trial=range({VARIANTS})",
        ]
        with (self.folder.parent / "stock.log").open("ab") as log:
            self.driver = subprocess.Popen(
                [sys.executable, str(self.folder / "app.py"), *words],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, faults: int) -> tuple[Adversary, float, bool]:
        """Go on until the driver ends well, or for `LIMIT_S`."""
        adversary = Adversary(self.folder, self.rng, lambda: self.driver)
        start, struck = time.monotonic(), 0
        strike_at = start + 10.0
        while self.driver.poll() != 0 and time.monotonic() - start < LIMIT_S:
            adversary.repair(everything=struck >= faults)
            if self.driver.poll() is not None:
                self.start()
            if struck < faults and time.monotonic() > strike_at:
                struck += adversary.strike() is not None
                strike_at = time.monotonic() + self.rng.uniform(*PAUSE_S)
            time.sleep(LOOK_S)
        adversary.repair(everything=True)
        ended = self.driver.poll() == 0
        self.driver.kill()
        return adversary, time.monotonic() - start, ended


def main() -> None:
    """Print the figures, last as one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=100, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="decides what happens when")
    chosen = parser.parse_args()
    os.environ["ACCT"] = "shim"
    service("start")
    with small_disk(DISK_MB) as folder:
        storm = StockStorm(folder, random.Random(chosen.seed))
        adversary, seconds, ended = storm.run(chosen.faults)
        begun = (folder / "begun").read_text().split()
        finished = (folder / "finished").read_text().split()
    figures = {
        "variants": VARIANTS,
        "faults": sum(adversary.counts.values()),
        "begun": len(begun),
        "finished": len(finished),
        "run again after they had finished": len(finished) - len(set(finished)),
        "drivers": storm.drivers,
        "ended well": ended,
        "seconds": round(seconds),
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    print(json.dumps(figures | adversary.counts | {"seed": chosen.seed, "commit": commit()}))


if __name__ == "__main__":
    main()
