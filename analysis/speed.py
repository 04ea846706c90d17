"""What a study of latency alone says: the fastest, the slowest, and how sure that is."""

from collections.abc import Sequence

from analysis.texts import latency_text, listed, ms_digits, network_name, number, ratio_text
from analysis.variants import Latency, Variant

Timed = tuple[str, Latency]


def speed_words(variants: Sequence[Variant]) -> list[str]:
    """Return the fastest and the slowest variant of those that are compared, in sentences."""
    kins: dict[tuple[str, ...], list[Timed]] = {}
    for variant in variants:
        if variant.latency:
            kins.setdefault(variant.latency.kin, []).append((variant.label, variant.latency))
    several = len({kin[2] for kin in kins}) > 1
    sentences = []
    for timed in kins.values():
        place, reference = timed[0][1].place, network_name(timed[0][1].reference)
        against = f" against {reference or 'no network'}" if several else ""
        where = f"On {place}{against}: " if len(kins) > 1 else ""
        sentences += [f"{where}{words}" for words in _place_words(timed)]
    return sentences or ["No variant has a latency yet."]


def spread(variants: Sequence[Variant]) -> float | None:
    """Return the slowest latency over the fastest; None with none, or where some differ in kin."""
    timed = [variant.latency for variant in variants if variant.latency]
    if not timed or len({latency.kin for latency in timed}) > 1:
        return None
    ordered = sorted(timed, key=lambda latency: latency.pace)
    return _times(ordered[0], ordered[-1])


def _place_words(timed: Sequence[Timed]) -> list[str]:
    ordered = sorted(timed, key=lambda one: one[1].pace)
    fastest, slowest = ordered[0][1], ordered[-1][1]
    if fastest == slowest:
        return [f"{_who(ordered, fastest)}: {_words(fastest)}."]
    quotient = _times(fastest, slowest)
    times = "" if quotient is None else f", {quotient:.3g} times as long"
    first = f"Fastest is {_who(ordered, fastest)}: {_words(fastest)}"
    last = f"slowest is {_who(ordered, slowest)}: {_words(slowest)}{times}"
    return [f"{first}; {last}.", *_tie_words(ordered)]


def _tie_words(ordered: Sequence[Timed]) -> list[str]:
    fastest = ordered[0][1]
    ties = [name for name, latency in ordered if latency != fastest and _overlap(fastest, latency)]
    if not ties:
        return []
    names = listed([_who(ordered, fastest), *ties])
    return [f"A tie for the fastest: {names} (95 % intervals that overlap)."]


def _times(fastest: Latency, slowest: Latency) -> float | None:
    """Return how many times as long the slowest takes; None where that cannot be said."""
    comparable = (fastest.ratio is None) == (slowest.ratio is None) and fastest.pace > 0
    return slowest.pace / fastest.pace if comparable else None


def _who(timed: Sequence[Timed], latency: Latency) -> str:
    """Return all names of one measurement: variants that deploy to one graph share it."""
    return listed([name for name, one in timed if one == latency])


def _words(latency: Latency) -> str:
    if latency.ratio is None:
        return f"{latency_text(latency)} ms"
    return f"{number(latency.ms, ms_digits(latency.ms))} ms (ratio {ratio_text(latency)})"


def _overlap(a: Latency, b: Latency) -> bool:
    (a_low, a_high), (b_low, b_high) = _ends(a), _ends(b)
    return a_low <= b_high and b_low <= a_high


def _ends(latency: Latency) -> tuple[float, float]:
    """Return the interval of the ratio where there is one, else of the time, else the time."""
    if latency.ratio_interval:
        return latency.ratio_interval
    low, high = latency.low, latency.high
    return latency.ms if low is None else low, latency.ms if high is None else high
