"""The end of a sweep: report, table, and what a reader should know beside the numbers."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from analysis.results import load
from analysis.table import print_summary
from repghost.run import Run
from repghost.sweep.evaluator import TrialEvaluator
from repghost.sweep.ticket import Ticket
from repghost.tracking.spec import TrackingSpec

NAMED = 3


def close(
    folder: Path,
    tickets: Sequence[Ticket],
    evaluator: TrialEvaluator,
    changed: bool,
    console: Console,
    tracking: TrackingSpec,
) -> None:
    """Print the study's table and remarks, and tell W&B how it ended.

    The report is made anew where the table has changed.
    """
    if changed or not (folder / "report.html").exists():
        from analysis.report import write_report

        try:
            write_report(folder)
        except OSError as error:  # the table does not have to wait for a larger disk
            console.print(f"no report: {error}", style="red", markup=False)
    print_summary(load(folder), console)
    for remark, names in _remarks(tickets, evaluator).items():
        rest = f" and {len(names) - NAMED} more" if names[NAMED:] else ""
        who = ", ".join(names[:NAMED]) + rest
        console.print(f"{who}: {remark}", markup=False, soft_wrap=True)
    for device in sorted(_devices(tickets, evaluator)):
        for flag in evaluator.timings.store.flags(device):
            console.print(f"flag on {device}: {flag}", markup=False, soft_wrap=True)
        if spread := evaluator.timings.store.spread(device):
            console.print(f"{device}: {spread}", markup=False, soft_wrap=True)
    if tracking.kind != "none":
        from analysis.wandb_summary import tell_summary

        tell_summary(folder, tracking, partial(console.print, markup=False, soft_wrap=True))


def _devices(tickets: Sequence[Ticket], evaluator: TrialEvaluator) -> set[str]:
    """Return the profiles of the devices on which these variants were timed."""
    found = [
        evaluator.latency(ticket, name)
        for ticket in tickets
        for name in ticket.settings.latency.devices
    ]
    return {one.identity.device for one in found if one}


def _remarks(tickets: Sequence[Ticket], evaluator: TrialEvaluator) -> dict[str, list[str]]:
    remarks: dict[str, list[str]] = {}
    for ticket in tickets:
        said = Run(ticket.settings.outputs, ticket.key).remarks()
        for remark in [*_noise(ticket, evaluator), *said]:
            remarks.setdefault(remark, []).append(ticket.name)
    return remarks


def _noise(ticket: Ticket, evaluator: TrialEvaluator) -> list[str]:
    latency = evaluator.latency(ticket)
    if latency is None or latency.settled:
        return []
    spec = ticket.settings.latency
    limits = {"rounds spent": "latency.max_rounds", "time spent": "latency.max_seconds"}
    limit = limits.get(latency.ended)  # more of it does not help where the machine is not as usual
    again = f"latency.repeat={spec.repeat + 1}" + (f" with more {limit}" if limit else "")
    return [
        f"latency did not settle to {100 * spec.precision:g}% ({latency.ended});"
        f" {again} measures it again"
    ]
