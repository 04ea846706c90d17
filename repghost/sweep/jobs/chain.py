"""Short tasks one after another in one job, so that nobody waits for the cluster's next turn.

Between the end of a job and the start of the next a cluster takes a second or a minute, and Python
seconds to import torch. So a job that was done with its task soon takes the next one of its batch.
Who runs a task is decided by one file, made once: `<index>.claim`, which names the job by its place
in the array. `<index>.done` says that the task is over, and of what it failed. A job that finds its
own task taken leaves at once; one that is requeued goes on with what it had taken. Tasks of one
cohort are taken together, in the name of the first of them, their leader.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

CLAIM, DONE = "claim", "done"  # suffixes
Over = Callable[[Path, Exception | None], None]  # told of a task's end, and of what it failed
Run = Callable[[Sequence[Path], Over], None]  # runs a cohort's tasks; tells of each that is over
MARGIN = 3.0  # times the longest task so far, that must be left of the time limit


@dataclass(frozen=True)
class Claims:
    """Which job of a batch has taken which task, and which tasks are over, by index.

    `leaders` has the leader of every task; one that is in no cohort leads itself.
    """

    leaders: Sequence[int] = ()
    holders: Mapping[int, int] = field(default_factory=dict)
    done: frozenset[int] = frozenset()

    def carrier(self, index: int) -> int:
        """Return the place of the job that has the task, or will have it."""
        leader = self.leaders[index]
        return self.holders.get(leader, leader)

    def carried(self, place: int) -> list[int]:
        """Return the tasks that are at the job at `place`: its own, until another has taken it."""
        return [index for index in self._given.get(place, ()) if index not in self.done]

    @cached_property
    def _given(self) -> dict[int, list[int]]:
        """The tasks by the place of their job."""
        given: dict[int, list[int]] = {}
        for index in range(len(self.leaders)):
            given.setdefault(self.carrier(index), []).append(index)
        return given

    def cohorts(self, place: int) -> list[list[int]]:
        """Return the same, those together that are of one cohort."""
        carried = itertools.groupby(self.carried(place), key=self.leaders.__getitem__)
        return [list(cohort) for _, cohort in carried]


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
    return Claims(known.leaders, holders, frozenset(done))


def run_chain(
    folder: Path,
    place: int,
    leaders: Sequence[int],
    run: Run,
    *,
    short_s: float,
    limit_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run the task or cohort at `place` of a batch, and others for as long as all were short.

    A further one is begun where the last took at most `short_s`, and `limit_s`, the time limit of
    the job, leaves room for it. What `run` raises ends the chain.
    """
    began = clock()
    longest = 0.0
    if not _claim(folder, place, place):
        return
    todo = read_claims(folder, Claims(leaders)).cohorts(place)
    while todo:
        start = clock()
        _run(folder, todo.pop(0), run)
        last = clock() - start
        longest = max(longest, last)
        room = limit_s - (clock() - began) > MARGIN * longest
        if not todo and last <= short_s and room:
            todo = _next(folder, place, leaders)


def _run(folder: Path, cohort: Sequence[int], run: Run) -> None:
    paths = [folder / f"{index}.task" for index in cohort]
    try:
        run(paths, _over)
    except Exception as error:
        for path in paths:
            _over(path, error)
        raise
    for path in paths:
        _over(path)


def _over(path: Path, error: Exception | None = None) -> None:
    """Say that a task is over, and of what it failed: the job's log gets there later.

    What was said first stands: of a cohort's members each says its own.
    """
    draft, done = path.with_name(f".{path.stem}.{DONE}"), path.with_suffix(f".{DONE}")
    if done.exists():
        return
    draft.write_text(f"{type(error).__name__}: {error}" if error else "")
    draft.replace(done)


def _next(folder: Path, place: int, leaders: Sequence[int]) -> list[list[int]]:
    """Take the first task or cohort that no job has begun; none if there is none left."""
    taken = read_claims(folder, Claims(leaders))
    free = (one for one in sorted(set(leaders)) if one not in {*taken.holders, *taken.done})
    if any(_claim(folder, one, place) for one in free):
        return read_claims(folder, Claims(leaders)).cohorts(place)
    return []


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
