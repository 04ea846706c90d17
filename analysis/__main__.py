"""The command line: python -m analysis COMMAND: show, report, effects, pareto, and so on."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.decisions import add_decisions
from analysis.wandb_command import add_wandb

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


def study_dir(name: str, outputs: Path, *, begun: bool = False) -> Path:
    """Return the folder of a study given by its path or by its name below `outputs`.

    `begun`: a sweep that has not written its results.csv yet will do.

    Raises:
        ValueError: neither holds a results.csv; the studies that are there are named.
    """
    candidates = [Path(name), outputs / name]
    for folder in candidates:
        if (folder / "results.csv").is_file() or (begun and (folder / "study.json").is_file()):
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

    outputs = Path(asked.outputs)
    other = study_dir(asked.compare, outputs) if asked.compare else None
    for name in asked.studies:
        print(write_report(study_dir(name, outputs), other))


def _serve(asked: argparse.Namespace) -> None:
    from analysis.serve import serve

    outputs = Path(asked.outputs)
    other = study_dir(asked.compare, outputs) if asked.compare else None
    serve(study_dir(asked.study, outputs, begun=True), other, asked.port)


def _paper(asked: argparse.Namespace) -> None:
    from analysis.paper.command import Asked, paper

    flags = asked.costs, asked.latency, asked.operators, asked.markdown
    outputs = Path(asked.outputs)
    study = study_dir(asked.study, outputs) if asked.study else None
    paper(Asked(*flags, device=asked.device, outputs=outputs, study=study))


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
        if command is _report:
            _add_compare(one)
        one.set_defaults(command=command)
    _add_serve(commands)
    add_decisions(commands, study_dir)
    add_wandb(commands, study_dir)
    _add_paper(commands)
    return parser


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "show a study's report on 127.0.0.1; the open page follows a sweep that runs"
    one = commands.add_parser("serve", help=text, description=text.capitalize() + ".")
    one.add_argument("study", metavar="STUDY", help="a study's folder or its name")
    where = "a free one is found with 0 (default: 8765)"
    one.add_argument("--port", type=int, default=8765, metavar="N", help=where)
    _add_outputs(one)
    _add_compare(one)
    one.set_defaults(command=_serve)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    text = "another study: a table of the variants of both, and its points over the scatter"
    parser.add_argument("--compare", metavar="OTHER", help=text)


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
    meaning = "a study's folder or its name: the tables that it has networks of, with its scores"
    one.add_argument("study", nargs="?", metavar="STUDY", help=meaning)
    _add_outputs(one)
    one.set_defaults(command=_paper)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    where = "where studies, runs and profiles lie (default: outputs)"
    parser.add_argument("--outputs", default="outputs", metavar="FOLDER", help=where)


if __name__ == "__main__":
    main()
