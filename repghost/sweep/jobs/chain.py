"""Short tasks one after another in one job, so that nobody waits for the cluster's next turn.

Between the end of a job and the start of the next a cluster takes a second or a minute, and Python
seconds to import torch. So a job that was done with its task soon takes the next one of its batch.
Who runs a task is decided by one file, made once: `<index>.claim`, which names the job by its place
in the array. `<index>.done` says that the task is over, and of what it failed. A job that finds its
own task taken leaves at once; one that is requeued goes on with what it had taken.
"""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CLAIM, DONE = "claim", "done"  # suffixes
MARGIN = 3.0  # times the longest task so far, that must be left of the time limit


@dataclass(frozen=True)
class Claims:
    """Which job of a batch has taken which task, and which tasks are over, by index."""

    holders: Mapping[int, int] = field(default_factory=dict)
    done: frozenset[int] = frozenset()

    def carrier(self, index: int) -> int:
        """Return the place of the job that has the task, or will have it."""
        return self.holders.get(index, index)

    def carried(self, place: int) -> list[int]:
        """Return the tasks that are at the job at `place`: its own, until another has taken it."""
        taken = {index for index, holder in self.holders.items() if holder == place}
        own = {place} if self.carrier(place) == place else set()
        return sorted((taken | own) - self.done)


def read_claims(folder: Path, known: Claims) -> Claims:
    """Return the claims in a batch's folder; a claim that is `known` is not read again."""
    holders, done = dict(known.holders), set()
    for entry in os.scandir(folder):
        index, _, suffix = entry.name.partition(".")
        if suffix == DONE:
            done.add(int(index))
        elif suffix == CLAIM and index.isdigit() and int(index) not in holders:
            with contextlib.suppress(OSError, ValueError):
                holders[int(index)] = int((folder / entry.name).read_text())
    return Claims(holders, frozenset(done))


def run_chain(
    folder: Path,
    place: int,
    count: int,
    run: Callable[[Path], None],
    *,
    short_s: float,
    limit_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run the task at `place` of a batch of `count`, and others for as long as all were short.

    A further one is begun where the last took at most `short_s`, and `limit_s`, the time limit of
    the job, leaves room for it. What `run` raises ends the chain.
    """
    began = clock()
    longest = 0.0
    if not _claim(folder, place, place):
        return
    todo = read_claims(folder, Claims()).carried(place)
    while todo:
        start = clock()
        _run(folder, todo.pop(0), run)
        last = clock() - start
        longest = max(longest, last)
        room = limit_s - (clock() - began) > MARGIN * longest
        if not todo and last <= short_s and room:
            todo = _next(folder, place, count)


def _run(folder: Path, index: int, run: Callable[[Path], None]) -> None:
    try:
        run(folder / f"{index}.task")
    except Exception as error:
        _over(folder, index, f"{type(error).__name__}: {error}")
        raise
    _over(folder, index)


def _over(folder: Path, index: int, error: str = "") -> None:
    """Say that a task is over, and of what it failed: the job's log gets there later."""
    draft = folder / f".{index}.{DONE}"
    draft.write_text(error)
    draft.replace(folder / f"{index}.{DONE}")


def _next(folder: Path, place: int, count: int) -> list[int]:
    """Take the first task that no job has begun; none if there is none left."""
    taken = read_claims(folder, Claims())
    free = (i for i in range(count) if i not in taken.holders and i not in taken.done)
    return next(([index] for index in free if _claim(folder, index, place)), [])


def _claim(folder: Path, index: int, place: int) -> bool:
    """Take a task for the job at `place`; say whether it has it, now or since before a requeue."""
    claim, draft = folder / f"{index}.{CLAIM}", folder / f".{index}-{place}.{CLAIM}"
    draft.write_text(str(place))
    try:
        os.link(draft, claim)  # with its content, or not at all
    except FileExistsError:
        return claim.read_text() == str(place)
    finally:
        draft.unlink(missing_ok=True)
    return True
