"""The command line: python -m analysis show STUDY, python -m analysis report STUDY..."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

NON_TERMINAL_WIDTH = 100


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; what is wrong with its input is said in one line, with exit code 1."""
    asked = _parser().parse_args(arguments)
    try:
        for name in asked.studies:
            asked.command(study_dir(name, Path(asked.outputs)))
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


def _show(folder: Path) -> None:
    from rich.console import Console

    from analysis.results import load
    from analysis.table import print_summary

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=NON_TERMINAL_WIDTH)
    print_summary(load(folder), console)


def _report(folder: Path) -> None:
    from analysis.report import write_report

    print(write_report(folder))


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
        one.add_argument(
            "--outputs", default="outputs", help="where studies lie (default: outputs)"
        )
        one.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    main()
