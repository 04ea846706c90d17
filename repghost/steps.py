"""What a variant needs next, or how it ended: by its files and the database alone."""

from typing import Literal, NamedTuple

from repghost.latency.record import Measurement
from repghost.profiling import profile_path
from repghost.run import Run
from repghost.settings import Settings
from repghost.timing import Mark, Timings, waits_for_worker, waits_here
from repghost.trial import Stage, ends_as

AWAIT: Literal["await"] = "await"  # a worker brings its latency; nothing else can be done
Step = Stage | Literal["await"]


class End(NamedTuple):
    """How a variant ended: a state, why, and its scores as far as there are any.

    `score` is the first objective, of a detector its box mAP.
    """

    state: str
    reason: str = ""
    score: float | None = None
    latency: Measurement | None = None


def next_step(settings: Settings, run: Run, timings: Timings) -> Step | End:
    """Say which stage a variant needs next, that it waits for a worker, or how it ended."""
    deployed = run.deployed(settings.timed_shape)
    if deployed is None or _lacks_profile(settings, deployed["fingerprint"], timings):
        return "prepare"
    graphs = run.graphs(settings.timed_shape)
    of_each = [timings.marks(settings, fingerprint) for fingerprint in graphs]
    every = [item for marks in of_each for item in marks.items()]
    if any(mark is None for _, mark in every):
        return "prepare"
    if any(waits_here(name, mark) for name, mark in every):
        return "measure"
    marks = of_each[0]
    name = settings.latency.devices[0]
    return _after_timing(settings, run, name, marks[name])


def _after_timing(settings: Settings, run: Run, name: str, mark: Mark) -> Step | End:
    """Go on where this machine has measured what it can; the first device decides."""
    result, trains = run.result(), settings.recipe.trains
    if waits_for_worker(name, mark):
        can_train = trains and result is None and not settings.latency.has_budget
        return "train" if can_train else AWAIT
    if not isinstance(mark, Measurement):
        assert mark is not None
        return End("failed", f"latency on {name}: {mark.why}")
    if state := ends_as(settings, mark.latency_ms, mark.latency_ratio):
        excess = settings.latency.excess(mark.latency_ms, mark.latency_ratio) or ""
        return End(state, excess, latency=mark)
    if result is None:
        return "train"
    return End("finished", score=result[settings.objective.name], latency=mark)


def _lacks_profile(settings: Settings, fingerprint: str, timings: Timings) -> bool:
    wanted = settings.latency.profile
    return wanted and not profile_path(settings, fingerprint, timings).exists()
