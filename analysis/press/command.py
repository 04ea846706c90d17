"""`python -m analysis figures`: what can be drawn is, and what is missing for the rest is said."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from analysis.press.curves import branches_figure, shortcut_figure
from analysis.press.front import front_figure
from analysis.press.operators import operators_figure
from analysis.press.style import styled, write
from analysis.results import Results


def figures(results: Results, out: Path | None) -> Iterator[str]:
    """Write the figures as SVG and PDF into `out` (figures/ in the study); yield lines on each.

    Raises:
        ValueError: there is data for none of them.
    """
    folder, drawn = out or results.study_dir / "figures", 0
    makers: dict[str, Callable[[], Figure]] = {
        "figure1": partial(front_figure, results),
        "figure2": partial(operators_figure, results.study_dir.parent),
        "table6": partial(branches_figure, results),
        "table7": partial(shortcut_figure, results),
    }
    left_out = []
    with styled():
        for name, make in makers.items():
            try:
                paths = write(make(), folder, name)
            except ValueError as error:
                left_out.append(f"{name}: left out: {error}")
                continue
            drawn += 1
            yield f"{name}: {' '.join(map(str, paths))}"
    if not drawn:
        raise ValueError("\n".join([f"{results.study}: nothing can be drawn", *left_out]))
    yield from left_out
