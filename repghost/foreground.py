"""`launch.py` without -m: one variant in this process, with its progress as plain lines."""

from rich.console import Console

from repghost.latency.store import Store
from repghost.run import Run
from repghost.settings import Settings
from repghost.trial import Say, ends_as, latency_of, reason_of, run_stage, share_cores, threads_for


def run_one(settings: Settings) -> int:
    """Measure and train one variant, or go on with it; return the exit code."""
    console = Console(highlight=False)
    run = Run(settings.outputs, settings.variant.key)
    store = Store(settings.storage.url)
    share_cores()
    threads = threads_for(settings.parallel)
    console.print(f"run {run.key} in {run.folder}", soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    try:
        if latency_of(settings, run, store) is None:
            run_stage(settings, "measure", threads, say)
        if _goes_on(settings, run, store, say):
            run_stage(settings, "train", threads, say)
            _say_result(run, say)
        for remark in run.remarks():
            say(remark)
    except Exception as error:
        trace = f"\ntraceback: {run.folder / 'error.txt'}" if run.error() else ""
        say(f"failed: {reason_of(error)}{trace}")
        return 1
    return 0


def _goes_on(settings: Settings, run: Run, store: Store, say: Say) -> bool:
    """Say the latency; return whether there is a training to come."""
    latency = latency_of(settings, run, store)
    assert latency is not None
    say(
        f"latency {latency.latency_ms:.3f} ms"
        f" [{latency.latency_low:.3f}, {latency.latency_high:.3f}]"
        f" on {latency.identity.device} ({latency.identity.protocol}, n={latency.n})"
    )
    state = ends_as(settings, latency.latency_ms, latency.latency_ratio)
    if state == "pruned":
        excess = settings.latency.excess(latency.latency_ms, latency.latency_ratio)
        say(f"{excess}: not trained")
    elif state == "measured":
        say(f"recipe.epochs=0: nothing to train; evidence: {run.folder / 'certificate.json'}")
    return state is None


def _say_result(run: Run, say: Say) -> None:
    result = run.result()
    assert result is not None
    scores = f"top-1 {result['top1']:.2f} %  top-5 {result['top5']:.2f} %"
    say(f"{scores}  after {result['epochs']} epochs, {result['seconds']:.1f} s of training")
    say(f"result: {run.folder / 'result.json'}")
