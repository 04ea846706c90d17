"""`results.csv`: a row a run, joined from the study, the runs' files and the measurements."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from repghost.atomic import write_text
from repghost.latency.record import Measurement
from repghost.objective import BOX_MAP
from repghost.run import Run
from repghost.settings import Settings
from repghost.sweep.evaluator import TrialEvaluator
from repghost.sweep.ticket import Life, Ticket

BETWEEN_FLAGS = "; "
HEAD = ("study", "key", "state")
TIMES = (
    "latency_ms",
    "latency_low",
    "latency_high",
    "latency_ratio",
    "ratio_low",
    "ratio_high",
)
TAIL = (
    "seed",
    "top1",
    "top5",
    *TIMES,
    "device",
    "protocol",
    "params_m",
    "macs_m",
    "fingerprint",
    "epochs",
    "seconds",
    "commit",
    "error",
    "reference",
    "flags",
)
DETECTION = (  # columns of a study that has a detector
    *("detector", *BOX_MAP.scores),
    *("backbone_ms", "backbone_low", "backbone_high", "backbone_share"),
)
FURTHER = (*TIMES, "device")  # of each device but the first, as NAME:latency_ms and so on
Row = dict[str, Any]


class Results:
    """The table of a study as a file; only rows of variants that have moved are made anew."""

    def __init__(self, path: Path, study: str, evaluator: TrialEvaluator) -> None:
        self._path, self._study, self._evaluator = path, study, evaluator
        self._rows: dict[str, tuple[Life, Row]] = {}
        self._swept: dict[str, None] = {}  # an ordered set of keys
        self._further: dict[str, None] = {}  # likewise, of devices

    def update(self, tickets: list[Ticket], *, anew: bool = False) -> bool:
        """Make the rows of those of `tickets` that have moved; say whether there were any.

        `anew` makes all: those of further devices come without a move.
        """
        moved = [t for t in tickets if anew or self._seen(t) is not t.life]
        for ticket in moved:
            self._rows[ticket.row] = ticket.life, self._row(ticket)
            self._swept |= {key: None for key in ticket.swept if key != "seed"}
            self._further |= dict.fromkeys(ticket.settings.latency.devices[1:])
        return bool(moved)

    def _seen(self, ticket: Ticket) -> Life | None:
        known = self._rows.get(ticket.row)
        return known[0] if known else None

    def write(self) -> bool:
        """Replace the file where its content would change; say whether it did."""
        text = io.StringIO()
        further = [f"{name}:{column}" for name in self._further for column in FURTHER]
        detects = any("detector" in row for _, row in self._rows.values())
        columns = [*HEAD, *self._swept, *TAIL, *(DETECTION if detects else ()), *further]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for _, row in self._rows.values())
        if self._path.exists() and self._path.read_text() == text.getvalue():
            return False
        write_text(self._path, text.getvalue())
        return True

    def _row(self, ticket: Ticket) -> Row:
        run = Run(ticket.settings.outputs, ticket.key)
        life = ticket.life
        row: Row = {"study": self._study, "key": ticket.key, "state": life.state, **ticket.swept}
        row |= {"seed": ticket.settings.seed, "error": life.cause if life.ended else ""}
        row |= _deployed(ticket, run) | self._latency(ticket) | self._on_further(ticket)
        result = run.result()
        if result and life.state == "finished":
            names = (*ticket.settings.objective.scores, "epochs", "commit")
            row |= {name: result[name] for name in names if name in result}
            row["seconds"] = round(result["seconds"], 1)
        return row | self._of_detector(ticket)

    def _of_detector(self, ticket: Ticket) -> Row:
        """Return what is known of a detector beside its scores: how much of it is its backbone."""
        if not ticket.settings.task.detects:
            return {}
        row: Row = {"detector": ticket.settings.task.kind}
        whole, backbone = self._evaluator.latency(ticket), self._evaluator.backbone(ticket)
        if backbone and whole:
            names = ("ms", "low", "high")
            row |= {f"backbone_{name}": getattr(backbone, f"latency_{name}") for name in names}
            row["backbone_share"] = round(backbone.latency_ms / whole.latency_ms, 4)
        return row

    def _latency(self, ticket: Ticket) -> Row:
        found = self._evaluator.latency(ticket)
        about = {"protocol": _way(ticket.settings), "reference": ticket.settings.reference}
        if found is None:
            return about
        return _measured(found) | about | {"flags": joined(found.flags)}

    def _on_further(self, ticket: Ticket) -> Row:
        marks = self._evaluator.further(ticket).items()
        found = {name: _measured(mark) for name, mark in marks if isinstance(mark, Measurement)}
        return {f"{name}:{key}": value for name, row in found.items() for key, value in row.items()}


def joined(flags: Iterable[str]) -> str:
    """Return flags as one cell, which can be split into them again."""
    return BETWEEN_FLAGS.join(flag.replace(BETWEEN_FLAGS, ", ") for flag in flags)


def _way(settings: Settings) -> str:
    """Return how a latency is taken: the protocol, and what differs from one thread in fp32."""
    latency = settings.latency
    more = [f"{latency.threads} threads"] if latency.threads > 1 else []
    more += [latency.numerics] if latency.numerics != "fp32" else []
    return ", ".join([latency.protocol, *more])


def _measured(found: Measurement) -> Row:
    """Return the columns that a measurement fills on every device."""
    numbers = {name: getattr(found, name) for name in TIMES}
    return numbers | {"device": found.identity.device}


def _deployed(ticket: Ticket, run: Run) -> Row:
    deployed = run.deployed(ticket.settings.timed_shape)
    if deployed is None:
        return {}
    return {
        "params_m": deployed["params"] / 1e6,
        "macs_m": deployed["macs"] / 1e6,
        "fingerprint": deployed["fingerprint"],
    }
