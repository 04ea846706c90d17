"""Runs beyond a sweep's own, as the ledger notes them: one more seed, or a longer measurement."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from repghost.latency.record import Measurement
from repghost.run import Run
from repghost.settings import Settings


@dataclass(frozen=True)
class MoreSeed:
    """A variant like that of `row`, with another seed."""

    row: str
    seed: int

    def note(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"kind": "seed", **asdict(self)}


@dataclass(frozen=True)
class Longer:
    """A longer measurement, on the first device, of the graph that the variant of `row` has.

    It stands for the graph in the whole study: its `repeat` is above the one before.
    """

    row: str
    graph: str
    repeat: int
    max_rounds: int
    max_seconds: float
    precision: float

    @classmethod
    def than(cls, row: str, known: Measurement, settings: Settings, factor: int) -> "Longer":
        """Return one of `factor` times the rounds and seconds, and as much precision."""
        latency = settings.latency
        return cls(
            row,
            known.identity.fingerprint,
            known.identity.repeat + 1,
            factor * latency.max_rounds,
            factor * latency.max_seconds,
            latency.precision / factor**0.5,
        )

    def of(self, settings: Settings) -> Settings:
        """Return a variant's settings with this measurement in place of its own.

        What asks for a higher `latency.repeat` itself stays as it is.
        """
        latency = settings.latency
        if latency.repeat >= self.repeat:
            return settings
        longer = replace(
            latency,
            devices=latency.devices[:1],
            repeat=self.repeat,
            precision=self.precision,
            max_rounds=self.max_rounds,
            max_seconds=self.max_seconds,
        )
        return replace(settings, latency=longer)

    def note(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"kind": "rounds", **asdict(self)}


def ways_to_time(settings: Settings, run: Run, longer: Mapping[str, Longer]) -> list[Settings]:
    """Return by which settings a variant's first latency is known, the best first, its own last.

    `longer` are the study's longer measurements by graph.
    """
    deployed = run.deployed(settings.timed_shape) if longer else None
    found = longer.get(deployed["fingerprint"]) if deployed else None
    best = found.of(settings) if found else settings
    return [settings] if best is settings else [best, settings]


Extra = MoreSeed | Longer
KINDS: dict[str, type[MoreSeed] | type[Longer]] = {"seed": MoreSeed, "rounds": Longer}


def noted(note: dict[str, Any]) -> Extra:
    """Return what `note` described."""
    return KINDS[note["kind"]](**{name: value for name, value in note.items() if name != "kind"})
