"""What a sweep varies: one key and its values, as Hydra's grammar writes them."""

import math
from dataclasses import dataclass, replace
from decimal import Decimal

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from repghost.sweep.space.exclude import Scalar, scalar


@dataclass(frozen=True)
class Choice:
    """A key and its values, each with the text that overrides with it."""

    key: str
    values: list[tuple[Scalar, str]]

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    def some(self, count: int) -> list[tuple[Scalar, str]]:
        """Return up to `count` of the values, from all over."""
        return self.values[:: math.ceil(self.size / count)]

    def text(self, value: Scalar) -> str:
        """Return the text of a value.

        Raises:
            ValueError: it is none of them.
        """
        for known, text in self.values:
            if known == value and type(known) is type(value):  # True == 1
                return text
        allowed = ", ".join(text for _, text in self.values)
        raise ValueError(f"{self.key}={value}: allowed are {allowed}")


@dataclass(frozen=True)
class Interval:
    """A key and the numbers from `low` to `high`, both included.

    With a `step` they are low, low + step, ..., high, else all of them, or all whole ones. `log`
    asks samplers to take them evenly in the logarithm.
    """

    key: str
    low: float
    high: float
    log: bool = False
    integer: bool = False
    step: float | None = None

    @property
    def size(self) -> int | None:
        """How many values there are, None where they are continuous."""
        step = self.step or (1 if self.integer else None)
        return round((self.high - self.low) / step) + 1 if step else None

    @property
    def values(self) -> list[tuple[Scalar, str]]:
        """All values with their texts, lowest first; none where they are continuous."""
        texts = [self.text(self.low + i * (self.step or 1)) for i in range(self.size or 0)]
        return [(scalar(text), text) for text in texts]

    def some(self, count: int) -> list[tuple[Scalar, str]]:
        """Return up to `count` of the values, from all over."""
        parts = [i / (count - 1) for i in range(count)]
        texts = [self.text(self.low + part * (self.high - self.low)) for part in parts]
        return [(scalar(text), text) for text in dict.fromkeys(texts)]

    def text(self, value: Scalar) -> str:
        """Return the text of a value; where there are steps, of the nearest one.

        Raises:
            ValueError: it is no number from `low` to `high`.
        """
        slack = (self.step or 0) / 2
        if isinstance(value, str | bool | None) or not (
            self.low - slack <= value <= self.high + slack
        ):
            raise ValueError(f"{self.key}={value}: must be from {self.low} to {self.high}")
        if self.step:  # in decimals: 0.1 + 2 * 0.1 is 0.3
            steps = round((value - self.low) / self.step)
            value = float(Decimal(str(self.low)) + steps * Decimal(str(self.step)))
        return str(round(value) if self.integer else float(value))


Dimension = Choice | Interval


def choice_of(override: Override) -> Choice:
    """Return each value of a sweep with the text that overrides with it, doubles left out."""
    if not override.is_discrete_sweep():
        raise ValueError(
            f"{override.input_line}: a grid needs values to choose from;"
            " write a,b or choice(a,b) or range(0,3) or glob(*), or hydra/sweeper=search"
        )
    texts = dict.fromkeys(str(text) for text in override.sweep_string_iterator())
    return Choice(override.get_key_element(), [(scalar(text), text) for text in texts])


def dimension_of(override: Override) -> Dimension:
    """Return what a search samples; a range, which has an order, as steps."""
    sweep, line = override.value(), override.input_line
    tags = set(getattr(sweep, "tags", ()))
    if tags - {"log"} or (tags and not isinstance(sweep, IntervalSweep)):
        raise ValueError(f"{line}: the one tag is log, of an interval: tag(log, interval(1e-3, 1))")
    if isinstance(sweep, IntervalSweep):
        return _interval(override, sweep)
    if isinstance(sweep, RangeSweep):
        return _stepped(override, sweep)
    if isinstance(sweep, ChoiceSweep):  # a sampler's memory needs one order of the values
        override = replace(override, _value=replace(sweep, shuffle=False))
    return choice_of(override)


def _interval(override: Override, sweep: IntervalSweep) -> Interval:
    low, high = sweep.start, sweep.end
    assert low is not None and high is not None
    log = "log" in sweep.tags
    if not (-math.inf < low <= high < math.inf) or (log and low <= 0):
        above = "0 < " if log else ""
        raise ValueError(f"{override.input_line}: an interval needs {above}low <= high")
    integer = isinstance(low, int) and isinstance(high, int)
    return Interval(override.get_key_element(), low, high, log, integer)


def _stepped(override: Override, sweep: RangeSweep) -> Interval:
    """Return a range's values as steps; its end is not one of them."""
    start, stop, step = (Decimal(str(value)) for value in (sweep.start, sweep.stop, sweep.step))
    count = math.ceil((stop - start) / step) if step else 0
    if count < 1:
        raise ValueError(f"{override.input_line}: there is no value in this range")
    low, high = sorted((start, start + (count - 1) * step))
    integer = all(isinstance(end, int) for end in (sweep.start, sweep.stop, sweep.step))
    key, exact = override.get_key_element(), int if integer else float
    return Interval(key, exact(low), exact(high), integer=integer, step=exact(abs(step)))
