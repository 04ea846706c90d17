"""The command line: python -m repghost.sweep status | stop (launch.py -m is what starts sweeps)."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from repghost.arguments import Parser, complain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

CONF = Path("conf")  # of launch.py; no word here is Hydra's
AROUND = 10  # lines of a watched page that are not the table's rows
FEWEST = 3
EXAMPLES = """\
  python -m repghost.sweep status                    all studies
  python -m repghost.sweep status table6             one, also while another process drives it
  python -m repghost.sweep status table6 --watch 5   again every 5 s, until Ctrl-C
  python -m repghost.sweep stop table6               end its jobs; its -m command goes on from there
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, 2 with one line for bad input."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.command is None:
        parser.print_help()
        return 0
    try:
        return _status(asked) if asked.command == "status" else _stop(asked)
    except KeyboardInterrupt:
        return _interrupted(asked)
    except BrokenPipeError:  # `status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return complain(error, CONF)


def _status(asked: argparse.Namespace) -> int:
    from rich.console import Console

    from repghost.sweep.console.view import print_page

    console = Console(highlight=False)
    if asked.watch is not None and console.is_terminal and not asked.json:
        return _watch(asked, console)
    while True:
        if asked.json:
            print(json.dumps(_as_dict(asked)), flush=True)
        else:
            print_page(_page(asked, console), console)
        if asked.watch is None:
            return 0
        time.sleep(asked.watch)


def _watch(asked: argparse.Namespace, console: "Console") -> NoReturn:
    """Redraw the page in place until Ctrl-C."""
    from rich.console import Group
    from rich.live import Live

    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            room = max(FEWEST, console.height - AROUND)
            live.update(Group(*_page(asked, console, room)), refresh=True)
            time.sleep(asked.watch)


def _page(
    asked: argparse.Namespace, console: "Console", room: int | None = None
) -> "list[RenderableType]":
    from repghost.sweep.console.folder import find_study
    from repghost.sweep.console.status import status_of
    from repghost.sweep.console.study_list import list_page, listed
    from repghost.sweep.console.view import SHOWN, page

    outputs, now = Path(asked.outputs), time.time()
    if asked.study is None:
        return list_page(listed(outputs), outputs, now)
    most = None if asked.all else min(SHOWN, room or SHOWN)
    return page(status_of(find_study(outputs, asked.study)), console.width, now, most)


def _as_dict(asked: argparse.Namespace) -> dict[str, Any]:
    from repghost.sweep.console.folder import find_study
    from repghost.sweep.console.status import status_of
    from repghost.sweep.console.study_list import listed

    outputs = Path(asked.outputs)
    if asked.study is None:
        return {"studies": [one.as_dict() for one in listed(outputs)]}
    return status_of(find_study(outputs, asked.study)).as_dict()


def _stop(asked: argparse.Namespace) -> int:
    from repghost.sweep.console.folder import find_study
    from repghost.sweep.console.stop import stop_study

    study = find_study(Path(asked.outputs), asked.study)
    return stop_study(study, lambda line: print(line, flush=True))


def _interrupted(asked: argparse.Namespace) -> int:
    if asked.command == "status":
        return 0  # how a watch is meant to end
    print("\ninterrupted; what was told to end does, run it again for the rest", file=sys.stderr)
    return 130


def _parser() -> Parser:
    parser = Parser(
        prog="python -m repghost.sweep",
        description="How far studies are, and their end before the time.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    status = _command(commands, "status", "show studies, or the variants of one; change nothing")
    status.add_argument("study", metavar="STUDY", nargs="?", help="none: list all of them")
    status.add_argument("--all", action="store_true", help="show every variant, however many")
    status.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    status.add_argument("--watch", metavar="SECONDS", type=_seconds, help="look again and again")
    stop = _command(commands, "stop", "end a study's jobs; its command goes on from there later")
    stop.add_argument("study", metavar="STUDY")
    return parser


def _command(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    one.add_argument(
        "--outputs",
        metavar="FOLDER",
        default="outputs",
        help="where the studies lie (default: %(default)s)",
    )
    return one


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError("must be between 0.1 and 86400 seconds")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
