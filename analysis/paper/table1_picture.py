"""Figure 2 as one self-contained SVG: the share of the 32 operators, a group a batch size."""

from collections.abc import Sequence

from analysis.markup import Html, tag
from analysis.paper.operators import MODULES, Pair
from analysis.paper.table1 import evidence, paper_ms
from analysis.svg import FONT, INK, LINE, QUIET, px, text
from repghost.latency.profile import Group

COLORS = {"concat": "#0072b2", "add": "#c94f00"}  # told apart by position too
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 960, 110, 330, 110, 90  # px
BAR, GAP = 20, 22
STEPS = (1, 2, 5, 10, 20, 25)  # of the axis, in percent
TICKS = 6


def picture(pairs: Sequence[Pair]) -> str:
    """Return the shares of concatenations and adds by batch size, with times and ratios beside."""
    end = max(100 * group.share.high for pair in pairs for group in pair.groups)
    height = TOP + (2 * BAR + GAP) * len(pairs) + BOTTOM
    lowest = height - BOTTOM
    title = f"Share of the {MODULES} concatenations of GhostNet 1.0x, and of adds in their place"
    parts = [
        tag("title", title),
        tag("rect", width=str(WIDTH), height=str(height), fill="#ffffff"),
        text(title, 24, 34, 16, INK),
        *_legend(),
        *_axis(end, lowest),
        *(part for i, pair in enumerate(pairs) for part in _rows(pair, _y(i), end)),
        *(
            text(line, 24, lowest + 54 + 15 * i, 11, QUIET)
            for i, line in enumerate(evidence(pairs).replace("; medians", "\nmedians").splitlines())
        ),
    ]
    size = {"width": str(WIDTH), "height": str(height), "viewBox": f"0 0 {WIDTH} {height}"}
    spaces = {"xmlns": "http://www.w3.org/2000/svg", "font_family": FONT, "role": "img"}
    return tag("svg", *parts, **size, **spaces) + "\n"


def _legend() -> list[Html]:
    parts = []
    for i, (name, color) in enumerate(COLORS.items()):
        x = 24 + 110 * i
        parts.append(tag("rect", x=str(x), y="52", width="14", height="14", fill=color))
        parts.append(text(name, x + 20, 64, 13, INK))
    times = text("concat / add in ms", WIDTH - 24, 96, 12, QUIET, "end")
    return [*parts, times, text("batch", LEFT - 14, 96, 12, QUIET, "end")]


def _axis(end: float, lowest: float) -> list[Html]:
    step = next((step for step in STEPS if end / step <= TICKS), STEPS[-1])
    parts = []
    for tick in range(0, int(end) + 1, step):
        x = px(_x(tick, end))
        parts.append(tag("line", x1=x, x2=x, y1=str(TOP - 6), y2=px(lowest), stroke=LINE))
        parts.append(text(str(tick), _x(tick, end), lowest + 16, 11, QUIET, "middle"))
    title = "% of the time of all operators of the network"
    return [*parts, text(title, _x(end / 2, end), lowest + 32, 11, QUIET, "middle")]


def _rows(pair: Pair, y: float, end: float) -> list[Html]:
    concat, add = pair.groups
    paper = paper_ms(pair.batch)
    beside = f" (paper {paper[0] / paper[1]:.1f})" if paper else ""
    times = f"{concat.ms.value:.3g} / {add.ms.value:.3g} ms, ratio {pair.ratio.value:.2f}{beside}"
    points = 100 * pair.share_difference.value
    return [
        text(str(pair.batch), LEFT - 14, y + BAR + 5, 14, INK, "end"),
        *_bar(concat, COLORS["concat"], y, end),
        *_bar(add, COLORS["add"], y + BAR, end),
        text(times, WIDTH - 24, y + BAR - 3, 13, INK, "end"),
        text(f"difference {points:+.1f} points", WIDTH - 24, y + BAR + 14, 12, QUIET, "end"),
    ]


def _bar(group: Group, color: str, y: float, end: float) -> list[Html]:
    """Return a bar to the median, a thin line over the interval, and the number."""
    value, low, high = (_x(100 * part, end) for part in group.share)
    middle = px(y + BAR / 2 - 1)
    size = {"width": px(max(value - LEFT, 1)), "height": str(BAR - 2)}
    return [
        tag("rect", x=str(LEFT), y=px(y), fill=color, **size),
        tag("line", x1=px(low), x2=px(high), y1=middle, y2=middle, stroke=INK),
        text(f"{100 * group.share.value:.1f} %", max(value, high) + 6, y + BAR - 6, 12, QUIET),
    ]


def _y(i: int) -> float:
    return TOP + (2 * BAR + GAP) * i


def _x(percent: float, end: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * percent / end
