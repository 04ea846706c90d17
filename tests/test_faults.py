"""A sweep on the real SLURM under faults: the benchmark's own verdict, with a short seed."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.faults import Watcher

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


@pytest.mark.parametrize(
    ("first_ends", "seen_alive", "beside"),
    [
        pytest.param(12.0, 19.0, False, id="let go, and lived on to ask for another turn"),
        pytest.param(14.0, 14.0, True, id="let go too late"),
        pytest.param(None, 13.1, False, id="killed in time"),
        pytest.param(None, 13.9, True, id="seen alive while the next was at work"),
    ],
)
def test_the_verdict_counts_a_process_from_its_taking_a_variant_to_its_letting_go_or_death(
    tmp_path, first_ends, seen_alive, beside
):
    log = tmp_path / "outputs/s/jobs/1/log.out"
    log.parent.mkdir(parents=True)
    lines = ["run k: train begins on n, process 1, time 10.00"]
    if first_ends:
        lines += [f"run k: train ends on n, process 1, time {first_ends:.2f}"]
    lines += ["run k: train begins on n, process 2, time 13.00"]
    log.write_text("\n".join(lines))
    found = Watcher(tmp_path, alive={1: seen_alive, 2: 30.0}).side_by_side()
    assert bool(found) == beside, found
