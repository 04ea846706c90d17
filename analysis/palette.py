"""The page's colours for what is drawn elsewhere: a figure with its colours' names resolved."""

import re
from functools import cache
from importlib.resources import files
from typing import Any

from analysis.figures import Figure

ROOT = re.compile(r":root \{(.*?)\}", re.DOTALL)
NAMED = re.compile(r"(--[\w-]+):\s*([^;]+);")


def in_light(figure: Figure) -> Figure:
    """Return a figure's data and layout with the colours of the page's light scheme.

    Raises:
        KeyError: the page has no colour of that name.
    """
    return {part: _colored(figure[part], "") for part in ("data", "layout")}


@cache
def light_colors() -> dict[str, str]:
    """Return the light scheme's colours by their names, as the page's style sheet has them."""
    sheet = (files("analysis") / "page" / "report.css").read_text(encoding="utf-8")
    found = ROOT.search(sheet)
    assert found, "the first rule of report.css holds the light scheme"
    return dict(NAMED.findall(found[1]))


def _colored(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _colored(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [_colored(part, key) for part in value]
    named = key.endswith("color") and str(value).startswith("--")
    return light_colors()[value] if named else value
