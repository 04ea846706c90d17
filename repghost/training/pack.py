"""The command line: python -m repghost.training.pack data=imagenet out=/packed/imagenet"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from repghost.arguments import Parser
from repghost.complaint import complaint

if TYPE_CHECKING:
    from repghost.training.pack_words import Asked

CONF = Path(__file__).resolve().parents[2] / "conf"
HELP = """\
WORD is one of

  data=imagenet ...   what to pack: settings of data as for launch.py (data.root=..., data.name=...)
  out=FOLDER          where to; with data.root=FOLDER a training reads it
  short=256           short side in pixels; images are never enlarged; 0 keeps their size
  encoding=jpeg       jpeg, or raw: uint8 pixels, about ten times as large and three times as fast
  quality=90          of a JPEG that is made; one that is small enough is kept as it is
  workers=N           processes (default: one a core)
  check=true          only look: are all shards there, whole, and of these images?

  python -m repghost.training.pack data=imagenet data.root=/data/imagenet out=/packed/imagenet
  python -m repghost.training.pack data=folder data.root=/data/pets out=/packed/pets encoding=raw
  python -m repghost.training.pack data=folder data.name=torch/cifar10 data.root=/data \\
      data.num_classes=10 out=/packed/cifar10

Killed or interrupted, the same command goes on; run again on a whole folder it verifies every
shard by its checksum and makes damaged ones anew. Images that cannot be read are listed and left
out. Exit code 0: packed and whole; 1: something is missing or damaged, the disk is full, or a
process was killed; 2: a word is wrong; 130: interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack, or check what is packed; return the exit code."""
    words = _parser().parse_args(arguments).words
    try:
        from repghost.training.pack_words import asked_for

        return _run(asked_for(words, CONF))
    except Exception as error:
        return _complain(error, words, 2)


def _run(asked: "Asked") -> int:
    from repghost.training.pack_command import check_command, pack_command

    try:
        return check_command(asked) if asked.check else pack_command(asked)
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except OSError as error:
        return _complain(error, asked.words, 1)


def _complain(error: Exception, words: Sequence[str], code: int) -> int:
    """Say what is wrong in a line; what is our own mistake is raised."""
    if isinstance(error, ChildProcessError):
        line: str | None = str(error)
    else:
        line = complaint(error, CONF, words)
    if line is None:
        raise error
    print(f"error: {line.replace('outputs=FOLDER', 'out=FOLDER')}", file=sys.stderr)
    return code


def _parser() -> Parser:
    parser = Parser(
        prog="python -m repghost.training.pack",
        description="Pack images into shards that a training reads several times as fast.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", metavar="WORD", nargs="+", help="as below")
    return parser


if __name__ == "__main__":
    sys.exit(main())
