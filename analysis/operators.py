"""Operator profiles in the terminal and as a picture: where one network, or two, spend the time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.console import JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from repghost.latency.operators import Operator
from repghost.latency.profile import Group, Profile
from repghost.latency.statistics import Interval

SIDES = "AB"
OTHERS = "others"


@dataclass(frozen=True)
class Row:
    """One kind of operator in one network or two; `difference_ms` is that of A - B."""

    name: str
    groups: tuple[Group, ...]
    difference_ms: Interval | None


def rows(profiles: Sequence[Profile], most: int | None = None) -> list[Row]:
    """Return a row a kind of operator, the slowest first; beyond `most` they are one, "others".

    Raises:
        ValueError: there are neither one nor two profiles, or two of different rounds.
    """
    _require_comparable(profiles)
    kinds = dict.fromkeys(o.kind for one in profiles for o in one.operators)
    found = [_row(kind, (kind,), profiles) for kind in kinds]
    found.sort(key=lambda row: -max(group.ms.value for group in row.groups))
    if most is None or len(found) <= most:
        return found
    rest = [row.name for row in found[most - 1 :]]
    return [*found[: most - 1], _row(OTHERS, rest, profiles)]


def summary(profiles: Sequence[Profile], slowest: int = 0) -> list[RenderableType]:
    """Return the table of one or two profiles, their `slowest` operators, and the evidence."""
    found = rows(profiles)
    table = _single(profiles[0], found) if len(profiles) == 1 else _pair(profiles, found)
    tables = [table, *(_slowest(one, slowest) for one in profiles if slowest)]
    return [*tables, *map(Text, evidence(profiles))]


def evidence(profiles: Sequence[Profile]) -> list[str]:
    """Return the sentences that the numbers need: totals, overhead, device, n, commit."""
    first = profiles[0]
    state = first.device_state
    pinned = f"pinned to core {state['core']}" if state.get("pinned") else "not pinned"
    rounds = f"{first.rounds} interleaved rounds" if len(profiles) > 1 else f"{first.rounds} rounds"
    return [
        *(_totals(side, one) for side, one in _sides(profiles)),
        f"n = {rounds}; medians with 95 % intervals; shares are of the operators' sum; nothing is"
        " subtracted for the callbacks",
        f"{first.device}, {pinned}; MNN {first.mnn_version}; commit {first.commit};"
        f" {first.measured_at}",
    ]


def _totals(side: str, one: Profile) -> str:
    over, share = one.overhead, one.group("Raster", lambda o: o.type == "Raster").share
    name = f"{side}: {one.network}" if side else one.network
    return (
        f"{name}, input {'x'.join(map(str, one.input_shape))}: {one.total_ms:.3f} ms a run,"
        f" {one.with_callbacks_ms:.3f} ms with callbacks ({percent(over.share, 1, '+')} %,"
        f" {over.per_operator_us.value:.2f} µs an operator); its {len(one.operators)} operators"
        f" sum to {np.median(one.all_ms):.3f} ms, in which each has"
        f" {over.inside_us.value:.2f} µs of callback; Raster in all {percent(share)} %"
    )


def _single(one: Profile, found: Sequence[Row]) -> Table:
    names = ["operator", "count", "ms", "95 % interval", "share %", "95 % interval"]
    table = _table(f"{one.network}: time by kind of operator", names)
    for row in found:
        group = row.groups[0]
        table.add_row(
            Text(row.name),
            str(group.count),
            f"{group.ms.value:.3f}",
            _bounds(group.ms, 1, 3),
            f"{100 * group.share.value:.1f}",
            _bounds(group.share, 100, 1),
        )
    return table


def _pair(profiles: Sequence[Profile], found: Sequence[Row]) -> Table:
    title = "\n".join(f"{side} = {one.network}" for side, one in _sides(profiles))
    names = ["A\ncount", "B\ncount", "A\nms", "B\nms", "A - B\nms", "95 %\ninterval"]
    table = _table(title, ["operator", *names, "A\n%", "B\n%", "A - B\npoints"])
    for row in found:
        (a, b), difference = row.groups, row.difference_ms
        assert difference is not None
        table.add_row(
            Text(row.name),
            *(str(group.count) for group in row.groups),
            *(f"{group.ms.value:.3f}" for group in row.groups),
            signed(difference.value, 3),
            _bounds(difference, 1, 3, "+"),
            *(f"{100 * group.share.value:.1f}" for group in row.groups),
            signed(100 * (a.share.value - b.share.value), 1),
        )
    return table


def _slowest(one: Profile, most: int) -> Table:
    names = ["layer", "operator", "output", "ms", "share %"]
    table = _table(f"{one.network}: its {most} slowest operators", names, texts=3)
    times = one.operators_ms
    for i in np.argsort(-times, kind="stable")[:most].tolist():
        operator: Operator = one.operators[i]
        shape = "x".join(map(str, operator.output_shape))
        share = 100 * times[i] / np.median(one.all_ms)
        cells = operator.layer, operator.kind, shape, f"{times[i]:.3f}", f"{share:.1f}"
        table.add_row(*map(Text, cells))
    return table


def percent(share: Interval, digits: int = 1, sign: str = "") -> str:
    """Return a share as percent with its interval, such as "12.6 [12.4, 12.8]"."""
    return f"{100 * share.value:{sign}.{digits}f} [{_bounds(share, 100, digits, sign)}]"


def signed(value: float, digits: int) -> str:
    """Return a difference with its sign; one that rounds to nothing has none."""
    said = f"{value:+.{digits}f}"
    return said if float(said) else said[1:]


def _bounds(interval: Interval, scale: float, digits: int, sign: str = "") -> str:
    low, high = scale * interval.low, scale * interval.high
    return f"{low:{sign}.{digits}f}, {high:{sign}.{digits}f}"


def _row(name: str, kinds: Iterable[str], profiles: Sequence[Profile]) -> Row:
    wanted = frozenset(kinds)

    def chosen(operator: Operator) -> bool:
        return operator.kind in wanted

    groups = tuple(one.group(name, chosen) for one in profiles)
    if len(profiles) == 1:
        return Row(name, groups, None)
    a, b = profiles
    return Row(name, groups, a.interval(a.select(chosen) - b.select(chosen)))


def _sides(profiles: Sequence[Profile]) -> list[tuple[str, Profile]]:
    return list(zip(SIDES, profiles, strict=False)) if len(profiles) > 1 else [("", profiles[0])]


def _require_comparable(profiles: Sequence[Profile]) -> None:
    if len(profiles) not in (1, 2):
        raise ValueError(f"{len(profiles)} profiles: one can be shown, or two side by side")
    counts = {one.rounds for one in profiles}
    if len(counts) > 1:
        raise ValueError(
            f"profiles of {' and '.join(map(str, sorted(counts)))} rounds: only those of the same"
            " rounds can be compared; profile the two together with --against"
        )


def _table(title: str, names: Sequence[str], texts: int = 1) -> Table:
    table = Table(
        title=Text(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for i, name in enumerate(names):
        side: JustifyMethod = "left" if i < texts else "right"
        table.add_column(Text(name), justify=side, no_wrap=i > 0, overflow="fold")
    return table
