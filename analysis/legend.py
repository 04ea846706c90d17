"""What colours and shapes stand for, as HTML: it wraps at any width and serves several figures."""

from collections.abc import Sequence

from analysis.figures import COLORS, DASHES, SYMBOLS, Style, styles, varying
from analysis.markup import Html, join, tag
from analysis.variants import Variant, describe

ENTRIES_AT_MOST = 14
NEUTRAL = "--quiet"
# Corners in a box of 12 x 12 around (14, 6); plotly's symbols of the same names.
CORNERS = {
    "square": "9,1 19,1 19,11 9,11",
    "diamond": "14,0 20,6 14,12 8,6",
    "triangle-up": "14,0 20,11 8,11",
    "cross": "12,0 16,0 16,4 20,4 20,8 16,8 16,12 12,12 12,8 8,8 8,4 12,4",
    "star": "14,0 15.5,4.2 20,4.2 16.4,6.9 17.7,11.2 14,8.6 10.3,11.2 11.6,6.9 8,4.2 12.5,4.2",
    "hexagon": "14,0 19.2,3 19.2,9 14,12 8.8,9 8.8,3",
}
DASH_LENGTHS = {
    "solid": "none",
    "dash": "6 4",
    "dot": "2 2",
    "dashdot": "6 3 2 3",
    "longdash": "10 4",
    "longdashdot": "10 3 2 3",
}


def legend(variants: Sequence[Variant], *, lines: bool) -> Html:
    """Return the key to markers, or to `lines`; nothing for one entry or for too many."""
    entries = _entries(variants)
    if not 1 < len(entries) <= ENTRIES_AT_MOST:
        return Html("")
    draw = _line if lines else _marker
    chips = (tag("li", draw(color, shape), " ", text) for color, shape, text in entries)
    return tag("ul", *chips, class_="legend")


def _entries(variants: Sequence[Variant]) -> list[tuple[str, int, str]]:
    """Return (colour, shape, text): an entry a value of two swept keys, else one a variant."""
    keys = varying(variants)
    if len(keys) != 2:
        named = zip(styles(variants), variants, strict=True)
        return [(COLORS[style.color], style.shape, variant.label) for style, variant in named]
    (first, values), (second, others) = keys.items()
    colors = [Style(i % len(COLORS), 0) for i in range(len(values))]
    shapes = [i % len(SYMBOLS) for i in range(len(others))]
    return [
        *((COLORS[c.color], 0, describe({first: v})) for c, v in zip(colors, values, strict=True)),
        *((NEUTRAL, s, describe({second: v})) for s, v in zip(shapes, others, strict=True)),
    ]


def _marker(color: str, shape: int) -> Html:
    corners = CORNERS.get(SYMBOLS[shape])
    style = f"fill:var({color})"
    if corners is None:
        return _swatch(tag("circle", cx="14", cy="6", r="5", style=style))
    return _swatch(tag("polygon", points=corners, style=style))


def _line(color: str, shape: int) -> Html:
    dashes = DASH_LENGTHS[DASHES[shape]]
    style = f"stroke:var({color});stroke-width:2;stroke-dasharray:{dashes}"
    return _swatch(tag("line", x1="0", y1="6", x2="28", y2="6", style=style))


def _swatch(shape: Html) -> Html:
    return tag("svg", join([shape]), width="28", height="12", aria_hidden="true")
