"""What `plan=true` says of `sweep.refine`: which runs would decide most, as things stand."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from repghost.settings import Settings
from repghost.sweep.space.points import Point

if TYPE_CHECKING:
    from repghost.sweep.study import Ledger


def refining(points: Sequence[Point], ledger: "Ledger | None") -> list[str]:
    """Return the lines of a plan on the runs beyond the sweep's own; none where none are asked for.

    `ledger` is the study's, None where it was never started.
    """
    base = points[0].settings
    count = base.sweep.refine
    if not count:
        return []
    if ledger is None:
        return [f"sweep.refine={count}: chosen when the sweep's own runs have ended"]
    return list(_lines(points, base, ledger))


def _lines(points: Sequence[Point], base: Settings, ledger: "Ledger") -> Iterator[str]:
    from repghost.latency.store import Store
    from repghost.sweep.evaluator import TrialEvaluator
    from repghost.sweep.refine import Refine

    store, tickets = Store(base.storage.url), ledger.tickets()
    evaluator = TrialEvaluator(store, base.outputs, None, longer=ledger.longer)
    evaluator.foresee(tickets)
    ended = {ticket.row for ticket in tickets if ticket.life.ended}
    open_rows = {point.row for point in points} - ended
    refine = Refine(
        ledger, evaluator, lambda _: [], count=base.sweep.refine, assumed=base.stop.points
    )
    yield refine.verdict()
    left = base.sweep.refine - len(ledger.extras)
    chosen = refine.choose(left) if left > 0 else []
    if open_rows and left > 0:
        yield f"  {left} are chosen when the {len(open_rows)} runs above that have not ended have"
    for number, (kin, run) in enumerate(chosen, len(ledger.extras) + 1):
        words = run.words([one.contender for one in kin])
        yield f"  refine {number}/{base.sweep.refine}, as things stand: {words}"
