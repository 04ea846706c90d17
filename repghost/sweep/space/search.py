"""Which variants next? A sampler suggests, what the study knows answers, nothing runs twice."""

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from repghost.sweep.space.dimensions import Choice, Dimension
from repghost.sweep.space.exclude import Scalar, scalar
from repghost.sweep.space.points import Point, SamplerSpec
from repghost.sweep.space.suggest import Score, Suggester, Suggestion
from repghost.sweep.ticket import Life, Ticket

ATTEMPTS = 10  # suggestions in a row that are nothing new, before an untried point is looked for
LOOKS = 10_000  # unseen points that are composed at the most, to find one that is not left out
REFUSED = Score(violation=1.0)  # as bad as twice the latency budget


class Search:
    """Gives points of new variants until the study has `n_trials`; none is given twice.

    `point` composes one value a dimension; it returns None for a combination that is left out.
    A suggestion that is known, or left out, or whose variant is known by other values, is answered
    at once; after `ATTEMPTS` of them in a row, a point that was not tried is chosen by chance.
    `max_ms` is the latency budget. `ended` says why no more will come before `n_trials`.
    """

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        point: Callable[[Mapping[str, Scalar]], Point | None],
        sampler: SamplerSpec,
        *,
        n_trials: int,
        max_ms: float | None = None,
    ) -> None:
        self._suggester = Suggester(dimensions, sampler)
        self._dimensions, self._point = dimensions, point
        self._n_trials, self._seed, self._max_ms = n_trials, sampler.seed, max_ms
        self._rows: dict[str, str | None] = {}  # by the point's name, None where left out
        self._at_work: dict[str, Suggestion | None] = {}  # by row; None: not in this space
        self._scores: dict[str, Score | None] = {}  # of rows that ended; None: nothing was learnt
        self._given: dict[str, Point] = {}  # that the ledger has not shown yet
        self.ended: str | None = None

    @property
    def variants(self) -> int:
        """How many distinct variants the study has, whatever has become of them."""
        return len(self._at_work) + len(self._scores)

    def more(self, room: int, tickets: Iterable[Ticket]) -> list[Point]:
        """Return up to `room` points of variants that the study does not have yet.

        `tickets` are all that the ledger has now. A point given before that is not among them, as
        after a full disk, is given again.

        Raises:
            ValueError: from `point`: a combination is not allowed.
        """
        for ticket in tickets:
            self._learn(ticket)
        points = list(self._given.values())[:room]
        while len(points) < room and self.variants < self._n_trials and not self.ended:
            points += self._next()
        self._given |= {point.row: point for point in points}
        return points

    def _learn(self, ticket: Ticket) -> None:
        """Take in a variant that the ledger knows, and what became of it."""
        row = ticket.row
        self._given.pop(row, None)
        if row in self._scores:
            return
        if row not in self._at_work:
            self._at_work[row] = suggestion = self._suggester.adopt(ticket.swept)
            if suggestion:
                self._rows[_name(suggestion.values)] = row
        if ticket.life.ended:
            self._scores[row] = score = self._score(ticket.life)
            if suggestion := self._at_work.pop(row):
                self._close(suggestion, score)

    def _next(self) -> list[Point]:
        """Return one new point; none when all have been tried."""
        for _ in range(ATTEMPTS):
            suggestion = self._suggester.ask()
            if new := self._new(suggestion.values):
                self._at_work[new.row] = suggestion
                return [new]
            self._answer(suggestion)
        walk = _by_chance(self._dimensions, random.Random(f"{self._seed} {self.variants}"))
        unseen = (values for values in walk if _name(values) not in self._rows)
        for values in itertools.islice(unseen, LOOKS):
            if new := self._new(values):
                self._at_work[new.row] = self._suggester.adopt(values)
                return [new]
        self.ended = f"{self._all_tried()}; n_trials={self._n_trials}"
        return []

    def _new(self, values: Mapping[str, Scalar]) -> Point | None:
        """Compose a point that was not seen before; None if its variant is known or left out."""
        name = _name(values)
        if name in self._rows:
            return None
        point = self._point(values)
        self._rows[name] = row = point.row if point else None
        return None if row in self._at_work or row in self._scores else point

    def _answer(self, suggestion: Suggestion) -> None:
        """Tell the sampler what is known already of its suggestion, if something is."""
        row = self._rows[_name(suggestion.values)]
        self._close(suggestion, REFUSED if row is None else self._scores.get(row))

    def _close(self, suggestion: Suggestion, score: Score | None) -> None:
        if score:
            self._suggester.tell(suggestion, score)
        else:
            self._suggester.drop(suggestion)

    def _score(self, life: Life) -> Score | None:
        """Return what an end says of a variant; None where it says nothing, as when cancelled.

        A failure counts as a limit broken: its neighbours would fail too. A variant stopped at a
        rung counts without accuracy: those that stopped it are not slower, and dominate it.
        """
        if life.state == "cancelled" or life.lost:
            return None
        if life.state == "failed":
            return REFUSED
        latency_ms, pruned = life.latency_ms or 0.0, life.state == "pruned"
        over = latency_ms / self._max_ms - 1 if self._max_ms else float(pruned)
        return Score(life.score or 0.0, latency_ms, max(0.0, over))

    def _all_tried(self) -> str:
        left_out = sum(row is None for row in self._rows.values())
        apart = f" ({left_out} more are excluded)" if left_out else ""
        if len(self._rows) == _size(self._dimensions):
            return f"all {len(self._rows) - left_out} combinations have been tried{apart}"
        return f"none of {LOOKS:,} combinations taken by chance is a new variant{apart}"


def _name(values: Mapping[str, Scalar]) -> str:
    return repr(list(values.values()))


def _size(dimensions: Sequence[Dimension]) -> int | None:
    """Return how many points there are, None where there is no end of them."""
    sizes = [one.size for one in dimensions if one.size is not None]
    return math.prod(sizes) if len(sizes) == len(dimensions) else None


def _by_chance(dimensions: Sequence[Dimension], rng: random.Random) -> Iterator[dict[str, Scalar]]:
    """Yield all points in an order of chance, each once; where there is no end of them, `LOOKS`."""
    total = _size(dimensions)
    if total is None:
        for _ in range(LOOKS):
            yield {one.key: _at(one, rng.random()) for one in dimensions}
        return
    for place in _strides(total, rng):
        values = {}
        for one in dimensions:
            size = one.size or 1
            place, digit = divmod(place, size)
            values[one.key] = _at(one, (digit + 0.5) / size)
        yield values


def _strides(total: int, rng: random.Random) -> Iterator[int]:
    """Yield 0 ... total - 1, each once, in a walk of equal strides that is never written down."""
    start, stride = rng.randrange(total), rng.randrange(1, total + 1)
    while math.gcd(stride, total) > 1:
        stride = rng.randrange(1, total + 1)
    return ((start + i * stride) % total for i in range(total))


def _at(dimension: Dimension, part: float) -> Scalar:
    """Return the value that lies at `part`, from 0 to below 1, of a dimension."""
    if isinstance(dimension, Choice):
        return dimension.values[int(part * dimension.size)][0]
    low, high = dimension.low, dimension.high
    if dimension.size is not None:
        number = low + int(part * dimension.size) * (dimension.step or 1)
    elif dimension.log:
        number = low * (high / low) ** part
    else:
        number = low + part * (high - low)
    return scalar(dimension.text(min(number, high)))
