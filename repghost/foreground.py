"""`launch.py` without -m: one variant in this process, with its progress as plain lines."""

import time
from functools import partial

from rich.console import Console

from repghost.cores import share_cores, threads_for
from repghost.failures import reason_of
from repghost.interrupt import Interrupted
from repghost.latency.record import Measurement
from repghost.latency.store import Store
from repghost.run import Run
from repghost.settings import Settings
from repghost.steps import End, next_step
from repghost.sweep.console.workers import WorkerWatch
from repghost.timing import Timings
from repghost.trial import Say, run_stage

POLL_S = 2.0  # between two looks for a latency that a worker is to bring


def run_one(settings: Settings, processes: int = 1) -> int:
    """Measure and train one variant in as many processes, or go on with it; return the exit code.

    Raises:
        DeviceError: the first device is this machine's own, and is not there.
    """
    console = Console(highlight=False)
    run = Run(settings.outputs, settings.variant.key)
    timings = Timings(Store(settings.storage.url))
    skipped = timings.skipped(settings)
    share_cores()
    console.print(f"run {run.key} in {run.folder}", soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    for name, why in skipped.items():
        say(f"device {name}: skipped: {why}")
    try:
        end = _to_the_end(settings, run, timings, say, processes)
        _say_end(end, settings, run, say)
        for remark in run.remarks():
            say(remark)
    except Interrupted as interrupted:
        say(f"interrupted: {interrupted}")
        return 1
    except Exception as error:
        trace = f"\ntraceback: {run.folder / 'error.txt'}" if run.error() else ""
        say(f"failed: {reason_of(error)}{trace}")
        return 1
    return int(end.state == "failed")


def _to_the_end(settings: Settings, run: Run, timings: Timings, say: Say, processes: int) -> End:
    """Run one stage after another; wait where a worker is to bring the latency."""
    watch = WorkerWatch(timings.workers, [settings], settings.storage.url)
    if settings.retry == "failed":
        timings.forgive(settings, run)
    needed = partial(timings.needed_of_workers, settings, run)
    said = False
    while not isinstance(step := next_step(settings, run, timings), End):
        for notice in watch.notices(needed):
            say(notice)
        if step == "await":
            time.sleep(POLL_S)
            continue
        if step == "train":
            _say_latency(timings.latency(settings, run), say)
            said = True
        tasks = processes if step == "train" else 1
        run_stage(settings, step, threads_for(settings.parallel * tasks), say, processes=tasks)
    if not said:
        _say_latency(step.latency, say)
    return step


def _say_latency(latency: Measurement | None, say: Say) -> None:
    if latency:
        say(
            f"latency {latency.latency_ms:.3f} ms"
            f" [{latency.latency_low:.3f}, {latency.latency_high:.3f}]"
            f" on {latency.identity.device} ({latency.identity.protocol}, n={latency.n})"
        )


def _say_end(end: End, settings: Settings, run: Run, say: Say) -> None:
    if end.state == "pruned":
        say(f"{end.reason}: not trained")
    elif end.state == "measured":
        say(f"recipe.epochs=0: nothing to train; evidence: {run.folder / 'certificate.json'}")
    elif end.state == "failed":
        say(f"failed: {end.reason}")
    else:
        result = run.result()
        assert result is not None
        scores = settings.objective.words(result, 2)
        say(f"{scores}  after {result['epochs']} epochs, {result['seconds']:.1f} s of training")
        say(f"result: {run.folder / 'result.json'}")
