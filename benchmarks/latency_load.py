"""A core kept busy at random: `python -m benchmarks.latency_load CORE SEED`, until its parent ends.

Periods of 0.1 to 2 seconds of multiplying small matrices, of copying more memory than any cache
holds, or of nothing, like a neighbour that runs tests.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

SHORTEST_S, LONGEST_S = 0.1, 2.0
COPIED_MIB = 64


@contextlib.contextmanager
def busy(core: int, seed: int) -> Iterator[None]:
    """Keep a core busy at random for as long as the block lasts."""
    words = [sys.executable, "-m", "benchmarks.latency_load", str(core), str(seed)]
    one_thread = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(words, env=one_thread)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Switch the load on and off until the process that wanted it is gone."""
    core, seed = map(int, sys.argv[1:])
    os.sched_setaffinity(0, {core})
    rng, parent = np.random.default_rng(seed), os.getppid()
    while os.getppid() == parent:
        step = STEPS[rng.integers(len(STEPS))]
        end = time.monotonic() + rng.uniform(SHORTEST_S, LONGEST_S)
        while time.monotonic() < end:
            step()


def _copying() -> Callable[[], object]:
    source = np.ones(COPIED_MIB << 17)  # 8 bytes each
    target = np.empty_like(source)
    return lambda: np.copyto(target, source)


def _multiplying() -> Callable[[], object]:
    matrix = np.eye(256)
    return lambda: matrix @ matrix


STEPS = (lambda: time.sleep(0.01), lambda: time.sleep(0.01), _copying(), _multiplying())

if __name__ == "__main__":
    main()
