"""All that a report is made of, read once: a study's findings and the evidence behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from analysis.configs import Config, read_configs
from analysis.effects import Effect, main_effects
from analysis.examples import Examples, read_examples
from analysis.findings import Findings, find
from analysis.fronts import Front, fronts
from analysis.results import Results
from analysis.run_files import profile_files
from analysis.samples import Rounds, read_rounds

if TYPE_CHECKING:
    from repghost.latency.profile import Profile

PROFILES_SHOWN = 30  # networks, those of the front first


class Standing(NamedTuple):
    """How sure a variant's place is: "front", "undecided" or "dominated", and its chance."""

    status: str
    chance: float


@dataclass(frozen=True)
class Material:
    """A study as a report shows it.

    `standings` are by index into `found.variants`; `rounds` by graph, `no_rounds` says why there
    are none; `configs` by run; `profiles` by graph: a network and what it was compared with;
    `examples` by variant: what a detector sees, of those on the front first.
    """

    results: Results
    found: Findings
    fronts: tuple[Front, ...]
    standings: Mapping[int, Standing]
    effects: tuple[Effect, ...]
    rounds: Mapping[str, Rounds]
    no_rounds: str
    configs: Mapping[str, Config]
    profiles: "Mapping[str, list[Profile]]"
    examples: Mapping[int, Examples]


def gather(results: Results) -> Material:
    """Read and compute what a report of the study needs."""
    found = find(results)
    seen = tuple(fronts(results))
    rounds, no_rounds = read_rounds(results)
    return Material(
        results=results,
        found=found,
        fronts=seen,
        standings=standings(found, seen),
        effects=tuple(main_effects(results)),
        rounds=rounds,
        no_rounds=no_rounds,
        configs=read_configs(results),
        profiles=_profiles(results.study_dir.parent / "profiles", found),
        examples=read_examples(results, found.variants, _front_first(found)),
    )


def standings(found: Findings, seen: Sequence[Front]) -> dict[int, Standing]:
    """Return how sure each placed variant is of the front, by index into `found.variants`."""
    places = {tuple(v.settings.values()): i for i, v in enumerate(found.variants)}
    return {
        places[tuple(v.settings.values())]: Standing(front.status(n), float(front.chances.front[n]))
        for front in seen
        for n, v in enumerate(front.variants)
    }


def _profiles(folder: Path, found: Findings) -> "dict[str, list[Profile]]":
    """Return the newest profile of each of the first `PROFILES_SHOWN` graphs that have one.

    A file that cannot be read is none.
    """
    graphs = dict.fromkeys(found.variants[i].fingerprint for i in _front_first(found))
    files = profile_files(folder, graphs)
    if not files:
        return {}
    from repghost.latency.profile import read_profiles

    profiles: dict[str, list[Profile]] = {}
    for graph in [graph for graph in graphs if graph in files][:PROFILES_SHOWN]:
        try:
            profiles[graph] = read_profiles(max(files[graph], key=_written))[:2]
        except ValueError:
            continue
    return profiles


def _written(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime, path.name


def _front_first(found: Findings) -> list[int]:
    return sorted(range(len(found.variants)), key=lambda i: i not in found.front)
