"""The commands that decide: effects, pareto, export, figures, pick."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repghost.objective import EITHER

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
    _add_figures(commands, loaded)
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
    text = "print what each swept key does to score and latency, and what is a tie"
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

        results = loaded(asked)
        budget = _budget(asked, results)
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


def _add_figures(commands: Any, loaded: Callable[[argparse.Namespace], "Results"]) -> None:
    text = "draw Figures 1 and 2 and the curves of Tables 6 and 7 for a paper, as SVG and PDF"
    one = _command(commands, "figures", text)
    out = "where they are written (default: figures/ in the study's folder)"
    one.add_argument("--out", type=Path, metavar="FOLDER", help=out)

    def run(asked: argparse.Namespace) -> None:
        try:
            from analysis.press.command import figures
        except ModuleNotFoundError as error:
            raise ValueError(f"needs {error.name}: install the extra `lab`") from error
        for line in figures(loaded(asked), asked.out):
            print(line)

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

        results = loaded(asked)
        budget = _budget(asked, results)
        print("\n".join(pick(results, budget, asked.out, asked.place)))

    one.set_defaults(command=run)


def _add_budget(parser: argparse.ArgumentParser) -> None:
    for flag, default, meaning in (
        ("--latency-max", math.inf, "milliseconds at most"),
        ("--top1-min", -math.inf, "percent at least, of classifiers"),
        ("--map-min", -math.inf, "box mAP in percent at least, of detectors"),
    ):
        parser.add_argument(flag, type=_bound, default=default, metavar="X", help=meaning)


def _budget(asked: argparse.Namespace, results: "Results") -> tuple[float, float]:
    """Return latency at most and score at least.

    Raises:
        ValueError: a bound is on a score that the study does not have.
    """
    objective = results.objective
    bounds = {"top1": asked.top1_min, "map": asked.map_min}
    least = bounds.pop(objective.name, -math.inf)
    for name, bound in bounds.items():
        if math.isfinite(bound):
            mixed = objective == EITHER
            advice = "a bound needs one task alone" if mixed else f"use --{objective.name}-min"
            raise ValueError(
                f"--{name}-min={bound:g}: {results.study} is scored by {objective.label}; {advice}"
            )
    return asked.latency_max, least


def _bound(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text}: must be a number greater than 0")
    return value
