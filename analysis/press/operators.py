"""Figure 2: the share of the concatenations in a network's time, and of adds in their place."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from analysis.paper.operators import operator_pairs
from analysis.press.style import COLORS, COLUMN, panels

BAR = 0.38


def operators_figure(outputs: Path) -> Figure:
    """Return bars with 95 % intervals by batch size, of the first device that has profiles.

    Raises:
        ValueError: no profiles of the two networks lie below `outputs`/profiles.
    """
    devices, _ = operator_pairs(outputs, None)
    name, pairs = next(iter(devices.items()))
    figure, (axes,) = panels(1, COLUMN, 2.2)
    for side, label in enumerate(("concatenation", "add")):
        groups = [pair.groups[side] for pair in pairs]
        shares = [100 * group.share.value for group in groups]
        below = [100 * (group.share.value - group.share.low) for group in groups]
        above = [100 * (group.share.high - group.share.value) for group in groups]
        places = [i + BAR * (side - 0.5) for i in range(len(pairs))]
        hatch = "////" if side else None
        style: dict[str, Any] = {
            "color": COLORS[side],
            "hatch": hatch,
            "edgecolor": "white",
        }
        axes.bar(places, shares, BAR, yerr=(below, above), capsize=1.5, label=label, **style)
        for x, share, more in zip(places, shares, above, strict=True):
            axes.text(x, share + more, f"{share:.1f}", ha="center", va="bottom", fontsize=7)
    axes.set_xticks(range(len(pairs)), [str(pair.batch) for pair in pairs])
    axes.set_xlabel(f"batch size, {name}")
    axes.set_ylabel("share of all operators (%)")
    axes.margins(y=0.15)
    axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure
