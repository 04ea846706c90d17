"""From override strings to the points of a grid; Hydra's grammar, parsed once."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from hydra.core.override_parser.types import Override

from repghost.settings import Settings

Value = str | int | float | bool | None
EXPERIMENT = ("model", "data", "recipe", "seed")  # the groups that make a variant
LATENCY = "latency."  # keys of how a variant is timed
SWEEP = ("+sweeps", "sweeps")  # how a sweep file is chosen
VARIANT = "variant"  # the column of a sweep file's named combinations
RESERVED = ("runs", "reference", "profiles")  # folders below outputs that are not studies


@dataclass(frozen=True)
class Point:
    """One combination of the swept values, and the settings that it composes to."""

    swept: dict[str, Value]
    settings: Settings

    @property
    def row(self) -> str:
        """What a row of the study stands for: a variant, and how it is timed where that is swept.

        Settings of latency do not make another variant: one run, timed in several ways.
        """
        timed = [f" {key}={value}" for key, value in self.swept.items() if key.startswith(LATENCY)]
        return self.settings.variant.key + "".join(timed)


@dataclass(frozen=True)
class Grid:
    """The swept keys with their values as override strings, and the overrides that are fixed.

    `variants` are combinations with a name, each a list of overrides; they are multiplied with the
    rest. `sweep` is the name of the sweep file, if there is one.
    """

    choices: dict[str, list[tuple[Value, str]]]
    fixed: dict[str, str]
    variants: dict[str, list[str]] = field(default_factory=dict)
    sweep: str | None = None

    def points(self, compose: Callable[[list[str]], Settings]) -> list[Point]:
        """Compose every combination; the last key varies fastest.

        Raises:
            ValueError: a combination is not allowed; nothing has been started then.
        """
        fixed = [f"{key}={value}" for key, value in self.fixed.items()]
        names: list[str | None] = list(self.variants) or [None]
        combinations = list(itertools.product(*self.choices.values()))
        return [self._point(name, v, fixed, compose) for name in names for v in combinations]

    def _point(
        self,
        name: str | None,
        values: Sequence[tuple[Value, str]],
        fixed: list[str],
        compose: Callable[[list[str]], Settings],
    ) -> Point:
        swept: dict[str, Value] = {} if name is None else {VARIANT: name}
        overrides = [] if name is None else list(self.variants[name])
        for key, (value, text) in zip(self.choices, values, strict=True):
            swept[key.lstrip("+")] = value
            overrides.append(f"{key}={text}")
        return Point(swept, compose([*fixed, *overrides]))


def parse_grid(
    overrides: Sequence[Override],
    planned: Sequence[Override] = (),
    variants: Mapping[str, str] = MappingProxyType({}),
) -> Grid:
    """Split parsed overrides into what is swept and what is fixed.

    `planned` are those of a sweep file, which the command line's of the same key replace, and
    `variants` the file's named combinations, each "key=value key=value".

    Raises:
        ValueError: a sweep has no discrete values, such as `interval(0, 1)`.
    """
    choices: dict[str, list[tuple[Value, str]]] = {}
    fixed: dict[str, str] = {}
    given = {override.get_key_element().lstrip("+") for override in overrides}
    kept = [override for override in planned if override.get_key_element() not in given]
    for override in (*kept, *overrides):
        key = override.get_key_element()
        if not override.is_sweep_override():
            fixed[key] = override.get_value_element_as_str()
        elif override.is_discrete_sweep():
            choices[key] = _values(override)
        else:
            raise ValueError(
                f"{override.input_line}: a grid needs values to choose from;"
                " write a,b or choice(a,b) or range(0,3) or glob(*)"
            )
    words = {name: text.split() for name, text in variants.items()}
    return Grid(choices, fixed, words, next((fixed[key] for key in SWEEP if key in fixed), None))


def study_name(grid: Grid) -> str:
    """Return a folder name: the sweep file's or the swept keys, and the fixed experiment settings.

    Values are not in it: an added value belongs to the same study. Other fixed settings are: their
    runs do not belong in one table.
    """
    swept = "-".join(key.lstrip("+").split(".")[-1] for key in grid.choices) or "single"
    fixed = [
        f"{key.lstrip('+').split('.')[-1]}={value}"
        for key, value in sorted(grid.fixed.items())
        if key.lstrip("+").split(".")[0] in EXPERIMENT
    ]
    return re.sub(r"[^\w.=+-]+", "~", "_".join([grid.sweep or swept, *fixed]))[:100]


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


def _values(override: Override) -> list[tuple[Value, str]]:
    """Return each value of a sweep with the text that overrides with it, doubles left out."""
    texts = [str(text) for text in override.sweep_string_iterator()]
    return [(_plain(text), text) for text in dict.fromkeys(texts)]


def _plain(text: str) -> Value:
    """Return the number, boolean or string that an override's text stands for."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    known: dict[str, Value] = {"true": True, "false": False, "null": None}
    return known.get(text.lower(), text.strip("'\""))
