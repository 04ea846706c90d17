"""The picture of operator profiles: horizontal bars as one self-contained SVG."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from analysis.markup import Html, tag
from analysis.operators import SIDES, Row, evidence, rows, signed
from analysis.svg import FONT, INK, LINE, QUIET, px, text
from repghost.latency.profile import Group, Profile
from repghost.latency.statistics import Interval

Unit = Literal["ms", "%"]
MOST_ROWS = 12
COLORS = ("#0072b2", "#c94f00")  # as the report's first two series; also told apart by position
WIDTH, LEFT, RIGHT = 960, 190, 300  # px: all, the names' column, the numbers' column
BAR, GAP, MARGIN = 16, 12, 24
LINE_CHARS = 135  # what fits in a line of small print
TICKS = 5


class Scale(NamedTuple):
    """The value axis: what one unit is in px, its ticks, and its title."""

    unit: Unit
    end: float
    ticks: list[float]

    def x(self, value: float) -> float:
        """Return the x coordinate of a value."""
        return LEFT + (WIDTH - LEFT - RIGHT) * min(value, self.end) / self.end


def picture(profiles: Sequence[Profile], unit: Unit = "ms") -> str:
    """Return the time by kind of operator as SVG, in ms or in % of all operators; two side by side.

    Raises:
        ValueError: the profiles cannot be compared (see `rows`).
    """
    found = rows(profiles, MOST_ROWS)
    scale = _scale([_value(group, unit).high for row in found for group in row.groups], unit)
    top = MARGIN + 22 * len(profiles) + 18
    height = BAR * len(profiles) + GAP
    bottom = top + height * len(found)
    notes = [line for sentence in evidence(profiles) for line in _wrapped(sentence)]
    end = bottom + 48 + 16 * len(notes) + MARGIN // 2
    parts = [
        tag("rect", width=str(WIDTH), height=px(end), fill="#ffffff"),
        *_head(profiles),
        *_axis(scale, top, bottom),
        *(part for i, row in enumerate(found) for part in _bars(row, scale, top + i * height)),
        *(text(line, MARGIN, bottom + 56 + 16 * i, 11, QUIET) for i, line in enumerate(notes)),
    ]
    label = "Time by kind of operator: " + " against ".join(one.network for one in profiles)
    size = {"width": str(WIDTH), "height": px(end), "viewBox": f"0 0 {WIDTH} {px(end)}"}
    spaces = {"xmlns": "http://www.w3.org/2000/svg", "font_family": FONT}
    return tag("svg", tag("title", label), *parts, role="img", **size, **spaces) + "\n"


def _head(profiles: Sequence[Profile]) -> list[Html]:
    """Return the legend: a network a line, with its colour and its time."""
    parts = []
    for i, one in enumerate(profiles):
        y = MARGIN + 22 * i
        side = f"{SIDES[i]}: " if len(profiles) > 1 else ""
        said = f"{side}{one.network}, {one.total_ms:.2f} ms a run"
        swatch = tag("rect", x=px(MARGIN), y=px(y - 4), width="14", height="14", fill=COLORS[i])
        parts.append(tag("g", swatch, text(said, MARGIN + 22, y + 8, 15, INK)))
    if len(profiles) > 1:
        y = MARGIN + 22 * len(profiles) + 8
        parts.append(text("A - B", WIDTH - MARGIN, y, 12, QUIET, "end"))
    return parts


def _axis(scale: Scale, top: float, bottom: float) -> list[Html]:
    lines = []
    for tick in scale.ticks:
        x = px(scale.x(tick))
        lines.append(tag("line", x1=x, x2=x, y1=px(top - 6), y2=px(bottom), stroke=LINE))
        lines.append(text(f"{tick:g}", scale.x(tick), bottom + 16, 11, QUIET, "middle"))
    title = "ms, median" if scale.unit == "ms" else "% of the operators' time"
    return [*lines, text(title, scale.x(scale.end / 2), bottom + 32, 11, QUIET, "middle")]


def _bars(row: Row, scale: Scale, y: float) -> list[Html]:
    middle = y + BAR * len(row.groups) / 2
    parts = [text(row.name, LEFT - 10, middle + 4, 13, INK, "end")]
    for i, group in enumerate(row.groups):
        if group.count:
            parts += _bar(group, scale, y + BAR * i, COLORS[i])
    if row.difference_ms:
        (a, b), ms = row.groups, row.difference_ms
        points = signed(100 * (a.share.value - b.share.value), 1)
        said = f"{signed(ms.value, 2)} ms, {points} points"
        parts.append(text(said, WIDTH - MARGIN, middle + 4, 12, INK, "end"))
    return parts


def _bar(group: Group, scale: Scale, y: float, color: str) -> list[Html]:
    """Return a bar from 0 to the median, a whisker over the interval, and the numbers."""
    value = _value(group, scale.unit)
    x, low, high = (scale.x(v) for v in value)
    size = {"width": px(max(x - LEFT, 1)), "height": px(BAR - 2)}
    middle = px(y + BAR / 2 - 1)
    said = f"{group.ms.value:.2f} ms, {100 * group.share.value:.1f} %"
    return [
        tag("rect", x=px(LEFT), y=px(y), fill=color, **size),
        tag("line", x1=px(low), x2=px(high), y1=middle, y2=middle, stroke=INK),
        text(said, max(x, high) + 6, y + BAR - 5, 11, QUIET),
    ]


def _value(group: Group, unit: Unit) -> Interval:
    return group.ms if unit == "ms" else Interval(*(100 * v for v in group.share))


def _scale(highs: Sequence[float], unit: Unit) -> Scale:
    """Return a scale from 0 to the largest value, with about five round ticks."""
    end = max(highs)
    rough = end / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return Scale(unit, end, [step * i for i in range(math.floor(end / step) + 1)])


def _wrapped(sentence: str) -> list[str]:
    lines = [""]
    for word in sentence.split():
        if len(lines[-1]) + len(word) >= LINE_CHARS:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
