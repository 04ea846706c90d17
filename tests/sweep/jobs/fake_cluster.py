"""A cluster in memory, with the faults of real ones, in the place of `Cluster`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from repghost.sweep.jobs.cluster import Limits, Row
from repghost.sweep.jobs.contract import Phase, Sight
from repghost.sweep.jobs.refusals import Full, Refused, Unreachable


@dataclass
class FakeCluster:
    """Takes jobs until `room` live ones are there; time passes where the test says so."""

    now: float = 0.0
    room: int = 10**9
    array: int = 1001
    accounting: bool = False
    silent: bool = False  # nothing is answered
    takes_silently: bool = False  # sbatch gets no answer, but the job is taken
    refuses: str = ""  # what sbatch says instead of taking a job
    rows: dict[str, Row] = field(default_factory=dict)
    ends: dict[str, Sight] = field(default_factory=dict)  # what accounting knows
    batches: list[int] = field(default_factory=list)  # sizes of what was offered
    cancelled: list[str] = field(default_factory=list)
    looks: int = 0
    questions: int = 0
    number: int = 100

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def queue(self) -> dict[str, Row]:
        self._answer()
        self.looks += 1
        return dict(self.rows)

    def endings(self, ids: Sequence[str]) -> dict[str, Sight]:
        self._answer()
        self.questions += 1
        return {id: self.ends[id] for id in ids if id in self.ends}

    def limits(self) -> Limits:
        self._answer()
        return Limits(self.array, self.accounting)

    def partitions(self) -> list[str]:
        return ["main", "low"]

    def hosts(self, partition: str | None) -> set[str]:
        return {"elsewhere"}

    def cancel(self, ids: Sequence[str]) -> None:
        self._answer()
        for id in ids:
            row = self.rows.get(id)
            if row and row.is_live:
                self.cancelled.append(id)
                self.becomes(id, Sight(Phase.ENDED, "cancelled", started=False))

    def submit(self, script: Path) -> str:
        self._answer()
        text = script.read_text()
        match = re.search(r"--array=0-(\d+)", text)
        count = int(match.group(1)) + 1 if match else 1
        comment = re.search(r"--comment=(\S+)", text).group(1).strip("'")  # type: ignore[union-attr]
        self.batches.append(count)
        if self.refuses:
            raise Refused(self.refuses)
        if sum(row.is_live for row in self.rows.values()) + count > self.room:
            raise Full("QOSMaxSubmitJobPerUserLimit")
        self.number += 1
        ids = [f"{self.number}_{n}" for n in range(count)] if match else [str(self.number)]
        for id in ids:
            self.rows[id] = Row(id, Sight(Phase.QUEUED, "Resources"), comment)
        if self.takes_silently:
            raise Unreachable("Socket timed out on send/recv operation")
        return str(self.number)

    def becomes(self, id: str, sight: Sight) -> None:
        comment = self.rows[id].comment if id in self.rows else ""
        self.rows[id] = Row(id, sight, comment)

    def _answer(self) -> None:
        if self.silent:
            raise Unreachable("Unable to contact slurm controller (connect failure)")
