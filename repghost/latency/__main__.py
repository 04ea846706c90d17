"""The command line: python -m repghost.latency profile model=ghostnet ..."""

import argparse
import sys
from collections.abc import Sequence

from repghost.arguments import Parser, complain
from repghost.latency.profile_command import CONF, Asked, profile_command
from repghost.latency.spec import StorageSpec

EXAMPLES = """\
WORD is a setting as for launch.py (data=imagenet recipe=none stand before yours: 224 pixels, 1000
classes), or device=NAME, or else the path of a .mnn file:

  python -m repghost.latency profile model=repghostnet model.width=1.0
  python -m repghost.latency profile model=ghostnet --against model=repghostnet model.width=1.0
  python -m repghost.latency profile model=ghostnet latency.batch_size=8 --layers
  python -m repghost.latency profile a.mnn --against b.mnn --rounds 50

The second network of --against takes the words of the first that are not about the model
(latency.batch_size, latency.input_size, seed ...), then its own.
"""

DOCTOR_EXAMPLES = """\
WORD is device=local (the default), adb or cuda, or a setting of it:

  python -m repghost.latency doctor
  python -m repghost.latency doctor device=adb device.serial=R5CT1234567

Exit code 0: it can be timed on, however doubtful the numbers; 1: it cannot; 2: a word is wrong.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, 2 with one line for bad input."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.command is None:
        parser.print_help()
        return 0
    if asked.command != "profile":
        return _without_torch(asked)
    try:
        profile_command(
            Asked(asked.words, asked.against, asked.rounds, asked.layers, asked.outputs)
        )
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was written", file=sys.stderr)
        return 130
    except Exception as error:
        return complain(error, CONF, [*asked.words, *asked.against])
    return 0


def _without_torch(asked: argparse.Namespace) -> int:
    """Run a command that needs no more than a worker has."""
    try:
        if asked.command == "doctor":
            from repghost.latency.doctor_command import doctor_command

            return doctor_command(asked.words)
        _ask_queue(asked)
        return 0
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except ValueError as error:  # without `complain`, which needs more packages than a worker has
        print(f"error: {error}", file=sys.stderr)
        return 2


def _ask_queue(asked: argparse.Namespace) -> None:
    from rich.console import Console

    from repghost.latency.queue_command import forget_command, retry_command, status_command

    console = Console(highlight=False)
    if asked.command == "status":
        status_command(asked.storage, as_json=asked.json, console=console)
    elif asked.command == "retry":
        retry_command(asked.storage, asked.device, console)
    else:
        forget_command(asked.storage, asked.device, console)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m repghost.latency", description="How fast deployed networks are, and why."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    text = "time one network, or two side by side, operator by operator"
    one = commands.add_parser(
        "profile",
        help=text,
        description=text.capitalize() + ", through MNN's callbacks.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("words", metavar="WORD", nargs="+", help="which network, as below")
    one.add_argument(
        "--against", metavar="WORD", nargs="+", default=[], help="the second network, likewise"
    )
    one.add_argument(
        "--rounds",
        type=int,
        default=100,
        help="samples of each network, interleaved (default: %(default)s)",
    )
    one.add_argument("--layers", action="store_true", help="show the 20 slowest operators too")
    one.add_argument(
        "--outputs",
        default="outputs",
        help="profiles/*.json and *.svg are written below it (default: %(default)s)",
    )
    _add_doctor(commands)
    _add_queue(commands)
    return parser


def _add_queue(commands: "argparse._SubParsersAction[Parser]") -> None:
    texts = {
        "status": "show devices and workers, what waits, what failed and why",
        "retry": "put measurements that failed back in the queue",
        "forget": "remove a device and its measurements, so that they are made anew",
    }
    for name, text in texts.items():
        one = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        one.add_argument(
            "--storage",
            metavar="URL",
            default=StorageSpec().url,
            help="the database of measurements (default: %(default)s)",
        )
        if name == "status":
            one.add_argument("--json", action="store_true", help="print one JSON object")
        else:
            one.add_argument("--device", metavar="NAME", required=name == "forget", help="which")


def _add_doctor(commands: "argparse._SubParsersAction[Parser]") -> None:
    text = "look at everything that makes a device's numbers doubtful"
    one = commands.add_parser(
        "doctor",
        help=text,
        description=text.capitalize() + ", a line each with what to do.",
        epilog=DOCTOR_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("words", metavar="WORD", nargs="*", help="which device, as below")


if __name__ == "__main__":
    sys.exit(main())
