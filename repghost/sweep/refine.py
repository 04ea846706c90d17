"""`sweep.refine=N`: after the sweep's own runs, those that decide most about the front."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from repghost.decision.chances import Contender, log_error
from repghost.decision.next_runs import ROUNDS_MORE, NextRun, next_runs, open_places
from repghost.latency.record import Measurement
from repghost.sweep.evaluator import TrialEvaluator
from repghost.sweep.extra import Extra, Longer, MoreSeed
from repghost.sweep.space.points import Point
from repghost.sweep.study import Ledger
from repghost.sweep.ticket import Ticket
from repghost.words import counted

NAMED = 4
PAIRED = "paired"  # the protocol under which more rounds tell more


@dataclass(frozen=True)
class Standing:
    """A configuration with its scores, the finished tickets behind it and their latency."""

    contender: Contender
    tickets: tuple[Ticket, ...]
    latency: Measurement


def standings(tickets: Iterable[Ticket], evaluator: TrialEvaluator) -> list[list[Standing]]:
    """Return what can be compared: a list for each device, protocol, reference and task."""
    groups: dict[tuple[object, ...], list[Ticket]] = {}
    for ticket in tickets:
        if ticket.life.state == "finished" and ticket.life.score is not None:
            groups.setdefault(_configuration(ticket), []).append(ticket)
    kins: dict[object, list[Standing]] = {}
    for several in groups.values():
        if standing := _standing(several, evaluator):
            identity = standing.latency.identity
            kin = replace(identity, fingerprint="", repeat=0), several[0].settings.task.kind
            kins.setdefault(kin, []).append(standing)
    return list(kins.values())


class Refine:
    """Gives up to `count` runs beyond the sweep's own, in all that the study ever had.

    Each is noted in the ledger before it begins: after a kill, those that were chosen are gone on
    with, and only as many more are chosen as are left. `assumed` is the seeds' standard deviation
    in points of the score until the study has its own.
    """

    def __init__(
        self,
        ledger: Ledger,
        evaluator: TrialEvaluator,
        enroll: Callable[[Sequence[Point]], list[Ticket]],
        *,
        count: int,
        assumed: float,
    ) -> None:
        self._ledger, self._evaluator, self._enroll = ledger, evaluator, enroll
        self._count, self._assumed = count, assumed
        self._looked: object = None  # what was known when nothing was found to choose
        self.notices: list[str] = []

    @property
    def rows(self) -> set[str]:
        """The rows of the study that are refinements and not the sweep's own."""
        return {p.row for e in self._ledger.extras if isinstance(e, MoreSeed) if (p := self._of(e))}

    def resume(self) -> list[Ticket]:
        """Return the tickets of all seeds that were chosen before."""
        chosen = (e for e in self._ledger.extras if isinstance(e, MoreSeed))
        return self._enroll([point for extra in chosen if (point := self._of(extra))])

    def more(self, room: int) -> list[Ticket]:
        """Return tickets of what is to run next: nothing before the sweep's own have ended."""
        now = self._lives()
        if self._looked == now:
            return []
        found = self._ledger.again(self._outdated())
        left = self._count - len(self._ledger.extras)
        if not found and left > 0 and self.own_ended():
            chosen = self.choose(min(room, left))
            found = [ticket for kin, run in chosen for ticket in self._begin(kin, run)]
        self._looked = None if found else now
        return found

    def choose(self, count: int) -> list[tuple[list[Standing], NextRun]]:
        """Return up to `count` runs with those that they are about, the most decisive first."""
        found = []
        for kin in standings(self._ledger.tickets(), self._evaluator):
            runs = next_runs(
                [one.contender for one in kin],
                count,
                list(self._at_work(kin)),
                self._assumed,
                with_rounds=kin[0].latency.identity.protocol == PAIRED,
            )
            found += [(kin, run) for run in runs]
        return sorted(found, key=lambda pair: -pair[1].share)[:count]

    def own_ended(self) -> bool:
        """Whether the sweep's own runs have all ended, so that others can be chosen."""
        rows = self.rows | {longer.row for longer in self._ledger.longer.values()}
        return all(t.life.ended for t in self._ledger.asked() if t.row not in rows)

    def verdict(self) -> str:
        """Say what is decided and what is not."""
        made, kins = len(self._ledger.extras), standings(self._ledger.tickets(), self._evaluator)
        said = f"sweep.refine={self._count}: {counted(made, 'run')} made"
        if not any(len(kin) > 1 for kin in kins):
            return f"{said}; there are no two variants with score and latency to compare"
        names = [name for kin in kins for name in self._open(kin)]
        if not names:
            return f"{said}; nothing is undecided"
        more = f" and {len(names) - NAMED} more" if names[NAMED:] else ""
        return f"{said}; undecided: {', '.join(names[:NAMED])}{more}"

    def _open(self, kin: Sequence[Standing]) -> list[str]:
        contenders = [one.contender for one in kin]
        return [contenders[i].label for i in open_places(contenders, self._assumed)]

    def _begin(self, kin: Sequence[Standing], run: NextRun) -> list[Ticket]:
        """Note a run and return its ticket."""
        standing, number = kin[run.place], len(self._ledger.extras) + 1
        said = run.words([one.contender for one in kin])
        first = standing.tickets[0]
        if run.kind == "seed":
            extra: Extra = MoreSeed(first.row, self._next_seed(first))
        else:
            extra = self._longer(standing)
        self._ledger.note_extra(extra)
        self.notices.append(f"refine {number}/{self._count}: {said}")
        if isinstance(extra, Longer):
            return self._ledger.again([first])
        return self._enroll([point] if (point := self._of(extra)) else [])

    def _longer(self, standing: Standing) -> Longer:
        first, known = standing.tickets[0], standing.latency
        before = self._ledger.longer.get(known.identity.fingerprint)
        settings = before.of(first.settings) if before else first.settings
        return Longer.than(first.row, known, settings, ROUNDS_MORE)

    def _of(self, extra: MoreSeed) -> Point | None:
        """Return the point of a seed; None where its variant is not in the ledger."""
        ticket = self._ledger.find(extra.row)
        if ticket is None:
            return None
        settings = replace(ticket.settings, seed=extra.seed)
        return Point(ticket.swept | {"seed": extra.seed}, settings)

    def _next_seed(self, ticket: Ticket) -> int:
        """Return the lowest seed that the configuration does not have, however that one ended."""
        same = _configuration(ticket)
        taken = {t.settings.seed for t in self._ledger.tickets() if _configuration(t) == same}
        return next(seed for seed in range(len(taken) + 1) if seed not in taken)

    def _at_work(self, kin: Sequence[Standing]) -> Iterator[NextRun]:
        """Yield the runs that were chosen and have not ended."""
        for extra in self._ledger.extras:
            of, point = self._ledger.find(extra.row), None
            if isinstance(extra, MoreSeed) and (point := self._of(extra)):
                begun = self._ledger.find(point.row)
            else:
                begun = of
            if of is None or (begun and begun.life.ended):
                continue
            for place, one in enumerate(kin):
                if _configuration(one.tickets[0]) == _configuration(of):
                    yield NextRun("seed" if point else "rounds", place, 0.0)

    def _outdated(self) -> list[Ticket]:
        """Return tickets whose graph has a longer measurement that they do not show yet."""
        if not self._ledger.longer:
            return []
        made = {t.row for t in self._ledger.tickets() if t.life.ended}
        ready = {graph for graph, longer in self._ledger.longer.items() if longer.row in made}
        found = ((t, self._evaluator.latency(t)) for t in self._ledger.asked() if t.row in made)
        return [
            ticket
            for ticket, latency in found
            if latency
            and latency.identity.fingerprint in ready
            and ticket.life.ratio is not None
            and ticket.life.ratio != latency.latency_ratio
        ]

    def _lives(self) -> object:
        return [(ticket.row, len(ticket.lives), ticket.number) for ticket in self._ledger.tickets()]


def _configuration(ticket: Ticket) -> tuple[object, ...]:
    return tuple(sorted((k, repr(v)) for k, v in ticket.swept.items() if k != "seed"))


def _standing(tickets: Sequence[Ticket], evaluator: TrialEvaluator) -> Standing | None:
    """Return a configuration as it stands; its latency is the median of its seeds' (mostly one)."""
    found = [latency for ticket in tickets if (latency := evaluator.latency(ticket))]
    timed = sorted(found, key=lambda one: one.latency_ms)
    if not timed:
        return None
    latency = timed[(len(timed) - 1) // 2]
    bounds = latency.ratio_low, latency.ratio_high
    if latency.latency_ratio is None:
        bounds = latency.latency_low, latency.latency_high
    contender = Contender(
        label=tickets[0].configuration or "run",
        scores=tuple(t.life.score if t.life.score is not None else math.nan for t in tickets),
        latency_ms=latency.latency_ms,
        error=log_error(*bounds),
        graph=latency.identity,
        training=tuple(sorted(ticket.key for ticket in tickets)),
    )
    return Standing(contender, tuple(tickets), latency)
