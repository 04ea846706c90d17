"""Words of a command line that are not Hydra's."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the words in one line, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Leave with the line."""
        self.exit(2, f"error: {message}; `{self.prog} --help` shows the words\n")


def complain(error: Exception, conf: Path, words: Sequence[str] = ()) -> int:
    """Say bad input in a line and return exit code 2; what is our own mistake is raised."""
    from repghost.complaint import complaint

    line = complaint(error, conf, words)
    if line is None:
        raise error
    said = line.replace("outputs=FOLDER", "--outputs FOLDER")  # which is no setting here
    print(f"error: {said}", file=sys.stderr)
    return 2
