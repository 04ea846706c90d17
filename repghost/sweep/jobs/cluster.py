"""SLURM's commands: what is asked of them, and their answers taken apart by pure functions."""

import os
import pwd
import re
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repghost.sweep.jobs.contract import Phase, Sight
from repghost.sweep.jobs.refusals import Unreachable, is_retrying, refusal

ANSWER_S = 20.0  # a controller that is down lets its commands wait for 9 s
CANCEL_AT_ONCE = 500  # ids in one command line
QUEUE_FORMAT = "%i|%T|%N|%L|%r|%k"  # the comment comes last: it may hold anything
WAITS = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD"}
WAITS |= {"SPECIAL_EXIT"}
ENDS = {  # terminal states and how they are said
    "BOOT_FAIL": "the node did not start",
    "CANCELLED": "cancelled",
    "COMPLETED": "",
    "DEADLINE": "past its deadline",
    "FAILED": "failed",
    "NODE_FAIL": "node failure",
    "OUT_OF_MEMORY": "out of memory",
    "PREEMPTED": "preempted",
    "REVOKED": "moved to another cluster",
    "TIMEOUT": "time limit",
}
OWN_VARIABLES = ("SQUEUE_", "SACCT_", "SCANCEL_", "SINFO_")  # would change what is answered
JOBS_VARIABLES = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")  # set where the driver is a job itself


@dataclass(frozen=True)
class Row:
    """One job, or one element of an array, in the queue."""

    id: str
    sight: Sight
    comment: str = ""

    @property
    def is_live(self) -> bool:
        """Whether the job waits or runs."""
        return self.sight.phase is not Phase.ENDED


@dataclass(frozen=True)
class Limits:
    """What the cluster's configuration says: elements of one array, and whether sacct answers."""

    array: int
    accounting: bool


def parse_queue(text: str) -> dict[str, Row]:
    """Return the rows of `squeue -h -r -o QUEUE_FORMAT` by job id; a torn line is left out."""
    rows = {}
    for line in text.splitlines():
        parts = line.split("|", 5)
        if len(parts) == 6:
            job, state, node, left, reason, comment = parts
            sight = _sight(state, node, left, "" if reason == "None" else reason)
            rows[job] = Row(job, sight, "" if comment == "(null)" else comment)
    return rows


def _sight(state: str, node: str, left: str, reason: str) -> Sight:
    if state in ENDS:
        return Sight(Phase.ENDED, ending(state, node), started=bool(node), node=node)
    if state in WAITS:
        return Sight(Phase.QUEUED, reason)
    return Sight(Phase.RUNNING, node=node, left_s=parse_seconds(left))  # COMPLETING too


def ending(state: str, node: str) -> str:
    """Return in words how a job ended, from its state such as "CANCELLED by 1000"."""
    word, _, by = state.partition(" ")
    if word == "NODE_FAIL" and node:
        return f"{ENDS[word]} on {node}"
    if word == "CANCELLED" and by.startswith("by "):
        return f"cancelled by {_user(by.removeprefix('by '))}"
    return ENDS[word]


def _user(uid: str) -> str:
    try:
        return pwd.getpwuid(int(uid)).pw_name
    except (KeyError, ValueError):
        return f"user {uid}"


def parse_seconds(text: str) -> float | None:
    """Return the seconds in "days-hours:minutes:seconds" or a shorter form; None for UNLIMITED."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in [*parts, *([days] if days else [])]):
        return None
    if days:
        parts += ["0"] * (3 - len(parts))
    seconds = 0
    for part in parts:
        seconds = seconds * 60 + int(part)
    return float(int(days or 0) * 86400 + seconds)


def parse_accounting(text: str) -> dict[str, Sight]:
    """Return how jobs ended, from `sacct -X -n -P -o JobID,State,NodeList`; others are left out."""
    ends = {}
    for line in text.splitlines():
        job, state, node = [*line.split("|"), "", "", ""][:3]
        node = "" if node == "None assigned" else node
        if state.partition(" ")[0] in ENDS:
            ends[job] = Sight(Phase.ENDED, ending(state, node), started=bool(node), node=node)
    return ends


def parse_limits(text: str) -> Limits:
    """Return what `scontrol show config` says; an array has at least one element."""
    pairs = (line.partition("=") for line in text.splitlines())
    said = {key.strip(): value.strip() for key, _, value in pairs}
    sizes = [int(said.get("MaxArraySize", "1001"))]
    sizes += map(int, re.findall(r"max_array_tasks=(\d+)", said.get("SchedulerParameters", "")))
    storage = said.get("AccountingStorageType", "")
    return Limits(max(1, min(sizes)), storage.endswith(("slurmdbd", "mysql")))


class Cluster:
    """The cluster that this machine submits to.

    Raises:
        ValueError: there is no sbatch here.
    """

    def __init__(self) -> None:
        if shutil.which("sbatch") is None:
            raise ValueError(
                "hydra/launcher=slurm: there is no sbatch here; run this on a machine that submits"
                " to the cluster, or use hydra/launcher=local"
            )

    def queue(self) -> dict[str, Row]:
        """Return this user's jobs, also those that ended a short time ago: one squeue."""
        user = f"--user={os.getuid()}"
        return parse_queue(_ask("squeue", "-h", "-r", "--states=all", user, "-o", QUEUE_FORMAT))

    def endings(self, ids: Sequence[str]) -> dict[str, Sight]:
        """Return how those of the jobs ended that accounting knows to have ended: one sacct."""
        columns = ("-X", "-n", "-P", "-o", "JobID,State,NodeList")
        return parse_accounting(_ask("sacct", *columns, "-j", ",".join(ids)))

    def limits(self) -> Limits:
        """Return the cluster's limits."""
        return parse_limits(_ask("scontrol", "show", "config"))

    def partitions(self) -> list[str]:
        """Return the names of the partitions."""
        return list(dict.fromkeys(_ask("sinfo", "-h", "-o", "%R").split()))

    def hosts(self, partition: str | None) -> set[str]:
        """Return the short names of the machines behind the nodes of a partition, or of all."""
        chosen = [] if partition is None else ["-p", partition]
        names = _ask("sinfo", "-h", "-o", "%n", *chosen).split()
        return {name.partition(".")[0] for name in names}

    def cancel(self, ids: Sequence[str]) -> None:
        """End jobs; those that have ended are left alone."""
        for start in range(0, len(ids), CANCEL_AT_ONCE):
            _ask(
                "scancel", "--quiet", *ids[start : start + CANCEL_AT_ONCE], ignore="Invalid job id"
            )

    def submit(self, script: Path) -> str:
        """Hand over a job script; return the job's number.

        Raises:
            Full, Refused: it was not taken.
            Unreachable: there was no answer; it may have been taken all the same.
        """
        with _started("sbatch", "--parsable", str(script)) as sbatch:
            alarm = threading.Timer(ANSWER_S, sbatch.kill)
            alarm.start()
            said = _until_it_retries(sbatch)
            answer, code = sbatch.communicate()[0], sbatch.returncode
            alarm.cancel()
        if code == 0:
            return answer.strip().partition(";")[0]
        if code < 0 and not is_retrying(said):
            raise Unreachable(said.strip() or f"sbatch did not answer within {ANSWER_S:g} s")
        raise refusal(said)


def _started(*command: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
            env=_environment(),
        )
    except OSError as error:
        raise Unreachable(f"{command[0]}: {error.strerror}") from error


def _until_it_retries(sbatch: subprocess.Popen[str]) -> str:
    """Return what sbatch says; a full queue lets it sleep for two minutes, so that ends it."""
    assert sbatch.stderr is not None
    said = ""
    for line in sbatch.stderr:
        said += line
        if is_retrying(line):
            sbatch.kill()
    return said


def _ask(*command: str, ignore: str | None = None) -> str:
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{command[0]} did not answer within {ANSWER_S:g} s") from None
    except OSError as error:
        raise Unreachable(f"{command[0]}: {error.strerror}") from error
    if answer.returncode != 0 and (ignore is None or ignore not in answer.stderr):
        raise Unreachable(" ".join(answer.stderr.split()) or f"{command[0]} failed")
    return answer.stdout


def _environment() -> dict[str, str]:
    """Return ours without what changes the commands' answers, or comes from a job around us."""
    strange = OWN_VARIABLES + (JOBS_VARIABLES if "SLURM_JOB_ID" in os.environ else ())
    kept = ("SLURM_CONF",)
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or not name.startswith(strange)
    }
