"""What the processes of a team do in tests; importable in them through PYTHONPATH, and soon so."""

import os
import signal
import time
from pathlib import Path

import torch

from repghost.interrupt import Stop
from repghost.training.ranks import Ranks


def add_up(folder: str, *, ranks: Ranks, device: torch.device, stop: Stop) -> None:
    """Sum ranks, and write what came out."""
    total = ranks.sum(torch.tensor([float(ranks.rank + 1)]))
    Path(folder, f"rank{ranks.rank}").write_text(f"{total.item():g}")


def fail_alone(*, ranks: Ranks, device: torch.device, stop: Stop) -> None:
    """Raise in the second process while the first waits for a sum."""
    if ranks.rank == 1:
        raise RuntimeError("out of luck")
    ranks.sum(torch.zeros(1))


def die_alone(*, ranks: Ranks, device: torch.device, stop: Stop) -> None:
    """Kill the second process while the first waits for a sum."""
    if ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.sum(torch.zeros(1))


def stay_away(*, ranks: Ranks, device: torch.device, stop: Stop) -> None:
    """Never come to the sum that the first process waits for."""
    if ranks.rank == 1:
        time.sleep(3600)
    ranks.sum(torch.zeros(1))
