"""What makes a number doubtful, said once however often it was seen."""

import re
from collections.abc import Iterable

# A reading that differs from block to block; what it is of (core 0) is not one.
READING = re.compile(r"-?\d+(?:\.\d+)?(?= ?(?:%|MHz|°C|C\b|ms\b|s\b))")


class Flags:
    """Collects what a device says before each block of rounds."""

    def __init__(self) -> None:
        self._blocks = 0
        self._seen: dict[str, list[str]] = {}

    def add(self, said: Iterable[str]) -> None:
        """Note what was said before one block."""
        self._blocks += 1
        for text in said:
            self._seen.setdefault(READING.sub("#", text), []).append(text)

    def words(self) -> tuple[str, ...]:
        """Return each flag once, with its highest reading and in how many blocks it was raised."""
        return tuple(self._words(texts) for texts in self._seen.values())

    def _words(self, texts: list[str]) -> str:
        worst = max(texts, key=_readings)
        if self._blocks == 1:
            return worst
        most = "at most, " if len(set(texts)) > 1 else ""
        return f"{worst} ({most}in {len(texts)} of {self._blocks} blocks)"


def _readings(text: str) -> list[float]:
    return [float(number) for number in READING.findall(text)]
