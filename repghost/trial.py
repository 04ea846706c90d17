"""One variant from start to score: the road through models, deploy, latency and training.

Three stages, each a job of its own and each safe to start again: `prepare` builds, fuses, certifies
and exports the untrained network and asks for its latency on every device; `measure` measures what
this machine's own devices are asked for; `train` trains, scores, certifies and exports the trained
network. Everything heavy is imported when a stage runs, so that planning imports no torch.
"""

import contextlib
import os
import socket
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from repghost.cores import cores_of_job
from repghost.failures import is_of_the_machine, reason_of
from repghost.interrupt import Interrupted, Stop
from repghost.latency.bench import patiently
from repghost.latency.devices.opening import open_device
from repghost.latency.devices.spec import CUDA, HERE
from repghost.latency.here import serve_until_done
from repghost.latency.store import Store
from repghost.lock import Held
from repghost.preparation import deployed_part, prepare
from repghost.profiling import profile_operators, profile_path
from repghost.provenance import commit, versions
from repghost.run import Run
from repghost.settings import Settings
from repghost.timing import Timings, device_here
from repghost.tracking.told import tell_end, tracker_of
from repghost.tracking.tracker import Tracker
from repghost.training.team import Team, started_here
from repghost.training_run import certified_images, leave_examples, open_training, train_beside

if TYPE_CHECKING:
    from torch import Tensor, nn

    from repghost.training.cohort import Member
    from repghost.training.loop import Trained

Stage = Literal["prepare", "measure", "train"]
Say = Callable[[str], None]
CERTIFIED_IMAGES = 64  # validation images, after training
MUCH_WAITING = 0.05  # of an epoch's time; more data.workers, decode=fast or a pack may help


def run_stage(
    settings: Settings,
    stage: Stage,
    threads: int | None,
    say: Say = print,
    *,
    stop: Stop | None = None,
    processes: int = 1,
    team: Team | None = None,
    member: "Member | None" = None,
) -> None:
    """Run one stage of a variant on `threads` threads; what fails for good leaves `error.txt`.

    With None it takes as many as its cluster's job was given. A training runs in as many
    `processes`, each of so many threads, or in those of its job's `team`, or as a `member` of a
    cohort. A job that was told to end, met a full disk, or lost a process leaves no error: it is to
    be run again.

    Raises:
        Held: of a member: somebody else is at work on the run.
    """
    run = Run(settings.outputs, settings.variant.key)
    threads = threads or cores_of_job()
    say = member.say if member else say
    _hold(run, say, wait=member is None)
    note = partial(_note, say if stop else lambda line: None, run.key, stage)
    note("begins")
    try:
        run.forgive()
        run.tidy()
        run.write_config(settings.variant)
        if stage == "prepare":
            _prepare(settings, run, threads, say)
        elif stage == "measure":
            _measure(settings, run, say, stop or Stop())
        else:
            with contextlib.nullcontext(team) if team else started_here(processes) as members:
                _train(settings, run, threads, say, stop or Stop(), members, member)
    except Exception as error:
        if not is_of_the_machine(error, run.outputs):
            run.fail(reason_of(error), traceback.format_exc())
        raise
    finally:
        note("ends")  # the process may live on for a while, to ask the cluster for another turn
        run.lock.release()


def _note(say: Say, key: str, stage: Stage, what: str) -> None:
    """Tell in a job's log when and where a stage was at work."""
    host, now = socket.gethostname(), time.time()
    say(f"run {key}: {stage} {what} on {host}, process {os.getpid()}, time {now:.2f}")


def _hold(run: Run, say: Say, *, wait: bool) -> None:
    """Take the run's lock; a twin of this job may be at work: then its result will do."""
    try:
        run.lock.acquire()
    except Held as held:
        if not wait:
            raise
        say(f"run {run.key} is at work in {held}: waiting for it")
        run.lock.acquire(wait=True)


def ends_as(
    settings: Settings, latency_ms: float, ratio: float | None
) -> Literal["pruned", "measured"] | None:
    """Say how a variant of this latency ends without a training; None if it is to be trained."""
    if settings.latency.excess(latency_ms, ratio):
        return "pruned"
    return None if settings.recipe.trains else "measured"


def _prepare(settings: Settings, run: Run, threads: int, say: Say) -> None:
    """Certify the untrained network, and ask for its latency where that is not known."""
    import torch

    torch.set_num_threads(threads)
    timings = Timings(Store(settings.storage.url))
    # In a folder of its own: `model.mnn` is the trained network, which may be there already.
    with TemporaryDirectory(dir=run.folder, prefix=".untrained-") as untrained:
        mnn = Path(untrained) / "model.mnn"
        graphs = _certified(settings, run, mnn)
        for fingerprint, model in graphs.items():
            label = f"{settings.network.describe()}{', backbone' if model != mnn else ''}"
            request = partial(timings.request, settings, fingerprint, model, label)
            patiently(request, say, time.sleep)
        fingerprint = next(iter(graphs))
        if settings.latency.profile:
            profile_operators(settings, mnn, profile_path(settings, fingerprint, timings), say)


def _measure(settings: Settings, run: Run, say: Say, stop: Stop) -> None:
    """Measure what this machine is asked for: this variant, and others that wait with it."""
    store = Store(settings.storage.url)
    timings = Timings(store)
    graphs = run.graphs(settings.timed_shape)
    with TemporaryDirectory(prefix="repghost-latency-") as folder:
        for name in (name for name in timings.devices(settings) if name in HERE):
            device = open_device(device_here(settings, name), say)
            for fingerprint in graphs:
                identity = timings.identity(settings, fingerprint, name)
                serve_until_done(identity, store, device, Path(folder), say=say, check=stop.obey)
    latency = timings.latency(settings, run)
    state = latency and ends_as(settings, latency.latency_ms, latency.latency_ratio)
    if latency and state:
        with tracker_of(settings, run, say) as tracker:  # it goes no further: log it here
            tell_end(tracker, settings, run, {"state": state}, latency)


def _certified(settings: Settings, run: Run, mnn: Path) -> dict[str, Path]:
    """Export the untrained network to `mnn`, and note the evidence.

    Return the fingerprints of what is to be timed, and where it lies: of a detector the backbone
    alone beside the whole.
    """
    traced_too = CUDA in settings.latency.devices
    found = prepare(settings, mnn, traced_too=traced_too)
    evidence = {"network": settings.network.describe(), "not_folded": found.not_folded}
    run.add_evidence(**evidence, untrained=found.certificate.as_dict())
    found.certificate.require()
    graph: dict[str, Any] = {
        "fingerprint": found.fingerprint,
        "params": found.deployed_cost.params,
        "macs": found.deployed_cost.macs,
        "training_params": found.training_cost.params,
    }
    graphs = {found.fingerprint: mnn}
    if settings.task.detects:
        alone = mnn.with_name("backbone.mnn")
        part = prepare(settings, alone, traced_too=traced_too, part="backbone")
        part.certificate.require()
        cost = {"params": part.deployed_cost.params, "macs": part.deployed_cost.macs}
        graph["backbone"] = {"fingerprint": part.fingerprint, **cost}
        graphs[part.fingerprint] = alone
    run.add_deployed(settings.timed_shape, graph)
    return graphs


def _train(
    settings: Settings,
    run: Run,
    threads: int,
    say: Say,
    stop: Stop,
    team: Team,
    member: "Member | None",
) -> None:
    """Train, score, certify with validation images, export, and write the result."""
    if run.result():
        return
    from repghost.training.loop import train

    team.last_words = partial(_note_failure, run)
    beside = (settings, run.folder, run.key, threads)
    with tracker_of(settings, run, say) as tracker:
        with team.together(train_beside, *beside) as (ranks, device):
            training = open_training(settings, threads, ranks, device, member)
            if training.amp != settings.recipe.amp:
                say(f"recipe.amp={settings.recipe.amp} needs a GPU: training in float32")
            report = _reporter(settings, run, tracker, say)
            trained = train(training, run.folder, run.key, report, stop)
        leave_examples(settings, run.examples, training, trained.model)
        images = certified_images(settings, training, CERTIFIED_IMAGES)
        _deploy_trained(run, deployed_part(settings, trained.model.cpu()), images)
        result = _result(settings, run, trained, training.seconds)
        place = {"threads": threads, "processes": ranks.world, "train_device": device.type}
        result |= place | {"amp": training.amp}
        run.finish(result)
        tracker.follow(run.history())
        latency = Timings(Store(settings.storage.url)).latency(settings, run)
        tell_end(tracker, settings, run, {"state": "finished"} | result, latency)


def _note_failure(run: Run, error: Exception) -> None:
    """Leave `error.txt` for a process that is about to end in the middle of an exchange."""
    if not is_of_the_machine(error, run.outputs):
        run.fail(reason_of(error), "")


def _reporter(
    settings: Settings, run: Run, tracker: Tracker, say: Say
) -> Callable[[dict[str, Any]], None]:
    """Return what sees each epoch's record: W&B, and the user in a line.

    A job that was frozen for so long that another took its place ends there.
    """

    def report(record: dict[str, Any]) -> None:
        if not run.lock.still_ours():
            raise Interrupted(f"run {run.key} was taken over by {run.lock.holder()}")
        tracker.follow(run.history())  # an epoch before a kill may be untold
        say(
            f"epoch {record['epoch'] + 1}/{settings.recipe.epochs}"
            f"  loss {record['train_loss']:.3f}"
            f"  {settings.objective.label} {record[settings.objective.name]:.2f} %"
            f"  {record['seconds']:.1f} s{waiting_words(record)}"
        )

    return report


def waiting_words(record: dict[str, Any]) -> str:
    """Return what a line says of the time that an epoch's steps waited for images, if it is much.

    A training continued from an older version's checkpoint has epochs that do not tell.
    """
    share = record.get("waited_s", 0.0) / max(record["seconds"], 1e-9)
    return f", {share:.0%} of it waiting for images" if share > MUCH_WAITING else ""


def _deploy_trained(run: Run, model: "nn.Module", images: "Tensor") -> None:
    from repghost.deploy.certificate import certify
    from repghost.deploy.export import export
    from repghost.deploy.fuse import fuse

    model = model.eval().float()
    chs, height, width = images.shape[1:]
    fused = fuse(model, (chs, height, width))
    export(fused, (1, chs, height, width), run.onnx, run.mnn)
    certificate = certify(model, fused, run.mnn, images)
    run.add_evidence(trained=certificate.as_dict())
    certificate.require()


def _result(settings: Settings, run: Run, trained: "Trained", seconds: float) -> dict[str, Any]:
    last = trained.history[-1]
    return {
        "key": run.key,
        **{name: last[name] for name in settings.objective.scores if name in last},
        "epochs": last["epoch"] + 1,
        "seconds": seconds,
        "seed": settings.seed,
        "skipped_images": trained.skipped,
        "warnings": trained.warnings,
        "commit": commit(),
        "versions": versions(),
    }
