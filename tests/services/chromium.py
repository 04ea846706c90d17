"""The real browser that chromium.sh installs."""

import importlib.util
from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")


def missing() -> str:
    """Return why no browser can be driven here, "" where one can."""
    if not CHROMIUM.exists():
        return f"{CHROMIUM} is missing: run sh tests/services/chromium.sh"
    if importlib.util.find_spec("playwright") is None:
        return "playwright is missing: pip install -e '.[browser]'"
    return ""
