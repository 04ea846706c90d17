"""What `plan=true` says of `sweep.refine`: which runs would decide most, as things stand."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from repghost.settings import Settings
from repghost.sweep.space.points import Point


def refining(points: Sequence[Point], study: str) -> list[str]:
    """Return the lines of a plan on the runs beyond the sweep's own; none where none are asked for.

    Raises:
        ValueError: the study cannot be read.
    """
    base = replace(points[0].settings, study=study)
    count = base.sweep.refine
    if not count:
        return []
    folder = Path(base.outputs) / study
    if not (folder / "study.json").exists():
        return [f"sweep.refine={count}: chosen when the sweep's own runs have ended"]
    return list(_lines(points, base, folder))


def _lines(points: Sequence[Point], base: Settings, folder: Path) -> Iterator[str]:
    from repghost.latency.store import Store
    from repghost.sweep.evaluator import TrialEvaluator
    from repghost.sweep.refine import Refine
    from repghost.sweep.study import Ledger

    assert base.study is not None
    ledger = Ledger.read(folder, base.study, base)
    evaluator = TrialEvaluator(Store(base.storage.url), base.outputs, None)
    evaluator.longer = ledger.longer
    ended = {ticket.row for ticket in ledger.tickets() if ticket.life.ended}
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
