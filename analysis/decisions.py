"""The commands that decide: effects, pareto, export, pick."""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from analysis.results import Results

NON_TERMINAL_WIDTH = 100


def add_decisions(commands: Any, find_study: Callable[[str, Path], Path]) -> None:
    """Add the commands; `find_study` returns a study's folder by name and outputs."""
    _add_effects(commands, lambda asked: _loaded(asked, find_study))


def _loaded(asked: argparse.Namespace, find_study: Callable[[str, Path], Path]) -> "Results":
    from analysis.results import load

    return load(find_study(asked.study, Path(asked.outputs)))


def _command(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text.capitalize() + "."
    )
    one.add_argument("study", metavar="STUDY", help="a study's folder or its name")
    where = "where studies and runs lie (default: outputs)"
    one.add_argument("--outputs", default="outputs", metavar="FOLDER", help=where)
    return one


def _add_effects(commands: Any, loaded: Callable[[argparse.Namespace], "Results"]) -> None:
    text = "print what each swept key does to top-1 and latency, and what is a tie"
    one = _command(commands, "effects", text)
    one.add_argument("--json", action="store_true", help="print JSON instead of tables")

    def run(asked: argparse.Namespace) -> None:
        from analysis.effects import interaction_effects, main_effects
        from analysis.effects_table import effects_summary

        results = loaded(asked)
        if not asked.json:
            print_parts(lambda width: effects_summary(results, width))
            return
        found = {"effects": main_effects(results), "interactions": interaction_effects(results)}
        print_json({name: [one.as_dict() for one in many] for name, many in found.items()})

    one.set_defaults(command=run)


def print_json(value: Any) -> None:
    """Print JSON that every reader takes: what is not finite is refused."""
    print(json.dumps(value, indent=1, allow_nan=False))


def print_parts(parts: Callable[[int], Iterable["RenderableType"]]) -> None:
    """Print what `parts` makes for the terminal's width, or for 100 columns without one."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=NON_TERMINAL_WIDTH)
    for part in parts(console.width):
        console.print(part)
