"""What jobs do in tests of backends; importable in a job through PYTHONPATH."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from repghost.interrupt import Interrupted, Stop
from repghost.lock import Held
from repghost.training.team import Team

if TYPE_CHECKING:
    from repghost.training.batches import Batch, Source
    from repghost.training.cohort import Member
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


class Steps:
    """Batches of one number, made in a fiftieth of a second each, noted in the file `loaded`."""

    def __init__(self, folder: str, steps: int) -> None:
        self._folder, self.steps = folder, steps

    def train(self, epoch: int, start: int) -> Iterator["Batch"]:
        import torch

        from repghost.training.batches import Batch

        for step in range(start, self.steps):
            time.sleep(0.02)
            _add(Path(self._folder, "loaded"), str(step))
            yield Batch(torch.tensor([float(step)]), torch.tensor([0]))

    def val(self) -> Iterator["Batch"]:
        return iter(())


def take_steps(
    folder: str, name: str, steps: int, *, stop: Stop, member: "Member | None" = None
) -> None:
    """Note each step in `<name>.steps`, then `<name>.done`; raise where `<name>.fail` lies.

    Told to end, it leaves `<name>.saved`.
    """
    import torch

    _add(Path(folder, f"{name}.started"), str(os.getpid()))
    source: Source = Steps(folder, steps)
    if member:
        source = member.source(partial(Steps, folder, steps), torch.device("cpu"))
    try:
        for batch in source.train(0, 0):
            _add(Path(folder, f"{name}.steps"), str(int(batch.images)))
            stop.obey()
            if Path(folder, f"{name}.fail").exists():
                raise RuntimeError(f"{name} fails")
    except Interrupted:
        _add(Path(folder, f"{name}.saved"), "saved")
        raise
    _add(Path(folder, f"{name}.done"), "done")


def need_all_memory(folder: str, name: str, *, stop: Stop, member: "Member | None" = None) -> None:
    """Find no memory the first time; then take steps."""
    from repghost.training.memory import OutOfMemory

    started = Path(folder, f"{name}.started").exists()
    if not started:
        _add(Path(folder, f"{name}.started"), str(os.getpid()))
        raise OutOfMemory("no memory beside others")
    take_steps(folder, name, 3, stop=stop, member=member)


def need_too_much_memory(
    folder: str, name: str, *, stop: Stop, member: "Member | None" = None
) -> None:
    """Find no memory, beside others or alone."""
    from repghost.training.memory import OutOfMemory

    _add(Path(folder, f"{name}.started"), str(os.getpid()))
    raise OutOfMemory("no memory at all")


def need_a_lock(folder: str, name: str, *, stop: Stop, member: "Member | None" = None) -> None:
    """Find twice that somebody else is at work on the run; then take steps."""
    started = Path(folder, f"{name}.started")
    if not started.exists() or len(started.read_text().splitlines()) < 2:
        _add(started, str(os.getpid()))
        raise Held("somebody else")
    take_steps(folder, name, 3, stop=stop, member=member)


def need_a_lock_for_ever(
    folder: str, name: str, *, stop: Stop, member: "Member | None" = None
) -> None:
    """Find that somebody else is at work on the run; the second time somebody halts the task."""
    started = Path(folder, f"{name}.started")
    if started.exists():
        (path,) = (path for path in Path(folder).glob("0.*"))
        path.with_suffix(".halt").touch()
    _add(started, str(os.getpid()))
    raise Held("somebody else")


def end_the_job(folder: str, name: str, *, stop: Stop, member: "Member | None" = None) -> None:
    """Send this process a signal before the first step."""
    os.kill(os.getpid(), signal.SIGTERM)
    take_steps(folder, name, 50, stop=stop, member=member)


def end_the_job_and_be_done(
    folder: str, name: str, *, stop: Stop, member: "Member | None" = None
) -> None:
    """Send this process a signal at the very end, too late to be told to end by it."""
    _add(Path(folder, f"{name}.done"), "done")
    os.kill(os.getpid(), signal.SIGTERM)


def end_the_job_when_alone(
    folder: str, name: str, *, stop: Stop, member: "Member | None" = None
) -> None:
    """Find no memory beside others; send this process a signal when run alone."""
    from repghost.training.memory import OutOfMemory

    started = Path(folder, f"{name}.started")
    if not started.exists():
        _add(started, str(os.getpid()))
        raise OutOfMemory("no memory beside others")
    end_the_job(folder, name, stop=stop, member=member)
