"""What several devices say of the same variants: who is faster where, and what is doubtful."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from analysis.texts import NAMED_AT_MOST, listed
from analysis.variants import Latency, Variant

FIRST = "the first device"
COMPARED_AT_MOST = 500  # variants, each with each other; the first in the table


@dataclass(frozen=True)
class Compared:
    """Two variants on two devices; -1 where `a` is the faster, 1 where it is slower, 0: a tie."""

    a: str
    b: str
    here: int
    there: int


def order_words(variants: Sequence[Variant]) -> list[str]:
    """Return for each two devices where they differ, or do not, in the order of the variants.

    An order is taken from ratios whose 95 % intervals are disjoint; others tie.
    """
    names = list(dict.fromkeys(name for variant in variants for name in variant.further))
    pairs = combinations([FIRST, *names], 2)
    return [sentence for here, there in pairs for sentence in _pair_words(variants, here, there)]


def flag_words(variants: Sequence[Variant]) -> list[str]:
    """Return a sentence for each thing that makes latencies of the first device doubtful."""
    flagged: dict[str, list[str]] = {}
    for variant in variants:
        for flag in variant.latency.flags if variant.latency else ():
            flagged.setdefault(flag, []).append(variant.label)
    more = len(flagged) - NAMED_AT_MOST
    said = [f"{listed(names)}: {flag}" for flag, names in list(flagged.items())[:NAMED_AT_MOST]]
    return [*said, f"and {more} more flags: see that column of results.csv"] if more > 0 else said


def _pair_words(variants: Sequence[Variant], here: str, there: str) -> Iterator[str]:
    timed = _of_both(variants, here, there)
    compared = list(_compared(timed[:COMPARED_AT_MOST]))
    told = [one for one in compared if one.here and one.there]
    turned = [one for one in told if one.here != one.there]
    if turned:
        against = "" if here == FIRST else f" from {here}"
        yield f"On {there} the order differs{against}{_slower_there(turned, len(told))} there."
    elif told:
        yield f"On {there} the order is that of {here}, where both tell two variants apart."
    yield from _tie_words([one for one in compared if one.here and not one.there], there, here)
    yield from _tie_words([one for one in compared if one.there and not one.here], here, there)
    if len(timed) > COMPARED_AT_MOST:
        yield f"Of {len(timed)} variants timed on {there}, {COMPARED_AT_MOST} were compared."


def _of_both(
    variants: Sequence[Variant], here: str, there: str
) -> list[tuple[str, Latency, Latency]]:
    """Return the variants timed on both; of those that share both measurements the first."""
    found: dict[tuple[Latency, Latency], str] = {}
    for variant in variants:
        one, other = _latency(variant, here), _latency(variant, there)
        if one and other:
            found.setdefault((one, other), variant.label)
    return [(label, *both) for both, label in found.items()]


def _compared(timed: Sequence[tuple[str, Latency, Latency]]) -> Iterator[Compared]:
    for (a, a_here, a_there), (b, b_here, b_there) in combinations(timed, 2):
        here, there = _order(a_here, b_here), _order(a_there, b_there)
        if here is not None and there is not None:
            yield Compared(a, b, here, there)


def _latency(variant: Variant, device: str) -> Latency | None:
    return variant.latency if device == FIRST else variant.further.get(device)


def _order(a: Latency, b: Latency) -> int | None:
    """Return -1 where `a` is faster, 1: slower, 0: a tie; None if they cannot be compared."""
    if a.kin != b.kin or a.ratio_interval is None or b.ratio_interval is None:
        return None
    (a_low, a_high), (b_low, b_high) = a.ratio_interval, b.ratio_interval
    return -1 if a_high < b_low else int(b_high < a_low)


def _slower_there(turned: Sequence[Compared], told: int) -> str:
    """Return who is slower than whom on the other device, each slower one once; of many, one."""
    faster: dict[str, list[str]] = {}
    for one in turned:
        slow, fast = (one.a, one.b) if one.there > 0 else (one.b, one.a)
        faster.setdefault(slow, []).append(fast)
    if len(turned) > NAMED_AT_MOST:
        slow, fasts = next(iter(faster.items()))
        pairs = f"{len(turned)} of {told} pairs that both tell apart"
        return f" in {pairs}: {slow}, for one, is slower than {fasts[0]}"
    return ": " + "; ".join(f"{slow} is slower than {listed(o)}" for slow, o in faster.items())


def _tie_words(ties: Sequence[Compared], where: str, other: str) -> Iterator[str]:
    if not ties:
        return
    why = f"95 % intervals that overlap; {other} tells them apart"
    if len(ties) > NAMED_AT_MOST:
        yield f"{len(ties)} pairs tie on {where}: {ties[0].a} and {ties[0].b}, for one ({why})."
    else:
        pairs = "; ".join(f"{one.a} and {one.b}" for one in ties)
        yield f"A tie on {where}: {pairs} ({why})."
