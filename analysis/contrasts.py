"""What is compared with what: variants that differ in one swept key, or in two at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from analysis.results import Results
from analysis.variants import Variant, group

Step = tuple[str, str]  # from one value of a key to another
Block = tuple[tuple[int, Variant], ...]  # variants at equal other settings, with their signs
Cells = Mapping[tuple[int, int], float]  # by (block, seed)


@dataclass(frozen=True)
class Contrast:
    """A difference (one key), or a difference of differences (two), at equal other settings."""

    keys: tuple[str, ...]
    steps: tuple[Step, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Rectangle:
    """Per-seed means over the blocks of which every seed is there; what was left out for that."""

    means: dict[int, float]
    blocks: int
    left_out: int


def main_contrasts(results: Results) -> list[Contrast]:
    """Return each key's steps between two of its values, in the order of the file."""
    return [one for key in results.swept for one in _contrasts(results, (key,))]


def interactions(results: Results) -> list[Contrast]:
    """Return, for each two keys, how the step in one changes with the other: complete 2 x 2 s."""
    return [one for keys in combinations(results.swept, 2) for one in _contrasts(results, keys)]


def rectangle(cells: Cells) -> Rectangle:
    """Return the mean of the cells for each seed, over the same blocks for every seed.

    Whichever row or column lacks the largest share of its cells goes first, until none is missing:
    means over different blocks would count the blocks' differences as the seeds' luck.
    """
    blocks = list(dict.fromkeys(block for block, _ in cells))
    seeds = sorted({seed for _, seed in cells})
    while len(cells_in(cells, blocks, seeds)) < len(blocks) * len(seeds):
        worst_block = max(blocks, key=lambda b: sum((b, s) not in cells for s in seeds))
        worst_seed = max(seeds, key=lambda s: sum((b, s) not in cells for b in blocks))
        block_share = sum((worst_block, s) not in cells for s in seeds) / len(seeds)
        seed_share = sum((b, worst_seed) not in cells for b in blocks) / len(blocks)
        if block_share >= seed_share:
            blocks.remove(worst_block)
        else:
            seeds.remove(worst_seed)
    means = {seed: sum(cells[block, seed] for block in blocks) / len(blocks) for seed in seeds}
    return Rectangle(means, len(blocks), len(cells) - len(blocks) * len(seeds))


def cells_in(cells: Cells, blocks: Iterable[int], seeds: Sequence[int]) -> Cells:
    """Return the cells of these blocks and seeds."""
    wanted = [(block, seed) for block in blocks for seed in seeds]
    return {place: cells[place] for place in wanted if place in cells}


def _contrasts(results: Results, keys: tuple[str, ...]) -> Iterator[Contrast]:
    """Yield every step in all of `keys` at once, with the blocks in which it is complete."""
    order = {key: list(dict.fromkeys(row.settings[key] for row in results.rows)) for key in keys}
    found: dict[tuple[Step, ...], list[Block]] = {}
    for members in _by_other_settings(group(results), keys).values():
        present = [
            [v for v in order[key] if any(m[n] == v for m in members)] for n, key in enumerate(keys)
        ]
        for steps in _products([list(combinations(values, 2)) for values in present]):
            if block := _block(members, steps):
                found.setdefault(steps, []).append(block)
    for steps, blocks in found.items():
        yield Contrast(keys, steps, tuple(blocks))


def _by_other_settings(
    variants: Sequence[Variant], keys: Sequence[str]
) -> dict[tuple[str, ...], dict[tuple[str, ...], Variant]]:
    blocks: dict[tuple[str, ...], dict[tuple[str, ...], Variant]] = {}
    for variant in variants:
        rest = tuple(value for key, value in variant.settings.items() if key not in keys)
        blocks.setdefault(rest, {})[tuple(variant.settings[key] for key in keys)] = variant
    return blocks


def _products(choices: Sequence[Sequence[Step]]) -> Iterator[tuple[Step, ...]]:
    if not choices:
        yield ()
        return
    for first in choices[0]:
        for rest in _products(choices[1:]):
            yield first, *rest


def _block(members: Mapping[tuple[str, ...], Variant], steps: tuple[Step, ...]) -> Block | None:
    """Return the 2^k corners of the steps with their signs, None where one is missing."""
    corners: list[tuple[int, tuple[str, ...]]] = [(1, ())]
    for before, after in steps:
        corners = [
            *((sign, (*values, after)) for sign, values in corners),
            *((-sign, (*values, before)) for sign, values in corners),
        ]
    if any(values not in members for _, values in corners):
        return None
    return tuple((sign, members[values]) for sign, values in corners)
