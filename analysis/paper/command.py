"""`python -m analysis paper`: which tables are asked for, where their numbers are, the printing."""

import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from analysis.paper.sheet import Sheet, markdown, print_sheets

NON_TERMINAL_WIDTH = 110


@dataclass(frozen=True)
class Asked:
    """What the command line asks for; with none of the three, all that there is data for."""

    costs: bool
    latency: bool
    operators: bool
    markdown: bool
    device: str | None
    outputs: Path
    study: Path | None = None


def paper(asked: Asked) -> None:
    """Print the paper's tables beside our numbers.

    Raises:
        ValueError: a table that was asked for by name has no data, the costs cannot be counted,
            or a study is named with an option that says nothing of it.
    """
    if asked.study:
        _refuse_idle(asked)
        from analysis.paper.study import study_sheets

        _print(study_sheets(asked.study), asked.markdown)
        return
    everything = not (asked.costs or asked.latency or asked.operators)
    sheets: list[Sheet] = []
    if asked.costs or everything:
        sheets += _costs()
    for wanted, make in ((asked.latency, _latency), (asked.operators, _operators)):
        try:
            sheets += make(asked) if wanted or everything else []
        except ValueError as error:
            if wanted:
                raise
            sheets.append(Sheet(f"Left out: {error}", (), ()))
    _print(sheets, asked.markdown)


def _refuse_idle(asked: Asked) -> None:
    options = {
        "--costs": asked.costs,
        "--latency": asked.latency,
        "--operators": asked.operators,
        "--device": asked.device is not None,
    }
    idle = ", ".join(option for option, is_given in options.items() if is_given)
    if idle:
        raise ValueError(f"{idle}: not for one study, whose tables are printed whole: leave it out")


def _costs() -> list[Sheet]:
    """Count the networks of Tables 3 and 5, with a line of progress beside the output."""
    from analysis.paper.costs import cost_sheets, count
    from analysis.paper.tables import paper_rows

    names = [row.name for row in paper_rows("Table 3", "Table 5")]
    progress = Console(stderr=True)
    with progress.status(f"counting {len(names)} networks") as status:

        def show(name: str, done: int) -> None:
            status.update(f"counted {done} of {len(names)} networks: {name}")

        return cost_sheets(count(names, show))


def _latency(asked: Asked) -> list[Sheet]:
    from analysis.paper.latency import latency_sheets

    return latency_sheets(asked.outputs, asked.device)


def _operators(asked: Asked) -> list[Sheet]:
    """Return Table 1 and Figure 2; a picture of each device is written beside the profiles."""
    from analysis.paper.operators import operator_pairs
    from analysis.paper.table1 import operator_sheets
    from analysis.paper.table1_picture import picture
    from analysis.report import write_whole

    devices, notes = operator_pairs(asked.outputs, asked.device)
    written = []
    for number, pairs in enumerate(devices.values(), 1):
        path = asked.outputs / "profiles" / f"figure2{'' if number == 1 else f'-{number}'}.svg"
        write_whole(path, picture(pairs))
        written.append(f"picture {path}")
    print("\n".join(written), file=sys.stderr)
    return operator_sheets(devices, notes)


def _print(sheets: list[Sheet], as_markdown: bool) -> None:
    if as_markdown:
        print(markdown(sheets))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=NON_TERMINAL_WIDTH)
    print_sheets(sheets, console)
