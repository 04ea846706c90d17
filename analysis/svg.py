"""Numbers and words of an SVG picture; text is escaped."""

from typing import Literal

from analysis.markup import Html, join, tag

INK, QUIET, LINE = "#16202b", "#5a6775", "#dfe4ea"
FONT = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"


def text(
    said: str,
    x: float,
    y: float,
    size: int,
    color: str,
    anchor: Literal["start", "middle", "end"] = "start",
) -> Html:
    """Return words of `size` pixels whose start, middle or end stands at (x, y)."""
    where = {"x": px(x), "y": px(y), "font_size": str(size), "text_anchor": anchor}
    return tag("text", join([said]), fill=color, **where)


def px(value: float) -> str:
    """Return a length with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")
