"""`plan=true`: what a sweep would do, in a table and a few lines; nothing is started."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from repghost.sweep.cohorts import grouped
from repghost.sweep.plan.pace import Pace
from repghost.sweep.plan.planner import Planned, Planner
from repghost.sweep.plan.refining import refining
from repghost.sweep.plan.table import Cells, clock, digest, table, write_csv
from repghost.sweep.plan.twins import sentences
from repghost.sweep.space.points import Point
from repghost.words import counted

LONG = 60  # rows; a longer plan is shown as a digest
SHOWN = 12  # rows below a digest
GRAPHS = 6  # sentences on variants that deploy to one graph
NO_PACE = "no training on this data was timed yet: finish one, or state a speed (images_per_s=4600)"


def print_plan(
    points: Sequence[Point],
    study: str,
    console: Console,
    excluded: int = 0,
    *,
    slots: int | None = None,
    images_per_s: str | None = None,
) -> int:
    """Print what `-m` would do with these points, and start nothing; return the exit code.

    `slots` are the trainings at a time (None: `parallel`). `images_per_s` is a speed that the user
    states (None: the setting), see `pace.stated`; without it timed runs tell how long others take.

    Raises:
        ValueError: the study or the measurements cannot be read, or the speed has another form.
    """
    planner = Planner(points, study, console)
    planner.count_costs()
    base = points[0].settings
    stated = base.images_per_s if images_per_s is None else images_per_s
    rows, paces = planner.rows(stated)
    cells = Cells(rows)
    _print_rows(cells, study, Path(base.outputs) / study / "plan.csv", console)
    lines = [
        f"{excluded} combinations are excluded" if excluded else "",
        _counts(rows),
        *_to_go(rows, paces, slots or base.parallel, base.sweep.cohort),
        *_search(rows, base.n_trials),
        *_latency(rows),
        *refining(points, planner.ledger),
        *sentences(points),
        *_graphs(cells),
        *planner.notes,
        "nothing was started: leave out plan=true to start it",
    ]
    for line in filter(None, lines):
        console.print(Text(line), soft_wrap=True)
    return 0


def _print_rows(cells: Cells, study: str, path: Path, console: Console) -> None:
    """Print a table of all variants; of very many a digest, and all of them into a file."""
    title = f"{study}: the plan"
    if len(cells.rows) <= LONG:
        console.print(table(title, cells, cells.rows, console.width))
        return
    console.print(digest(title, cells))
    first = [row for row in cells.rows if not row.ended][:SHOWN]
    if first:
        console.print(table("the first that are to be run", cells, first, console.width))
    try:
        write_csv(path, cells)
        console.print(Text(f"all {len(cells.rows)} variants: {path}"), soft_wrap=True)
    except OSError as error:
        console.print(Text(f"{path}: not written ({error.strerror})"), soft_wrap=True)


def _counts(rows: Sequence[Planned]) -> str:
    states = Counter(row.state for row in rows)
    words = ", ".join(f"{count} {state}" for state, count in states.items())
    again = "; retry=failed runs again what failed" if states["failed"] else ""
    return f"{counted(len(rows), 'variant')}: {words}{again}"


def _to_go(rows: Sequence[Planned], paces: Sequence[Pace], slots: int, cohort: int) -> list[str]:
    """Say how much training is left, in all and with `slots` at a time, and how that is known."""
    known = [row.to_go_s for row in rows if row.to_go_s]
    unknown = sum(row.to_go_s is None for row in rows)
    to_train = [row for row in rows if row.to_go_s != 0]
    together = list(grouped(to_train, cohort, lambda row: row.point.settings.stream))
    lines = []
    if cohort > 1 and together:
        whole = counted(sum(map(len, together)), "training")
        lines.append(
            f"sweep.cohort={cohort}: {whole} in {counted(len(together), 'cohort')}; times are those"
            " of each alone, together they take less where batches are slow to come"
        )
    if known:
        kind = "GPU time" if any(pace.place == "cuda" for pace in paces) else "training"
        longest = max(sum(row.to_go_s or 0 for row in group) for group in together)
        wall = max(sum(known) / slots, longest)
        atonce = f", {clock(wall)} with {slots} at a time" if slots > 1 else ""
        lines.append(f"to go: {clock(sum(known))} of {kind} in all{atonce}")
        lines += dict.fromkeys(pace.source for pace in paces)
    if unknown:
        lines.append(f"to go: not known for {counted(unknown, 'variant')}; {NO_PACE}")
    return lines


def _search(rows: Sequence[Planned], trials: int | None) -> list[str]:
    """Say what a search would need, which runs but some of the variants."""
    if trials is None or trials >= len(rows):
        return []
    left = max(0, trials - sum(row.ended for row in rows))
    to_run = [row.to_go_s for row in rows if not row.ended]
    total = sum(seconds for seconds in to_run if seconds is not None)
    about = f", about {clock(total * left / len(to_run))} of training" if total else ""
    return [f"n_trials={trials}: {left} of these are still to be run{about}"]


def _latency(rows: Sequence[Planned]) -> list[str]:
    """Say how many graphs are timed, and which variants are known to be too slow."""
    graphs = {row.graph for row in rows}
    unknown = {row.graph for row in rows if row.latency_ms is None}
    timed = "timed already" if not unknown else f"{len(unknown)} of them still to be timed"
    lines = [f"latency: {counted(len(graphs), 'graph')}, {timed}"]
    slow = [row for row in rows if row.end == "pruned" and not row.ended]
    if slow:
        words = f"{counted(len(slow), 'variant')} to be pruned"
        lines.append(f"{words}: over the latency budget, by another variant of the same graph")
    return lines


def _graphs(cells: Cells) -> list[str]:
    """Name the variants that deploy to one graph, by letter."""
    lines = cells.sharing()
    more = len(lines) - GRAPHS
    return [*lines[:GRAPHS], *([f"{more} more such graphs"] if more > 0 else [])]
