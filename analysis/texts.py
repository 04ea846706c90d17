"""Numbers and lists as the terminal and the report print them."""

import re
from collections.abc import Sequence

from analysis.variants import Estimate, Latency

MISSING = "-"
NAMED_AT_MOST = 8
INPUT_AND_CLASSES = re.compile(r"-\d+(x\d+){3}-\d+$")


def number(value: float | None, digits: int) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"


def bounded(value: float | None, low: float | None, high: float | None, digits: int) -> str:
    """Return "1.234 [1.201, 1.260]"; without an interval the value alone."""
    if value is None or low is None or high is None:
        return number(value, digits)
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def score_text(score: Estimate | None) -> str:
    """Return "98.89", with more than one seed "98.89 ± 0.12", "-" where there is no score."""
    if score is None:
        return MISSING
    spread = "" if score.std is None else f" ± {score.std:.2f}"
    return f"{score.mean:.2f}{spread}"


def latency_text(latency: Latency | None) -> str:
    """Return the latency in ms with its interval."""
    if latency is None:
        return MISSING
    return bounded(latency.ms, latency.low, latency.high, ms_digits(latency.ms))


def ratio_text(latency: Latency | None) -> str:
    """Return the ratio to the reference network with its interval."""
    if latency is None:
        return MISSING
    return bounded(latency.ratio, latency.ratio_low, latency.ratio_high, 3)


def network_name(reference: str) -> str:
    """Return a reference network's name without input shape and classes, "" where it has none.

    "repghostnet-1.0x-1x3x224x224-1000" becomes "repghostnet-1.0x".
    """
    return INPUT_AND_CLASSES.sub("", reference)


def short_ms(ms: float) -> str:
    """Return a time in three digits, or as whole ms: "0.0607 ms", "28.3 ms", "1747 ms"."""
    return f"{ms:.0f} ms" if ms >= 1000 else f"{ms:.3g} ms"


def ms_digits(ms: float) -> int:
    """Return how many decimals of a time in ms are worth a look."""
    return 3 if ms < 10 else 2 if ms < 100 else 1


def shortened(text: str, most: int) -> str:
    """Return text of at most `most` characters, an ellipsis in place of what is cut off."""
    return text if len(text) <= most else text[: most - 1] + "…"


def told_apart(a: str, b: str, most: int) -> tuple[str, str]:
    """Return two texts of at most `most` characters together, which still differ if a and b do.

    What both begin with goes first, but for three characters; then the middle of what is too long.
    """
    if len(a) + len(b) <= most:
        return a, b
    shorter, longer = sorted(map(len, (a, b)))
    shared = next((n for n in range(shorter) if a[n] != b[n]), shorter)
    cut = min(shared - 3, longer - most // 2 + 1)
    if cut > 1:
        a, b = f"…{a[cut:]}", f"…{b[cut:]}"
    return _ends(a, max(most // 2, most - len(b))), _ends(b, max(most // 2, most - len(a)))


def _ends(text: str, most: int) -> str:
    """Return text of at most `most` characters, two thirds of them from its beginning."""
    end = most // 3
    return text if len(text) <= most else f"{text[: most - 1 - end]}…{text[-end:]}"


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """Return names in a row; of very many the first ones and how many more there are."""
    more = len(names) - NAMED_AT_MOST
    shown = [*names[:NAMED_AT_MOST], f"and {more} more"] if more > 0 else names
    return separator.join(shown)
