"""The command `python -m analysis wandb`."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


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
    text = "write the study's W&B view and report as JSON, and push them if there is an account"
    ways.add_argument("--workspace", action="store_true", help=text)
    where = "where studies and runs lie (default: outputs)"
    one.add_argument("--outputs", default="outputs", metavar="FOLDER", help=where)

    def run(asked: argparse.Namespace) -> None:
        from rich.console import Console

        outputs, console = Path(asked.outputs), Console(highlight=False)
        if asked.pull:
            from analysis.wandb_pull import pull

            pull(asked.study, asked.pull, outputs, console)
            return
        folder = find_study(asked.study, outputs)
        (_workspace if asked.workspace else _sync)(folder, console)

    one.set_defaults(command=run)


def _workspace(folder: Path, console: "Console") -> None:
    from analysis.results import load
    from analysis.wandb_workspace import make_workspace

    make_workspace(load(folder), console)


def _sync(folder: Path, console: "Console") -> None:
    from analysis.results import load
    from analysis.wandb_summary import tell_summary, tracking_of
    from analysis.wandb_sync import sync

    sync(load(folder), console)
    if tell_summary(folder, tracking_of(folder), partial(console.print, markup=False)):
        console.print("W&B: the study's summary is told")
