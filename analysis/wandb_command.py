"""The command `python -m analysis wandb`."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


def add_wandb(commands: Any, find_study: Callable[[str, Path], Path]) -> None:
    """Add the command; `find_study` returns a study's folder by name and outputs."""
    text = "send a study to W&B"
    one = commands.add_parser("wandb", help=text, description=text.capitalize() + ".")
    one.add_argument("study", metavar="STUDY", help="a study's folder or its name")
    ways = one.add_mutually_exclusive_group(required=True)
    ways.add_argument(
        "--sync", action="store_true", help="send runs that were logged offline; can be repeated"
    )
    where = "where studies and runs lie (default: outputs)"
    one.add_argument("--outputs", default="outputs", metavar="FOLDER", help=where)

    def run(asked: argparse.Namespace) -> None:
        from rich.console import Console

        from analysis.results import load
        from analysis.wandb_summary import tell_summary, tracking_of
        from analysis.wandb_sync import sync

        outputs, console = Path(asked.outputs), Console(highlight=False)
        folder = find_study(asked.study, outputs)
        sync(load(folder), console)
        if tell_summary(folder, tracking_of(folder), partial(console.print, markup=False)):
            console.print("W&B: the study's summary is told")

    one.set_defaults(command=run)
