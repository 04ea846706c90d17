"""What jobs do in tests of backends; importable in a job through PYTHONPATH."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from repghost.interrupt import Stop
from repghost.training.team import Team

if TYPE_CHECKING:
    from repghost.training.ranks import Ranks


def nap(folder: str, name: str, seconds: float, *, stop: Stop) -> None:
    """Add the process id to `<name>.started`, sleep, add a line to `<name>.done`."""
    _add(Path(folder, f"{name}.started"), str(os.getpid()))
    time.sleep(seconds)
    _add(Path(folder, f"{name}.done"), "done")


class EndsItsReader:
    """Sends a signal to the process that reads it, as somebody may in the second that takes."""

    def __reduce__(self) -> tuple[Callable[[int, int], None], tuple[int, int]]:
        return os.kill, (0, signal.SIGTERM)  # 0: the reader's group


def fail(folder: str, name: str, *, stop: Stop) -> None:
    """Raise, after a line in `<name>.started`."""
    _add(Path(folder, f"{name}.started"), str(os.getpid()))
    raise RuntimeError(f"{name} fails")


def say_where_from(folder: str, name: str, *, stop: Stop) -> None:
    """Write the file that `repghost` was imported from into `<name>.done`."""
    import repghost

    _add(Path(folder, f"{name}.done"), str(repghost.__file__))


def eat_memory(folder: str, name: str, megabytes: int, *, stop: Stop) -> None:
    """Use so much memory, and keep it for a minute."""
    _add(Path(folder, f"{name}.started"), str(os.getpid()))
    eaten = bytearray(os.urandom(1) * (megabytes << 20))
    time.sleep(60)
    assert eaten


def _add(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")


def add_ranks(folder: str, name: str, *, stop: Stop, team: Team) -> None:
    """Let all tasks of the job add up their ranks plus one; write the sum into `<name>.done`."""
    with team.together(take_part) as (ranks, device):
        total = take_part(ranks=ranks, device=device, stop=stop)
    _add(Path(folder, f"{name}.done"), f"{total:g}")


def take_part(*, ranks: "Ranks", device: object, stop: Stop) -> float:
    """Return the sum of all ranks plus one."""
    import torch

    return float(ranks.sum(torch.tensor([ranks.rank + 1.0])))
