"""Words of a command line that are not Hydra's."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the words in one line, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Leave with the line."""
        self.exit(2, f"error: {message}; `{self.prog} --help` shows the words\n")
