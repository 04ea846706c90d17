"""From override strings to the points of a grid; Hydra's grammar, parsed once."""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.types import Override

from repghost.settings import Settings

Value = str | int | float | bool | None
EXPERIMENT = ("model", "data", "recipe", "seed")  # the groups that make a variant
RESERVED = ("runs", "reference")  # folders below outputs that are not studies


@dataclass(frozen=True)
class Point:
    """One combination of the swept values, and the settings that it composes to."""

    swept: dict[str, Value]
    settings: Settings


@dataclass(frozen=True)
class Grid:
    """The swept keys with their values as override strings, and the overrides that are fixed."""

    choices: dict[str, list[tuple[Value, str]]]
    fixed: dict[str, str]

    def points(self, compose: Callable[[list[str]], Settings]) -> list[Point]:
        """Compose every combination; the last key varies fastest.

        Raises:
            ValueError: a combination is not allowed; nothing has been started then.
        """
        fixed = [f"{key}={value}" for key, value in self.fixed.items()]
        combinations = itertools.product(*self.choices.values())
        return [self._point(values, fixed, compose) for values in combinations]

    def _point(
        self,
        values: tuple[tuple[Value, str], ...],
        fixed: list[str],
        compose: Callable[[list[str]], Settings],
    ) -> Point:
        named = dict(zip(self.choices, values, strict=True))
        overrides = [f"{key}={text}" for key, (_, text) in named.items()]
        swept = {key.lstrip("+"): value for key, (value, _) in named.items()}
        return Point(swept, compose([*fixed, *overrides]))


def parse_grid(overrides: Sequence[Override]) -> Grid:
    """Split parsed overrides into what is swept and what is fixed.

    Raises:
        ValueError: a sweep has no discrete values, such as `interval(0, 1)`.
    """
    choices: dict[str, list[tuple[Value, str]]] = {}
    fixed: dict[str, str] = {}
    for override in overrides:
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
    return Grid(choices, fixed)


def study_name(grid: Grid) -> str:
    """Return a folder name made from the swept keys and the experiment's fixed overrides.

    Values are not in it: an added value belongs to the same study. Other fixed settings are: their
    runs do not belong in one table.
    """
    swept = "-".join(key.lstrip("+").split(".")[-1] for key in grid.choices) or "single"
    fixed = [
        f"{key.lstrip('+').split('.')[-1]}={value}"
        for key, value in sorted(grid.fixed.items())
        if key.lstrip("+").split(".")[0] in EXPERIMENT
    ]
    return re.sub(r"[^\w.=+-]+", "~", "_".join([swept, *fixed]))[:100]


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
