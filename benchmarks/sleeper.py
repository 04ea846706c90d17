"""A variant that only sleeps: it takes the scheduler, the ledger and the cluster's part alone."""

import time
from pathlib import Path

from repghost.interrupt import Stop


def sleep_for(done: Path, seconds: float, stop: Stop) -> None:
    """Sleep, then leave the file `done` with the times of start and end."""
    start = time.time()
    time.sleep(seconds)
    done.write_text(f"{start} {time.time()}")
