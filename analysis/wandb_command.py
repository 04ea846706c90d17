"""The command `python -m analysis wandb`."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


def add_wandb(commands: Any, find_study: Callable[[str, Path], Path]) -> None:
    """Add the command; `find_study` returns a study's folder by name and outputs."""
    text = "end a study to W&B, or get it from there"
    one = commands.add_parser("wandb", help=f"s{text}", description=f"S{text}.")
    one.add_argument("study", metavar="STUDY", help="a study's folder or its name")
    ways = one.add_mutually_exclusive_group(required=True)
    ways.add_argument(
        "--sync", action="store_true", help="send runs that were logged offline; can be repeated"
    )
    text = "make the study anew from W&B alone, in a folder that does not exist yet"
    ways.add_argument("--pull", metavar="[ENTITY/]PROJECT", help=text)
    where = "where studies and runs lie (default: outputs)"
    one.add_argument("--outputs", default="outputs", metavar="FOLDER", help=where)

    def run(asked: argparse.Namespace) -> None:
        from rich.console import Console

        outputs, console = Path(asked.outputs), Console(highlight=False)
        if asked.pull:
            from analysis.wandb_pull import pull

            pull(asked.study, asked.pull, outputs, console)
            return
        from analysis.results import load
        from analysis.wandb_summary import tell_summary, tracking_of
        from analysis.wandb_sync import sync

        folder = find_study(asked.study, outputs)
        sync(load(folder), console)
        if tell_summary(folder, tracking_of(folder), partial(console.print, markup=False)):
            console.print("W&B: the study's summary is told")

    one.set_defaults(command=run)
