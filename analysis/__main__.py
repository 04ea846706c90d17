"""The command line: python -m analysis show, report, effects, pareto, export, pick, paper."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.decisions import add_decisions

NON_TERMINAL_WIDTH = 100
PAPER_EPILOG = """\
what measures the numbers (minutes each; nothing is trained, no images are needed):
  python launch.py -m +sweeps=table3 data=imagenet recipe=none     --latency, Table 3
  python launch.py -m +sweeps=table5 data=imagenet recipe=none     --latency, Table 5
  python launch.py -m +sweeps=table7 data=imagenet recipe=none     --latency, Table 7
  python launch.py -m +sweeps=table1                               --operators
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; what is wrong with its input is said in a few words, with exit code 1."""
    asked = _parser().parse_args(arguments)
    try:
        asked.command(asked)
    except (ValueError, OSError) as error:
        sys.exit(f"analysis: {error}")


def study_dir(name: str, outputs: Path) -> Path:
    """Return the folder of a study given by its path or by its name below `outputs`.

    Raises:
        ValueError: neither holds a results.csv; the studies that are there are named.
    """
    candidates = [Path(name), outputs / name]
    for folder in candidates:
        if (folder / "results.csv").is_file():
            return folder
    known = sorted(path.parent.name for path in outputs.glob("*/results.csv"))
    raise ValueError(
        f"no study {name}: no results.csv in {' or '.join(map(str, candidates))};"
        f" studies in {outputs}: {', '.join(known) or 'none'}"
    )


def _show(asked: argparse.Namespace) -> None:
    from rich.console import Console

    from analysis.results import load
    from analysis.table import print_summary

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=NON_TERMINAL_WIDTH)
    for name in asked.studies:
        print_summary(load(study_dir(name, Path(asked.outputs))), console)


def _report(asked: argparse.Namespace) -> None:
    from analysis.report import write_report

    for name in asked.studies:
        print(write_report(study_dir(name, Path(asked.outputs))))


def _paper(asked: argparse.Namespace) -> None:
    from analysis.paper.command import Asked, paper

    flags = asked.costs, asked.latency, asked.operators, asked.markdown
    paper(Asked(*flags, device=asked.device, outputs=Path(asked.outputs)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis", description="From a study's results to a decision."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("show", _show, "print a study's table, its front, its twins and its failures"),
        ("report", _report, "write a study's report.html and print its path"),
    ):
        one = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        one.add_argument("studies", metavar="STUDY", nargs="+", help="a study's folder or its name")
        _add_outputs(one)
        one.set_defaults(command=command)
    add_decisions(commands, study_dir)
    _add_paper(commands)
    return parser


def _add_paper(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "print the paper's tables beside what is counted and measured here"
    one = commands.add_parser(
        "paper",
        help=text,
        description=text.capitalize() + ". Without a table: all that there is data for.",
        epilog=PAPER_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for flag, meaning in (
        ("--costs", "Tables 3 and 5: parameters and multiply-adds, counted anew"),
        ("--latency", "Tables 3, 5 and 7: latencies as ratios to RepGhostNet 0.5x"),
        ("--operators", "Table 1 and Figure 2: concatenation against add, and figure2.svg"),
        ("--markdown", "print GitHub's Markdown, for a README"),
    ):
        one.add_argument(flag, action="store_true", help=meaning)
    one.add_argument("--device", help="only devices with this in their name (default: each)")
    _add_outputs(one)
    one.set_defaults(command=_paper)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    where = "where studies, runs and profiles lie (default: outputs)"
    parser.add_argument("--outputs", default="outputs", metavar="FOLDER", help=where)


if __name__ == "__main__":
    main()
