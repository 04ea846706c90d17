"""Real curves of a sweep, kept as CSV, and the sweep replayed from them under a rule that stops."""

import csv
import heapq
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import optuna

from analysis.results import Row, load
from repghost.run import Run
from repghost.sweep.rungs import Curve, StopSpec, verdict

COLUMNS = ("row", "configuration", "seed", "latency_ms", "epoch_s", "top1")


@dataclass(frozen=True)
class Recorded:
    """A curve with all its epochs, and the seconds of one."""

    curve: Curve
    epoch_s: float


def recorded(study: Path) -> str:
    """Return the curves of a finished study as CSV, with lines on where they are from.

    Raises:
        ValueError: the study's results cannot be read, or no variant of it is finished.
    """
    results = load(study)
    rows = [row for row in results.rows if row.state == "finished"]
    if not rows:
        raise ValueError(f"{study}: no variant is finished")
    text = io.StringIO()
    for line in _origin(results.provenance, sorted({row.device for row in rows})):
        text.write(f"# {line}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        epochs = {record["epoch"]: record for record in Run(study.parent, row.key).history()}
        writer.writerow(_cells(row, [epochs[number] for number in sorted(epochs)]))
    return text.getvalue()


def _cells(row: Row, history: Sequence[Mapping[str, float]]) -> list[str]:
    words = [f"{key.split('.')[-1]}={value}" for key, value in row.settings.items() if value]
    seconds = median(record["seconds"] for record in history)
    top1 = " ".join(f"{record['top1']:.4f}" for record in history)
    name, latency = " ".join(words), f"{row.latency_ms:.5f}"
    return [row.key, name, str(row.seed), latency, f"{seconds:.3f}", top1]


def _origin(provenance: Mapping[str, Any], devices: Sequence[str]) -> list[str]:
    return [
        "Real curves: top-1 in percent on the validation images after each epoch.",
        f"Command: {provenance.get('command')}",
        f"Commit {provenance.get('commit')}, started {provenance.get('started')}.",
        f"Latency and training on {', '.join(devices)}.",
        "epoch_s: the median of a run's epochs. Written by python -m benchmarks.rungs --record.",
    ]


def curves(path: Path) -> list[Recorded]:
    """Read recorded curves."""
    with path.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return [Recorded(_curve(row), float(row["epoch_s"])) for row in rows]


def _curve(row: Mapping[str, str]) -> Curve:
    scores = tuple(map(float, row["top1"].split()))
    return Curve(row["row"], row["configuration"], float(row["latency_ms"]), len(scores), scores)


class Judge(Protocol):
    """A rule that sees every epoch as it ends and says who stops."""

    def ended(self, row: str, epoch: int, running: Collection[str]) -> list[str]:
        """Return which of `running` stop, now that `row` has finished so many epochs."""
        ...


class Rungs:
    """The rule of this project."""

    def __init__(self, runs: Mapping[str, Recorded], spec: StopSpec) -> None:
        self._runs, self._spec = runs, spec
        self._seen: dict[str, Curve] = {}

    def ended(self, row: str, epoch: int, running: Collection[str]) -> list[str]:
        whole = self._runs[row].curve
        seen = Curve(row, whole.group, whole.latency_ms, whole.epochs, whole.scores[:epoch])
        self._seen[row] = seen
        if epoch not in map(seen.epoch_at, self._spec.rungs):
            return []  # only where somebody passes a rung can a verdict change
        others = self._seen.values()
        reached = [one for one in running if one in self._seen]
        return [one for one in reached if verdict(self._seen[one], others, self._spec)]


class MedianOfTop1:
    """Optuna's MedianPruner with its defaults, on top-1 alone: it refuses two objectives."""

    def __init__(self, runs: Mapping[str, Recorded]) -> None:
        self._runs = runs
        pruner, sampler = optuna.pruners.MedianPruner(), optuna.samplers.RandomSampler(seed=0)
        self._study = optuna.create_study(direction="maximize", pruner=pruner, sampler=sampler)
        self._trials: dict[str, optuna.Trial] = {}

    def ended(self, row: str, epoch: int, running: Collection[str]) -> list[str]:
        if epoch == 1:
            self._trials[row] = self._study.ask()
        trial = self._trials[row]
        top1 = self._runs[row].curve.scores[epoch - 1]
        trial.report(top1, epoch)
        if epoch == self._runs[row].curve.epochs:
            self._study.tell(trial, top1)
        elif trial.should_prune():
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return [row]
        return []


@dataclass(frozen=True)
class Replay:
    """How one order of the sweep went: slot time, whole epochs, who was trained to the end."""

    spent_s: float
    epochs: int
    finished: frozenset[str]


def replay(order: Sequence[Recorded], slots: int, judge: Judge) -> Replay:
    """Train `order` on so many slots by the clock of the recorded epochs."""
    waiting, events, spent_s = list(reversed(order)), list[tuple[float, str, int]](), 0.0
    paces = {run.curve.row: run.epoch_s for run in order}
    epochs = {run.curve.row: run.curve.epochs for run in order}
    started, finished = dict[str, float](), set[str]()
    now, whole = 0.0, 0
    while waiting or started:
        while waiting and len(started) < slots:
            row = waiting.pop().curve.row
            started[row] = now
            heapq.heappush(events, (now + paces[row], row, 1))
        now, row, epoch = heapq.heappop(events)
        if row not in started:
            continue  # stopped in the middle of this epoch
        whole += 1
        stopped = set(judge.ended(row, epoch, started.keys()))
        if epoch == epochs[row]:
            finished.add(row)
        elif row not in stopped:
            heapq.heappush(events, (now + paces[row], row, epoch + 1))
        for ended in stopped | (finished & started.keys()):
            spent_s += now - started.pop(ended)
    return Replay(spent_s, whole, frozenset(finished))
