"""From override strings to a grid's points or a search's space; Hydra's grammar, parsed once."""

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from hydra.core.override_parser.types import Override

from repghost.settings import Settings
from repghost.sweep.space.compose import Composer
from repghost.sweep.space.dimensions import Choice, Dimension, choice_of, dimension_of
from repghost.sweep.space.exclude import Exclude, Scalar, scalar

Value = Scalar
Chosen = Mapping[str, tuple[Value, str]]  # by the key of its dimension: a value and its text
EXPERIMENT = ("model", "data", "recipe", "task", "seed")  # the groups that make a variant
LATENCY = "latency."  # keys of how a variant is timed
SWEEP = ("+sweeps", "sweeps")  # how a sweep file is chosen
TASK = ("task", "task.kind")  # keys that choose one
VARIANT = "variant"  # the column of a sweep file's named combinations
RESERVED = ("runs", "reference", "profiles")  # folders below outputs that are not studies
SAMPLERS = ("tpe", "nsga2", "random")
FEW = 10  # values a dimension, among which an allowed combination is looked for
# Keys of the sweep as a whole: one value each.
WHOLE = (
    "checkpoint",
    "average",
    "study",
    "outputs",
    "parallel",
    "n_trials",
    "detach",
    "retry",
    "plan",
    "max_requeues",
    "images_per_s",
    "sweep.cohort",
    "sweep.refine",
)


@dataclass(frozen=True)
class Point:
    """One combination of the swept values, and the settings that it composes to."""

    swept: dict[str, Value]
    settings: Settings

    @cached_property
    def key(self) -> str:
        """The name of the variant's run."""
        return self.settings.variant.key

    @cached_property
    def row(self) -> str:
        """What a row of the study stands for: a variant, and how it is timed where that is swept.

        Settings of latency do not make another variant: one run, timed in several ways.
        """
        timed = [f" {key}={value}" for key, value in self.swept.items() if key.startswith(LATENCY)]
        return self.key + "".join(timed)


@dataclass(frozen=True)
class Space:
    """What is swept, what is fixed, and what is left out: a grid, or a space to search.

    `variants` are combinations with a name, each a list of overrides; where there are any, their
    names are the first dimension, `VARIANT`.
    """

    dimensions: tuple[Dimension, ...]
    fixed: dict[str, str]
    variants: dict[str, list[str]] = field(default_factory=dict)
    exclude: Exclude = field(default_factory=lambda: Exclude({}))

    @property
    def size(self) -> int | None:
        """How many combinations there are, those left out included; None where continuous."""
        sizes = [dimension.size for dimension in self.dimensions]
        known = [size for size in sizes if size is not None]
        return math.prod(known) if len(known) == len(sizes) else None

    @property
    def sweep(self) -> str | None:
        """The name of the sweep file, if there is one."""
        return next((self.fixed[key] for key in SWEEP if key in self.fixed), None)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that it has combinations of; none where nothing swept chooses one."""
        swept = (one for one in self.dimensions if one.key.lstrip("+") in TASK)
        found = [text for dimension in swept for _, text in dimension.values]
        for words in self.variants.values():
            named = dict(word.lstrip("+").split("=", 1) for word in words)
            found += [named.get(key, "") for key in TASK if key in named] or [""]
        return tuple(dict.fromkeys(found))

    def point(self, values: Mapping[str, Value], composer: Composer) -> Point | None:
        """Compose one value a dimension, by its key; None for a combination that is left out.

        Raises:
            ValueError: a value, or the combination, is not allowed.
        """
        texts = {one.key: one.text(values[one.key]) for one in self.dimensions}
        chosen = {
            key: (text if key == VARIANT else scalar(text), text) for key, text in texts.items()
        }
        return self._point(chosen, composer)[0]

    def points(
        self, composer: Composer, say: Callable[[str], None] = lambda _: None
    ) -> list[Point]:
        """Compose every combination, the last key varying fastest.

        `say` gets a line on how many are left out, and on expressions that leave out nothing.

        Raises:
            ValueError: the space is continuous, a combination is not allowed, or none is left.
        """
        if self.size is None:
            raise ValueError("an interval has no end of values: give n_trials and search it")
        combinations = self._product([dimension.values for dimension in self.dimensions])
        found = [self._point(chosen, composer) for chosen in combinations]
        points = [point for point, _ in found if point is not None]
        for line in self._notices(len(points), {hit for _, hits in found for hit in hits}):
            say(line)
        if not points:
            raise ValueError(f"exclude leaves none of {self.size} combinations")
        return points

    def first(self, composer: Composer) -> Point:
        """Compose one combination that is not left out: what all have in common is in it.

        Raises:
            ValueError: it is not allowed, or none was found.
        """
        tried = self._product([dimension.some(FEW) for dimension in self.dimensions])
        try:
            points = (self._point(chosen, composer)[0] for chosen in tried)
            first = next((point for point in points if point is not None), None)
        except ValueError as error:
            raise ValueError(f"{error}{self._hint(str(error))}") from error
        if first is None:
            raise ValueError("exclude leaves none of the combinations that were tried")
        return first

    def _hint(self, said: str) -> str:
        """Return what to write where a key with an interval takes whole numbers alone."""
        keys = [one.key for one in self.dimensions if one.size is None]
        whole = "Integer" in said and any(said.startswith(f"{key}: ") for key in keys)
        return "; whole numbers are int(interval(...))" if whole else ""

    def _product(self, values: Sequence[Sequence[tuple[Value, str]]]) -> Iterator[Chosen]:
        keys = [dimension.key for dimension in self.dimensions]
        return (dict(zip(keys, chosen, strict=True)) for chosen in itertools.product(*values))

    def _point(self, chosen: Chosen, composer: Composer) -> tuple[Point | None, list[str]]:
        """Return the point, or None and the expressions of `exclude` that it meets."""
        words = [f"{key}={text}" for key, text in self.fixed.items()]
        words += self.variants[chosen[VARIANT][1]] if VARIANT in chosen else []
        swept = {key.lstrip("+"): value for key, (value, _) in chosen.items()}
        given = {
            key.lstrip("+"): scalar(text) for key, _, text in (w.partition("=") for w in words)
        }
        given |= swept
        if hits := self.exclude.hits(given):
            return None, hits
        words += [f"{key}={text}" for key, (_, text) in chosen.items() if key != VARIANT]
        settings = composer.settings(words)
        if settings.validates:
            scored = f"task={settings.task.kind}"
            if settings.task.detects:
                scored = f"checkpoint={settings.checkpoint}"
            raise ValueError(f"{scored}: is for one network; leave out -m")
        hits = self.exclude.hits(given, settings)
        return (None, hits) if hits else (Point(swept, settings), [])

    def _notices(self, kept: int, hits: set[str]) -> Iterable[str]:
        if kept != self.size:
            yield f"exclude leaves out {(self.size or 0) - kept} of {self.size} combinations"
        for idle in self.exclude.expressions.keys() - hits:
            yield f"exclude {idle!r}: leaves out none of {self.size} combinations"


@dataclass(frozen=True)
class SamplerSpec:
    """How a search picks its points: `name` of Optuna's sampler, and the seed of its chance.

    tpe: multivariate, looks where results were good; nsga2: breeds the best; random: does not look.
    """

    name: str = "tpe"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in SAMPLERS:
            raise ValueError(
                f"hydra.sweeper.sampler={self.name}: allowed are {', '.join(SAMPLERS)}"
            )
        if type(self.seed) is not int or self.seed < 0:
            raise ValueError(
                f"hydra.sweeper.seed={self.seed}: must be a whole number of at least 0"
            )


def parse_grid(
    overrides: Sequence[Override],
    planned: Sequence[Override] = (),
    variants: Mapping[str, str] = MappingProxyType({}),
    exclude: Iterable[str] = (),
) -> Space:
    """Return the space of a grid, in which everything swept is a choice.

    `planned` are the overrides of a sweep file, which the command line's of the same key replace,
    and `variants` the file's named combinations, each "key=value key=value".

    Raises:
        ValueError: a sweep has no discrete values, such as `interval(0, 1)`; or see `Exclude`.
    """
    return _parse(overrides, planned, variants, exclude, choice_of)


def parse_space(
    overrides: Sequence[Override],
    planned: Sequence[Override] = (),
    variants: Mapping[str, str] = MappingProxyType({}),
    exclude: Iterable[str] = (),
) -> Space:
    """Return the space of a search: as `parse_grid`, and intervals; ranges are steps of one.

    Raises:
        ValueError: an interval is empty, or its tag is unknown; or see `Exclude`.
    """
    return _parse(overrides, planned, variants, exclude, dimension_of)


def _parse(
    overrides: Sequence[Override],
    planned: Sequence[Override],
    variants: Mapping[str, str],
    exclude: Iterable[str],
    dimension: Callable[[Override], Dimension],
) -> Space:
    given = {override.get_key_element().lstrip("+") for override in overrides}
    kept = [override for override in planned if override.get_key_element() not in given]
    last = {override.get_key_element(): override for override in (*kept, *overrides)}
    swept = {key: override for key, override in last.items() if override.is_sweep_override()}
    for key in swept.keys() & set(WHOLE):
        raise ValueError(f"{swept[key].input_line}: {key} is the whole sweep's; give it one value")
    fixed = {
        key: override.get_value_element_as_str()
        for key, override in last.items()
        if key not in swept
    }
    words = {name: text.split() for name, text in variants.items()}
    dimensions = [dimension(override) for override in swept.values()]
    if words:
        dimensions.insert(0, Choice(VARIANT, [(name, name) for name in words]))
    named = {word.split("=")[0] for text in words.values() for word in text} | {*last, VARIANT}
    return Space(
        tuple(dimensions), fixed, words, Exclude.parse(exclude, {n.lstrip("+") for n in named})
    )


def study_name(space: Space) -> str:
    """Return a folder name: the sweep file's or the swept keys, and the fixed experiment settings.

    Values are not in it: an added value belongs to the same study. Other fixed settings are: their
    runs do not belong in one table.
    """
    keys = [dimension.key for dimension in space.dimensions if dimension.key != VARIANT]
    swept = "-".join(key.lstrip("+").split(".")[-1] for key in keys) or "single"
    fixed = [
        f"{key.lstrip('+').split('.')[-1]}={value}"
        for key, value in sorted(space.fixed.items())
        if key.lstrip("+").split(".")[0] in EXPERIMENT
    ]
    return re.sub(r"[^\w.=+-]+", "~", "_".join([space.sweep or swept, *fixed]))[:100]


def check_study_name(name: str) -> str:
    """Return `name` if it can name a study's folder.

    Raises:
        ValueError: it has characters that a folder name should not have, or is taken.
    """
    if not re.fullmatch(r"[\w=+~-][\w.=+~,@ -]*", name) or name in RESERVED:
        raise ValueError(
            f"study={name}: use letters, digits and . = + ~ , @ - only"
            f" (not {' or '.join(RESERVED)})"
        )
    return name
