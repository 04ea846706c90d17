"""Points of a grid made without Hydra, for tests of what is done with them."""

import itertools
from dataclasses import replace
from typing import Any

from repghost.settings import Settings
from repghost.sweep.space.points import Point


def grid(base: Settings, swept: dict[str, list[Any]]) -> list[Point]:
    """Return every combination of the swept values over `base`; the last key varies fastest."""
    combinations = itertools.product(*swept.values())
    return [point(base, dict(zip(swept, values, strict=True))) for values in combinations]


def point(base: Settings, values: dict[str, Any]) -> Point:
    """Return one combination: values by dotted key."""
    groups: dict[str, dict[str, Any]] = {}
    settings = base
    for key, value in values.items():
        group, _, name = key.partition(".")
        if name:
            groups.setdefault(group, {})[name] = value
        else:
            settings = replace(settings, **{key: value})
    made = {group: replace(getattr(base, group), **given) for group, given in groups.items()}
    return Point(dict(values), replace(settings, **made))
