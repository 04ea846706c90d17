"""What SLURM says when it takes no job: not now, no answer, or never, and what to change then."""

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 60.0  # until the next try where no more jobs are taken
ALL = sys.maxsize
SILENT = re.compile(
    r"Unable to contact slurm controller|timed out|Zero Bytes|in standby|not connected|munge"
    r"|Resource temporarily unavailable|Connection (refused|reset)|authentication",
    re.IGNORECASE,
)
RETRIES = re.compile(r"(queue full|temporarily unable to accept job|disabled).*retrying")
SUBMIT_LIMIT = re.compile(r"\w*Submit\w*Limit\w*")  # the others, such as MaxWall, hold for ever
POLICY = "Job violates accounting/QOS policy"  # any limit; the line before it names which
STUCK = re.compile(  # why a job waits, where only somebody can help
    r"JobHeld|requeued.held|PartitionConfig|PartitionNodeLimit|PartitionTimeLimit|BadConstraints"
    r"|NotAllowed|Invalid|NeverSatisfied|PerJobLimit"
)
ASKED = (  # keys of hydra.launcher, and the words by which sbatch names them
    ("partition", "partition"),
    ("account", "account "),
    ("qos", "qos"),
    ("constraint", "feature"),
    ("exclude", "node name"),
    ("gres", "gres|requested node conf"),
    ("gpus_per_node", "gres|requested node conf"),
    ("gpus_per_task", "gres|requested node conf"),
    ("mem_gb", "memory|--mem|requested node conf"),
    ("mem_per_cpu", "memory|--mem|requested node conf"),
    ("mem_per_gpu", "memory|--mem|requested node conf"),
    ("cpus_per_task", "cpu|processors|requested node conf"),
    ("timeout_min", "time limit|--time|wall"),
    ("additional_parameters", "option|license|reservation|mail|dependency|wckey"),
)


class Unreachable(Exception):
    """The controller does not answer, so nothing may be concluded; the message is its own."""


class Full(Exception):
    """No more jobs are taken at present; the message names the limit."""


class Refused(Exception):
    """Such a job is never taken; the message is what sbatch said."""


def is_retrying(said: str) -> bool:
    """Say whether sbatch has begun to wait, for up to two minutes, for room in the queue."""
    return RETRIES.search(said) is not None


def refusal(said: str) -> Unreachable | Full | Refused:
    """Sort what sbatch says when it takes no job."""
    lines = [re.sub(r"^sbatch: (error: |fatal: )?", "", line.strip()) for line in said.splitlines()]
    text = "; ".join(line for line in lines if line and "sbatch --help" not in line)
    if limit := SUBMIT_LIMIT.search(text):
        return Full(limit.group())
    if is_retrying(text):
        return Full("its queue is full")
    if text.startswith(f"Batch job submission failed: {POLICY}"):
        return Full("a limit on submitted jobs")
    if SILENT.search(text):
        return Unreachable(text)
    return Refused(text or "sbatch gives no reason")


def is_stuck(reason: str) -> bool:
    """Say whether a queued job waits for something that does not come by itself."""
    return STUCK.search(reason) is not None


def advice(said: str, spec: Any, partitions: Sequence[str]) -> str:
    """Return the line for a job that is never taken: the keys to change, and what is allowed."""
    named = [key for key, words in ASKED if re.search(words, said, re.IGNORECASE)]
    keys = [key for key in named if getattr(spec, key)] or named[:1]
    asked = ", ".join(f"hydra.launcher.{key}={_shown(getattr(spec, key))}" for key in keys)
    allowed = f"; partitions are {', '.join(partitions)}" if partitions else ""
    return (
        f"{asked or 'hydra/launcher=slurm'}: sbatch takes no such job: {said}"
        f"{allowed if 'partition' in named else ''}"
    )


def _shown(value: object) -> str:
    return "null" if value is None else str(value)


class Gate:
    """How much may be submitted after the cluster has refused: as much as ended, or a try later."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.open()

    def open(self) -> None:
        """All was taken: nothing is known of a limit."""
        self._taken: int | None = None  # live jobs at which no more were taken
        self._next = float("-inf")
        self._wait_s = FIRST_WAIT_S

    def close(self, live: int) -> None:
        """With `live` jobs waiting or running no more were taken."""
        self._taken = live
        self._next = self._clock() + self._wait_s
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def room(self, live: int) -> int:
        """Return how many jobs may be offered now, beside `live` that wait or run."""
        if self._taken is None or self._clock() >= self._next:
            return ALL
        return max(0, self._taken - live)
