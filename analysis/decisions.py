"""The commands that decide: effects, pareto, export, pick."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.results import Results

FORMATS = ("csv", "latex", "markdown", "parquet")


def add_decisions(commands: Any, find_study: Callable[[str, Path], Path]) -> None:
    """Add the commands; `find_study` returns a study's folder by name and outputs."""

    def loaded(asked: argparse.Namespace) -> "Results":
        return _loaded(asked, find_study)

    _add_effects(commands, loaded)
    _add_pareto(commands, loaded)
    _add_export(commands, loaded)
    _add_pick(commands, loaded)


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
        from analysis.printing import print_json, print_parts

        results = loaded(asked)
        if not asked.json:
            print_parts(lambda width: effects_summary(results, width))
            return
        found = {"effects": main_effects(results), "interactions": interaction_effects(results)}
        print_json({name: [one.as_dict() for one in many] for name, many in found.items()})

    one.set_defaults(command=run)


def _add_pareto(commands: Any, loaded: Callable[[argparse.Namespace], "Results"]) -> None:
    text = "print each variant's chance to be on the front, and what to run next to decide"
    one = _command(commands, "pareto", text)
    _add_budget(one)
    one.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def run(asked: argparse.Namespace) -> None:
        from analysis.fronts_table import fronts_dict, fronts_summary
        from analysis.printing import print_json, print_parts

        results, budget = loaded(asked), (asked.latency_max, asked.top1_min)
        if asked.json:
            print_json(fronts_dict(results, budget))
        else:
            print_parts(lambda width: fronts_summary(results, budget, width))

    one.set_defaults(command=run)


def _add_export(commands: Any, loaded: Callable[[argparse.Namespace], "Results"]) -> None:
    text = "write a study for other tools: runs (csv, parquet) or a table (latex, markdown)"
    one = _command(commands, "export", text)
    one.add_argument("--format", choices=FORMATS, required=True, help="what to write")
    out = "a file, instead of printing (parquet: results.parquet in the study's folder)"
    one.add_argument("--out", type=Path, metavar="FILE", help=out)

    def run(asked: argparse.Namespace) -> None:
        from analysis.export import export

        print(export(loaded(asked), asked.format, asked.out), end="")

    one.set_defaults(command=run)


def _add_pick(commands: Any, loaded: Callable[[argparse.Namespace], "Results"]) -> None:
    text = "write the best variant within a budget as files that can be shipped"
    one = _command(commands, "pick", text)
    _add_budget(one)
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")
    place = "words of the device or protocol to go by, where there are several"
    one.add_argument("--place", default="", metavar="WORDS", help=place)

    def run(asked: argparse.Namespace) -> None:
        from analysis.pick import pick

        budget = asked.latency_max, asked.top1_min
        print("\n".join(pick(loaded(asked), budget, asked.out, asked.place)))

    one.set_defaults(command=run)


def _add_budget(parser: argparse.ArgumentParser) -> None:
    for flag, default, meaning in (
        ("--latency-max", math.inf, "milliseconds at most"),
        ("--top1-min", -math.inf, "percent at least"),
    ):
        parser.add_argument(flag, type=_bound, default=default, metavar="X", help=meaning)


def _bound(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text}: must be a number greater than 0")
    return value
