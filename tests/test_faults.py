"""A sweep on the real SLURM under faults: the benchmark's own verdict, with a short seed."""

import json
import os
import subprocess
import sys

import pytest

FAULTS, VARIANTS = 12, 6


@pytest.mark.slurm
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="takes nodes away and mounts a disk: needs root")
def test_a_sweep_under_faults_ends_in_the_table_of_an_undisturbed_one(slurm):
    words = ["--faults", str(FAULTS), "--variants", str(VARIANTS), "--seed", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", *words],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["faults"] >= FAULTS // 2, "it ended before much could happen"
    assert figures["finished"] == VARIANTS
    assert figures["same table"]
    assert not figures["results lost"] and not figures["trained side by side"]
