"""Networks timed side by side with one reference network, each until its ratio is known."""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from repghost.latency.protocol import Loader, Outcome, Sampler
from repghost.latency.record import Budget
from repghost.latency.states import Usual
from repghost.latency.subject import BLOCK, BY_CALLS, BY_RUNS, Side, Subject, Watched

GROUP = 4  # networks in memory at a time beside the reference, and between two samples of it


def paired_session(
    models: Sequence[Loader],
    reference: Loader,
    budget: Budget,
    *,
    seed: int,
    usual_ms: float | None = None,
    fewest_runs: int = 1,
    before_block: Callable[[], list[str]] = list,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[int, Outcome | ValueError]]:
    """Time networks in rounds beside the reference; yield (place in `models`, outcome) when done.

    In a round up to 4 of them, chosen at random, and the reference are loaded anew, and then take
    short samples in turn, in random order forth and back, so that the states of the machine are
    those of all; where a network lies in memory makes it 1-2 % faster or slower for as long as it
    lies there, so every round draws that anew. The ratio is that of the fast samples: see `Pace`.

    A network is done when the half-width of its ratio's interval is at most `precision` times the
    ratio (from the rounds of its `Pace` on), or its budget ends. Where it is known how long the
    reference usually takes (`usual_ms`), only the rounds count in which it took about that: see
    `Usual`. One that cannot be loaded or timed is yielded as that error, and the others go on;
    without a reference all are. `before_block` is called before every 5 rounds and says in words
    what makes the numbers doubtful; `check` before every sample. What they raise, and a
    DeviceError, goes through.
    """
    session = _Session(models, reference, budget, seed, usual_ms, fewest_runs, check, clock)
    while session.waiting:
        yield from session.leaving()  # first those that could not be loaded at all
        if session.waiting:
            session.block(before_block)


def paired(
    model: Loader,
    reference: Loader,
    budget: Budget,
    *,
    seed: int,
    usual_ms: float | None = None,
    before_block: Callable[[], list[str]] = list,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Time one network beside the reference, see `paired_session`.

    Raises:
        ValueError: one of them cannot be loaded or timed.
    """
    ((_, found),) = paired_session(
        [model],
        reference,
        budget,
        seed=seed,
        usual_ms=usual_ms,
        before_block=before_block,
        clock=clock,
    )
    if isinstance(found, ValueError):
        raise found
    return found


class _Session:
    """The reference, the networks that still wait, and the order in which they take turns."""

    def __init__(
        self,
        models: Sequence[Loader],
        reference: Loader,
        budget: Budget,
        seed: int,
        usual_ms: float | None,
        fewest_runs: int,
        check: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        order, *resampling = np.random.SeedSequence(seed).spawn(1 + len(models))
        self.budget, self.clock, self.order = budget, clock, np.random.default_rng(order)

        def sample(load: Loader) -> Sampler:
            return Sampler(lambda: Watched(load(), check), fewest_runs, clock)

        self.pace = BY_RUNS if fewest_runs == 1 else BY_CALLS
        self.reference = Side(reference, sample)
        usual = Usual(usual_ms, self.pace.together)
        self.waiting = [
            Subject(index, load, sample, words, self.pace, usual)
            for index, (load, words) in enumerate(zip(models, resampling, strict=True))
        ]
        failed = self.reference.error is not None
        samples = self.pace.samples
        self.visits = 1 if failed else self.reference.sampler.visits_per_load(samples)

    def block(self, before_block: Callable[[], list[str]]) -> None:
        """Take some rounds of all that wait."""
        flags = before_block()
        for subject in self.waiting:
            subject.flags.add(flags)
        for _ in range(BLOCK):
            active = [one for one in self.waiting if not (one.error or one.is_spent(self.budget))]
            shuffled = [active[i] for i in self.order.permutation(len(active)).tolist()]
            for first in range(0, len(shuffled), GROUP):
                self._round(shuffled[first : first + GROUP])

    def leaving(self) -> Iterator[tuple[int, Outcome | ValueError]]:
        """Let those go that are done, and say how."""
        for subject in list(self.waiting):
            found = self._found(subject)
            if found is not None:
                self.waiting.remove(subject)
                yield subject.index, found

    def _found(self, subject: Subject) -> Outcome | ValueError | None:
        if self.reference.error:
            return ValueError(f"the reference network: {self.reference.error}")
        if subject.error:
            return subject.error
        if not subject.rounds:
            return None
        if subject.is_spent(self.budget) or subject.is_known(self.budget):
            return subject.outcome(self.budget, self.reference.sampler.warmed_up)
        return None

    def _round(self, group: list[Subject]) -> None:
        """Load some networks and the reference anew and let them take samples in turn."""
        start, sides = self.clock(), [self.reference, *group]
        for i in self.order.permutation(len(sides)).tolist():
            sides[i].load()
        turns: list[int] = []
        for _ in range(self.visits):
            turns = turns[::-1] if turns else self.order.permutation(len(sides)).tolist()
            for i in turns:
                sides[i].visit(self.pace.samples)
        for side in sides:
            side.unload()
        for subject in group:
            subject.seconds += (self.clock() - start) / len(group)
            if not (subject.error or self.reference.error):
                subject.rounds.append((subject.taken, self.reference.taken))
