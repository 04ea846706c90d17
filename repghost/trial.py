"""One variant from start to score: the road through models, deploy, latency and training.

Three stages, each a job of its own and each safe to start again: `prepare` builds, fuses, certifies
and exports the untrained network and asks for its latency on every device; `measure` measures what
this machine's own devices are asked for; `train` trains, scores, certifies and exports the trained
network. Everything heavy is imported when a stage runs, so that planning imports no torch.
"""

import contextlib
import errno
import os
import re
import shutil
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from repghost.interrupt import Interrupted, Stop
from repghost.latency.bench import patiently
from repghost.latency.devices.contract import DeviceError
from repghost.latency.devices.opening import open_device
from repghost.latency.devices.spec import CUDA, HERE
from repghost.latency.here import serve_until_done
from repghost.latency.profile import Subject, profile, write_profiles
from repghost.latency.queue.database import StoreError
from repghost.latency.store import Store
from repghost.lock import Held
from repghost.preparation import prepare, reference_network
from repghost.provenance import commit, versions
from repghost.run import Run
from repghost.settings import Settings
from repghost.timing import Timings, device_here
from repghost.tracking import Tracker
from repghost.training.lost import RankFailed, RankLost
from repghost.training.team import Team, started_here
from repghost.training_run import open_training, train_beside

if TYPE_CHECKING:
    from torch import Tensor, nn

    from repghost.training.engine import Trained

Stage = Literal["prepare", "measure", "train"]
Say = Callable[[str], None]
PROFILED = "local"  # the device whose operators can be timed
CERTIFIED_IMAGES = 64  # validation images, after training
ALMOST_NOTHING = 1 << 20  # bytes; with less free space a failed write is no surprise
MACHINES_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT}


def run_stage(
    settings: Settings,
    stage: Stage,
    threads: int | None,
    say: Say = print,
    *,
    stop: Stop | None = None,
    processes: int = 1,
    team: Team | None = None,
) -> None:
    """Run one stage of a variant on `threads` threads; what fails for good leaves `error.txt`.

    With None it takes as many as its cluster's job was given. A training runs in as many
    `processes`, each of so many threads, or in those of its job's `team`. A job that was told to
    end, met a full disk, or lost a process leaves no error: it is to be run again.
    """
    run = Run(settings.outputs, settings.variant.key)
    threads = threads or cores_of_job()
    _hold(run, say)
    if stop:  # this is a job: its log should tell where and when
        host, now = socket.gethostname(), time.time()
        say(f"run {run.key}: {stage} begins on {host}, process {os.getpid()}, time {now:.2f}")
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
                _train(settings, run, threads, say, stop or Stop(), members)
    except Interrupted:
        raise
    except Exception as error:
        if not _is_of_the_machine(error, run.outputs):
            run.fail(reason_of(error), traceback.format_exc())
        raise
    finally:
        run.lock.release()


def _hold(run: Run, say: Say) -> None:
    """Take the run's lock; a twin of this job may be at work: then its result will do."""
    try:
        run.lock.acquire()
    except Held as held:
        say(f"run {run.key} is at work in {held}: waiting for it")
        run.lock.acquire(wait=True)


def _is_of_the_machine(error: Exception, outputs: Path) -> bool:
    """Whether the place where it ran is to blame and not the variant: another try may do."""
    if isinstance(error, StoreError | RankLost) or getattr(error, "errno", None) in MACHINES_ERRORS:
        return True
    return shutil.disk_usage(outputs).free < ALMOST_NOTHING  # whatever it was that broke first


def reason_of(error: Exception) -> str:
    """Say a failure in a line: what the user can mend without Python's names around it."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full ({error.filename or error.strerror})"
    if isinstance(error, ValueError | DeviceError | RankLost | RankFailed):
        return str(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return f"out of memory ({error}); a smaller recipe.batch_size, or a larger machine"
    return f"{type(error).__name__}: {error}"


def share_cores() -> None:
    """Let a thread that waits for the others sleep soon, in processes started from now on.

    Before torch is imported. OpenMP's threads spin by default: on a machine that somebody else uses
    too a step took up to 13 s instead of 0.14 s. Spinning not at all costs 1.8x on a quiet one.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def threads_for(parallel: int) -> int:
    """Return the threads of each of `parallel` trainings on this machine."""
    return max(1, len(os.sched_getaffinity(0)) // parallel)


def cores_of_job() -> int:
    """Return the cores that SLURM gave to a task of this job, elsewhere all that we may use."""
    if of_task := os.environ.get("SLURM_CPUS_PER_TASK"):
        return int(of_task)
    given = int(os.environ.get("SLURM_CPUS_ON_NODE") or threads_for(1))
    return max(1, given // int(os.environ.get("SLURM_NTASKS_PER_NODE") or 1))


def profile_path(settings: Settings, fingerprint: str, timings: Timings) -> Path:
    """Return where the operator profile of a deployed graph on this machine is kept."""
    device = timings.device(settings, PROFILED)
    place = re.sub(r"[^a-z0-9.]+", "-", f"{device.profile} mnn-{device.mnn_version}".lower())
    return Path(settings.outputs) / "profiles" / f"{fingerprint}-{place.strip('-')}.json"


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
        fingerprint = _certified(settings, run, mnn)
        request = partial(timings.request, settings, fingerprint, mnn)
        patiently(request, say, time.sleep)
        if settings.latency.profile:
            _profile(settings, mnn, profile_path(settings, fingerprint, timings), say)


def _measure(settings: Settings, run: Run, say: Say, stop: Stop) -> None:
    """Measure what this machine is asked for: this variant, and others that wait with it."""
    store = Store(settings.storage.url)
    timings = Timings(store)
    deployed = run.deployed(settings.timed_shape)
    assert deployed is not None
    with TemporaryDirectory(prefix="repghost-latency-") as folder:
        for name in (name for name in timings.devices(settings) if name in HERE):
            identity = timings.identity(settings, deployed["fingerprint"], name)
            device = open_device(device_here(settings, name), say)
            serve_until_done(identity, store, device, Path(folder), say=say, check=stop.obey)
    latency = timings.latency(settings, run)
    state = latency and ends_as(settings, latency.latency_ms, latency.latency_ratio)
    if latency and state:
        with _tracker(settings, run, say) as tracker:  # it goes no further: log it here
            tracker.summarise({"state": state, "latency_ms": latency.latency_ms})


def _profile(settings: Settings, mnn: Path, path: Path, say: Say) -> None:
    """Time the operators on this machine, in rounds with those of another network."""
    if path.exists():
        return
    other = _counterpart(settings, mnn.parent / "counterpart.mnn")
    subjects = [Subject(settings.model.describe(), mnn, path.name.partition("-")[0]), other]
    device = open_device(settings.latency.local)
    profiles = profile(subjects, device, max_seconds=settings.latency.max_seconds)
    write_profiles(path, profiles)
    say(f"operators of {settings.model.describe()} in {path} ({profiles[0].rounds} rounds)")


def _counterpart(settings: Settings, mnn: Path) -> Subject:
    """Return the network to compare operators with: the model's own counterpart or the reference.

    What disturbs a round disturbs both: only so are their operators compared round by round.
    """
    spec = settings.model.counterpart
    if spec is None:
        reference = reference_network(settings)
        return Subject(reference.stem, reference)
    found = prepare(replace(settings, model=spec), mnn)
    found.certificate.require()
    return Subject(spec.describe(), mnn, found.fingerprint)


def _certified(settings: Settings, run: Run, mnn: Path) -> str:
    """Export the untrained network to `mnn`, note the evidence and return the fingerprint."""
    found = prepare(settings, mnn, traced_too=CUDA in settings.latency.devices)
    evidence = {"network": settings.model.describe(), "not_folded": found.not_folded}
    run.add_evidence(**evidence, untrained=found.certificate.as_dict())
    found.certificate.require()
    graph = {
        "fingerprint": found.fingerprint,
        "params": found.deployed_cost.params,
        "macs": found.deployed_cost.macs,
        "training_params": found.training_cost.params,
    }
    run.add_deployed(settings.timed_shape, graph)
    return found.fingerprint


def _train(settings: Settings, run: Run, threads: int, say: Say, stop: Stop, team: Team) -> None:
    """Train, score, certify with validation images, export, and write the result."""
    if run.result():
        return
    import torch

    from repghost.training.engine import train

    team.last_words = partial(_note_failure, run)
    beside = (settings, run.folder, run.key, threads)
    with _tracker(settings, run, say) as tracker:
        with team.together(train_beside, *beside) as (ranks, device):
            training = open_training(settings, threads, ranks, device)
            if training.amp != settings.recipe.amp:
                say(f"recipe.amp={settings.recipe.amp} needs a GPU: training in float32")
            report = _reporter(settings, run, tracker, say)
            trained = train(training, run.folder, run.key, report, stop)
        val, cpu = training.source.val(), torch.device("cpu")
        images = next(batch.on(cpu) for batch in val if len(batch.images))
        _deploy_trained(run, trained.model.cpu(), images[:CERTIFIED_IMAGES])
        result = _result(settings, run, trained, training.seconds)
        place = {"threads": threads, "processes": ranks.world, "train_device": device.type}
        run.finish(result | place | {"amp": training.amp})
        latency = Timings(Store(settings.storage.url)).latency(settings, run)
        tracker.summarise(result | {"latency_ms": latency.latency_ms if latency else None})


def _note_failure(run: Run, error: Exception) -> None:
    """Leave `error.txt` for a process that is about to end in the middle of an exchange."""
    if not _is_of_the_machine(error, run.outputs):
        run.fail(reason_of(error), "")


def _tracker(settings: Settings, run: Run, say: Say) -> Tracker:
    """Return the variant's W&B run, started; one that is continued has the same id."""
    tracker = Tracker(settings.tracking, run.folder / "wandb", say)
    config = settings.variant.config()
    tracker.start(run.key, settings.study or "single", _title(settings), config)
    return tracker


def _reporter(
    settings: Settings, run: Run, tracker: Tracker, say: Say
) -> Callable[[dict[str, Any]], None]:
    """Return what sees each epoch's record: W&B, and the user in a line.

    A job that was frozen for so long that another took its place ends there.
    """

    def report(record: dict[str, Any]) -> None:
        if not run.lock.still_ours():
            raise Interrupted(f"run {run.key} was taken over by {run.lock.holder()}")
        tracker.log(record)
        say(
            f"epoch {record['epoch'] + 1}/{settings.recipe.epochs}"
            f"  loss {record['train_loss']:.3f}  top-1 {record['top1']:.2f} %"
            f"  {record['seconds']:.1f} s"
        )

    return report


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
        "top1": last["top1"],
        "top5": last["top5"],
        "epochs": last["epoch"] + 1,
        "seconds": seconds,
        "seed": settings.seed,
        "skipped_images": trained.skipped,
        "warnings": trained.warnings,
        "commit": commit(),
        "versions": versions(),
    }


def _title(settings: Settings) -> str:
    return f"{settings.model.describe()}, seed {settings.seed}"
