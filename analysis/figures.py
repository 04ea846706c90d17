"""What the report's figures share: plotly specifications as plain dicts, which the page draws.

A colour is the name of a CSS variable (`--series-1`): the page puts in the light or the dark one.
Plotly reads text as markup, so text from data goes through `literal`.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from analysis.texts import latency_text, network_name, ratio_text
from analysis.variants import Variant

Figure = dict[str, Any]
COLORS = tuple(f"--series-{i}" for i in range(1, 7))
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid")


Values = Sequence[float | None]
Curve = tuple[int, Values, Values]  # what `customdata` says of its points, x, y


class Style(NamedTuple):
    """How a variant is drawn: indices into COLORS, and into SYMBOLS and DASHES."""

    color: int
    shape: int


def styles(variants: Sequence[Variant]) -> list[Style]:
    """Return a style a variant: with two swept keys one in colour and one in shape, else both.

    Colour never tells alone: without two keys the shape changes with it.
    """
    keys = varying(variants)
    if len(keys) != 2:
        return [Style(i % len(COLORS), i % len(SYMBOLS)) for i in range(len(variants))]
    (first, colors), (second, shapes) = keys.items()
    return [
        Style(
            colors.index(variant.settings[first]) % len(COLORS),
            shapes.index(variant.settings[second]) % len(SYMBOLS),
        )
        for variant in variants
    ]


def varying(variants: Sequence[Variant]) -> dict[str, list[str]]:
    """Return the settings that take more than one value, with their values in order of rank."""
    values: dict[str, list[str]] = {}
    for variant in variants:
        for key, value in variant.settings.items():
            if value not in values.setdefault(key, []):
                values[key].append(value)
    return {key: seen for key, seen in values.items() if len(seen) > 1}


def lines(style: Style, curves: Sequence[Curve], width: float, hover: str) -> Figure:
    """Return the curves of one style as one trace, with a gap after each.

    y is kept to four digits; NaN is a gap too, as JSON has none.
    """
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for _, xs, _ in curves for x in [*xs, None]],
        "y": [y for _, _, ys in curves for y in [*map(_four_digits, ys), None]],
        "customdata": [of for of, xs, _ in curves for _ in [*xs, None]],
        "line": {"color": COLORS[style.color], "width": width, "dash": DASHES[style.shape]},
        "hovertemplate": hover,
    }


def _four_digits(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(f"{value:.4g}")


def latency_facts(variant: Variant) -> list[tuple[str, str]]:
    """Return (name, value) of all that was timed of a variant, on every device, for a hover."""
    first = variant.latency
    place = f" {first.place}" if first else ""
    to = network_name(first.reference if first else "") or "reference"
    return [
        ("latency ms", f"{latency_text(first)}{place}"),
        (f"ratio to {to}", ratio_text(first)),
        *(
            (f"{name} ms", f"{latency_text(one)}, ratio {ratio_text(one)} {one.device}")
            for name, one in variant.further.items()
        ),
        *(("doubtful", flag) for flag in (first.flags if first else ())),
    ]


def literal(text: str) -> str:
    """Return text from data so that plotly shows it as it stands."""
    return escape(text, quote=False)
