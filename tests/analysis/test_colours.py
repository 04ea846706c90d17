"""The colours of report and figures: the colour-blind tell them apart; they stand out."""

import itertools
import re
from importlib.resources import files

import numpy as np
import pytest

from analysis.press import style

# What is seen without one kind of cone, of linear sRGB (Machado, Oliveira and Fernandes 2009).
SIGHT = {
    "full": np.eye(3),
    "deuteranopia": np.array(
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
    ),
    "protanopia": np.array(
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
    ),
    "tritanopia": np.array(
        [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]
    ),
}
# Differences in OKLab, where 0.02 can just be seen and black and white are 1 apart.
LEAST = {"full": 0.1, "deuteranopia": 0.1, "protanopia": 0.1, "tritanopia": 0.05}
LMS = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
LAB = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])


def linear(color: str):
    share = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def seen(color: str, sight: str):
    return LAB @ np.cbrt(LMS @ np.clip(SIGHT[sight] @ linear(color), 0, 1))


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def schemes() -> list[dict[str, str]]:
    """Return the report's colours by name, light and dark."""
    css = (files("analysis") / "page" / "report.css").read_text()
    found = [dict(re.findall(r"--([a-z0-9-]+): (#\w{6})", part)) for part in css.split("@media")]
    return [colors for colors in found if "series-1" in colors]


def closest(colors, sight: str) -> tuple[float, str, str]:
    pairs = itertools.combinations(colors, 2)
    return min((float(np.linalg.norm(seen(a, sight) - seen(b, sight))), a, b) for a, b in pairs)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_reports_series_are_told_apart(scheme, sight):
    colors = [color for name, color in schemes()[scheme].items() if name.startswith("series-")]
    assert len(colors) == 6
    distance, *pair = closest(colors, sight)
    assert distance > LEAST[sight], pair


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_marks_and_words_stand_out_from_their_card(scheme):
    colors = schemes()[scheme]
    for name in (*(f"series-{n}" for n in range(1, 7)), "front"):
        assert contrast(colors[name], colors["card"]) >= 3, name
    for name in ("ink", "quiet", "accent"):
        assert min(contrast(colors[name], colors[on]) for on in ("card", "page")) >= 4.5, name
    assert contrast(colors["bad"], colors["bad-card"]) >= 4.5


@pytest.mark.parametrize("sight", SIGHT)
def test_the_first_series_of_a_papers_figure_are_told_apart_by_colour_alone(sight):
    distance, *pair = closest(style.COLORS[:3], sight)
    assert distance > LEAST[sight], pair
