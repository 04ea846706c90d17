"""`results.csv`: a row a run, joined from the study, the runs' files and the measurements."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from repghost.atomic import write_text
from repghost.latency.store import Store
from repghost.run import Run
from repghost.sweep.study import Ticket
from repghost.trial import latency_of

HEAD = ("study", "key", "state")
TAIL = (
    "seed",
    "top1",
    "top5",
    "latency_ms",
    "latency_low",
    "latency_high",
    "latency_ratio",
    "ratio_low",
    "ratio_high",
    "device",
    "protocol",
    "params_m",
    "macs_m",
    "fingerprint",
    "epochs",
    "seconds",
    "commit",
    "error",
)
Row = dict[str, Any]


def write_results(
    path: Path, study: str, tickets: Iterable[Ticket], at_work: dict[str, str], store: Store
) -> None:
    """Replace `results.csv`; `at_work` names what is being done to the runs in progress, by row."""
    tickets = list(tickets)
    swept = list(dict.fromkeys(key for ticket in tickets for key in ticket.swept if key != "seed"))
    columns = [*HEAD, *swept, *TAIL]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(study, ticket, at_work, store) for ticket in tickets)
    write_text(path, text.getvalue())


def _row(study: str, ticket: Ticket, at_work: dict[str, str], store: Store) -> Row:
    run = Run(ticket.settings.outputs, ticket.key)
    state = at_work.get(ticket.row, "waiting") if ticket.state == "running" else ticket.state
    row: Row = {"study": study, "key": ticket.key, "state": state, **ticket.swept}
    row |= {"seed": ticket.settings.seed, "error": ticket.reason}
    row |= _deployed(ticket, run) | _latency(ticket, run, store)
    result = run.result()
    if result and state == "finished":
        row |= {name: result[name] for name in ("top1", "top5", "epochs", "commit")}
        row["seconds"] = round(result["seconds"], 1)
    return row


def _deployed(ticket: Ticket, run: Run) -> Row:
    deployed = run.deployed(ticket.settings.timed_shape)
    if deployed is None:
        return {}
    return {
        "params_m": deployed["params"] / 1e6,
        "macs_m": deployed["macs"] / 1e6,
        "fingerprint": deployed["fingerprint"],
    }


def _latency(ticket: Ticket, run: Run, store: Store) -> Row:
    found = latency_of(ticket.settings, run, store)
    if found is None:
        return {}
    return {
        "latency_ms": found.latency_ms,
        "latency_low": found.latency_low,
        "latency_high": found.latency_high,
        "latency_ratio": found.latency_ratio,
        "ratio_low": found.ratio_low,
        "ratio_high": found.ratio_high,
        "device": found.identity.device,
        "protocol": found.identity.protocol,
    }
