"""The command line: python -m repghost.latency profile model=ghostnet ..."""

import argparse
import sys
from collections.abc import Sequence

from repghost.arguments import Parser, complain
from repghost.latency.profile_command import CONF, Asked, profile_command

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, 2 with one line for bad input."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.command is None:
        parser.print_help()
        return 0
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
    return parser


if __name__ == "__main__":
    sys.exit(main())
