"""What a study left on disk, read and checked: results.csv, study.json, the runs' curves."""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.further import Timed, device_names, further_columns, timed
from analysis.run_files import Epoch, read_curve, read_if_there, read_object
from repghost.objective import BOX_MAP, Objective, in_common, objective_of

STATES = (
    *("waiting", "measuring", "timing", "queued", "running", "preempted"),
    *("finished", "measured", "pruned", "stopped", "failed", "cancelled"),
)
ENDED = ("finished", "measured")  # as they were meant to
NUMBERS = (
    "top1",
    "top5",
    "latency_ms",
    "latency_low",
    "latency_high",
    "latency_ratio",
    "ratio_low",
    "ratio_high",
    "params_m",
    "macs_m",
    "epochs",
    "seconds",
)
TEXTS = ("device", "protocol", "fingerprint", "commit", "error", "reference", "flags")
OF_DETECTORS = (  # columns of a study that has one, with `detector`
    *BOX_MAP.scores,
    *("backbone_ms", "backbone_low", "backbone_high", "backbone_share"),
)
LEADING = ("study", "key", "state")
LATER = ("ratio_low", "ratio_high", "reference", "flags")  # columns that earlier versions lacked
BETWEEN_FLAGS = "; "


@dataclass(frozen=True)
class Row:
    """One run. Scores in percent, latencies in ms; intervals are 95 %; what is missing is None.

    The latency columns are the first device's, and so are `flags`: what makes it doubtful.
    `reference` is the network that ratios are to. `further` holds, by the names of the study's
    further devices, what was timed there so far. `detector` is "" of a classifier, and
    `of_detector` holds the columns of `OF_DETECTORS`.
    """

    study: str
    key: str
    state: str
    settings: dict[str, str]
    seed: int | None
    top1: float | None
    top5: float | None
    latency_ms: float | None
    latency_low: float | None
    latency_high: float | None
    latency_ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    params_m: float | None
    macs_m: float | None
    epochs: float | None
    seconds: float | None
    device: str
    protocol: str
    fingerprint: str
    commit: str
    error: str
    reference: str
    flags: tuple[str, ...]
    further: dict[str, Timed]
    detector: str = ""
    of_detector: dict[str, float | None] = field(default_factory=dict)

    @property
    def objective(self) -> Objective:
        """What its task maximises."""
        return objective_of(self.detector)

    @property
    def score(self) -> float | None:
        """What is maximised, in percent: top-1, of a detector its box mAP."""
        return self.scored(self.objective.name)

    def scored(self, name: str) -> float | None:
        """Return one of the scores by its column; None where it has none."""
        own = {"top1": self.top1, "top5": self.top5}
        return (self.of_detector if self.detector else own).get(name)


@dataclass(frozen=True)
class Results:
    """A study: its rows in file order, its swept keys (without seed) and where it came from.

    `devices` are the names of its further devices: the first has none in the file.
    """

    study: str
    study_dir: Path
    rows: tuple[Row, ...]
    swept: tuple[str, ...]
    devices: tuple[str, ...]
    provenance: dict[str, Any]

    @property
    def objective(self) -> Objective:
        """What the study's runs are scored by; only those of one task are compared."""
        return in_common(row.objective for row in self.rows)

    @property
    def detects(self) -> bool:
        """Whether there is a detector among them."""
        return any(row.detector for row in self.rows)

    @property
    def runs_dir(self) -> Path:
        """The folder of all runs, shared by all studies."""
        return self.study_dir.parent / "runs"

    @property
    def csv_path(self) -> Path:
        return self.study_dir / "results.csv"

    @property
    def report_path(self) -> Path:
        return self.study_dir / "report.html"

    def curve(self, row: Row) -> list[Epoch]:
        """Return the run's epochs in order; lines that are torn or no epoch are left out."""
        return read_curve(self.runs_dir / row.key / "metrics.jsonl", row.objective.name)

    def certificate(self, row: Row) -> str:
        """Return the run's certificate.json as it stands, "" where there is none."""
        return read_if_there(self.runs_dir / row.key / "certificate.json")


def load(study_dir: Path) -> Results:
    """Read a study's folder.

    Raises:
        ValueError: results.csv is missing, empty or garbled; one line with file and line number.
    """
    path = study_dir / "results.csv"
    (_, cells), *records = _read_records(path)
    header = list(map(_printable, cells))
    swept, devices = _swept_keys(path, header), device_names(header)
    rows = tuple(_row(path, line, header, cells, swept) for line, cells in records)
    if not rows:
        raise ValueError(f"{path}: holds a header and no runs; run the sweep first")
    provenance = read_object(study_dir / "study.json")
    return Results(rows[0].study or study_dir.name, study_dir, rows, swept, devices, provenance)


def _read_records(path: Path) -> list[tuple[int, list[str]]]:
    """Return (line number, cells) of every line that is not blank, the header first."""
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            reader = csv.reader(lines, strict=True)
            records = [(reader.line_num, cells) for cells in reader if cells]
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; name a study that a sweep has written") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: is not a CSV file in UTF-8: {error}") from None
    if not records:
        raise ValueError(f"{path}: is empty; run the sweep again to write it")
    return records


def _swept_keys(path: Path, header: Sequence[str]) -> tuple[str, ...]:
    """Return the columns between `state` and `seed`, the header checked."""
    further = [column for name in device_names(header) for column in further_columns(name)]
    needed = (*LEADING, "seed", *NUMBERS, *TEXTS, *further)
    missing = [name for name in needed if name not in header]
    if missing and set(missing) <= set(LATER):
        raise ValueError(
            f"{path}: has no column {', '.join(missing)}: an earlier version wrote it; run the"
            " sweep's command again to write it anew (nothing is measured or trained twice)"
        )
    if missing:
        raise ValueError(f"{path}: line 1: no column {', '.join(missing)}: not a results.csv")
    if len(set(header)) != len(header) or tuple(header[:3]) != LEADING:
        raise ValueError(f"{path}: line 1: must begin {','.join(LEADING)} and name no column twice")
    return tuple(header[3 : header.index("seed")])


def _row(
    path: Path, line: int, header: Sequence[str], cells: Sequence[str], swept: Sequence[str]
) -> Row:
    where = f"{path}: line {line}"
    if len(cells) != len(header):
        raise ValueError(f"{where}: {len(cells)} cells, the header has {len(header)}")
    record = dict(zip(header, map(_printable, cells), strict=True))
    if record["state"] not in STATES:
        raise ValueError(f"{where}: state={record['state']}: allowed are {', '.join(STATES)}")
    settings = {name: record[name] for name in swept}
    return _typed_row(record, settings, lambda name: _number(where, name, record[name]), where)


def _typed_row(
    record: dict[str, str],
    settings: dict[str, str],
    number: Callable[[str], float | None],
    where: str,
) -> Row:
    return Row(
        study=record["study"],
        key=record["key"],
        state=record["state"],
        settings=settings,
        seed=_seed(where, record["seed"]),
        top1=number("top1"),
        top5=number("top5"),
        latency_ms=number("latency_ms"),
        latency_low=number("latency_low"),
        latency_high=number("latency_high"),
        latency_ratio=number("latency_ratio"),
        ratio_low=number("ratio_low"),
        ratio_high=number("ratio_high"),
        params_m=number("params_m"),
        macs_m=number("macs_m"),
        epochs=number("epochs"),
        seconds=number("seconds"),
        device=record["device"],
        protocol=record["protocol"],
        fingerprint=record["fingerprint"],
        commit=record["commit"],
        error=record["error"],
        reference=record["reference"],
        flags=tuple(flag for flag in record["flags"].split(BETWEEN_FLAGS) if flag.strip()),
        further=_further(record, number),
        detector=record.get("detector", ""),
        of_detector={name: number(name) for name in OF_DETECTORS if name in record},
    )


def _further(record: dict[str, str], number: Callable[[str], float | None]) -> dict[str, Timed]:
    found = {name: timed(name, record, number) for name in device_names(tuple(record))}
    return {name: one for name, one in found.items() if one is not None}


def _printable(cell: str) -> str:
    """Return a cell on one line, without control characters that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in cell)


def _number(where: str, name: str, text: str) -> float | None:
    """Return the finite number in `text`; None where it is empty, NaN or infinite."""
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{where}: {name}={text}: must be a number or empty") from None
    return value if math.isfinite(value) else None


def _seed(where: str, text: str) -> int | None:
    try:
        return int(text) if text.strip() else None
    except ValueError:
        raise ValueError(f"{where}: seed={text}: must be a whole number or empty") from None
