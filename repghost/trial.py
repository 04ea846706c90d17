"""One variant from start to score: the road through models, deploy, latency and training.

Two stages, each a job of its own and each safe to start again: `measure` builds, fuses, certifies,
exports and times the untrained network; `train` trains, scores, certifies and exports the trained
one. Everything heavy is imported when a stage runs, so that planning imports no torch.
"""

import errno
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from repghost.latency.device import open_device
from repghost.latency.measure import identity_of, measure
from repghost.latency.record import Measurement
from repghost.latency.store import Store
from repghost.lock import Held
from repghost.models.spec import ModelSpec
from repghost.provenance import commit, versions
from repghost.run import Run
from repghost.settings import Settings
from repghost.tracking import Tracker

if TYPE_CHECKING:
    from torch import Tensor, nn

    from repghost.training.engine import Trained

Stage = Literal["measure", "train"]
Say = Callable[[str], None]
CERTIFIED_INPUTS = 16  # random ones, before training
CERTIFIED_IMAGES = 64  # validation images, after training


def run_stage(settings: Settings, stage: Stage, threads: int, say: Say = print) -> None:
    """Run one stage of a variant on `threads` threads; a failure is also left in `error.txt`."""
    run = Run(settings.outputs, settings.variant.key)
    _hold(run, say)
    try:
        run.forgive()
        run.tidy()
        run.write_config(settings.variant)
        {"measure": _measure, "train": _train}[stage](settings, run, threads, say)
    except Exception as error:
        run.fail(_reason(error), traceback.format_exc())
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


def _reason(error: Exception) -> str:
    """Say a failure in a line: what the user can mend without Python's names around it."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full ({error.filename or error.strerror})"
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def share_cores() -> None:
    """Let a thread that waits for the others sleep soon, in processes started from now on.

    Before torch is imported. OpenMP's threads spin by default: on a machine that somebody else uses
    too a step took up to 13 s instead of 0.14 s. Spinning not at all costs 1.8x on a quiet one.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def threads_for(parallel: int) -> int:
    """Return the threads of each of `parallel` trainings on this machine."""
    return max(1, len(os.sched_getaffinity(0)) // parallel)


def timed_size(settings: Settings) -> int:
    """Return the side in pixels of the input that latency is measured on."""
    return settings.latency.input_size or settings.data.input_size


def latency_of(settings: Settings, run: Run, store: Store) -> Measurement | None:
    """Return the stored latency of a variant's deployed network on the first device, if known."""
    deployed = run.deployed(timed_size(settings))
    if deployed is None:
        return None
    device = open_device(settings.latency.devices[0])
    return store.find(identity_of(deployed["fingerprint"], settings.latency, device))


def _measure(settings: Settings, run: Run, threads: int, say: Say) -> None:
    """Certify the untrained network, and time it on each device that does not know it yet."""
    import torch

    torch.set_num_threads(threads)
    store = Store(settings.storage.url)
    # In a folder of its own: `model.mnn` is the trained network, which may be there already.
    with TemporaryDirectory(dir=run.folder, prefix=".untrained-") as untrained:
        mnn = Path(untrained) / "model.mnn"
        fingerprint = _prepare(settings, run, mnn)
        for name in settings.latency.devices:
            device = open_device(name)
            if store.find(identity_of(fingerprint, settings.latency, device)):
                continue
            reference = _reference(settings)
            found = measure(mnn, reference, fingerprint, settings.latency, device)
            store.add(found)
            say(f"{found.latency_ms:.3f} ms on {name} ({found.ended})")
    latency, limit = latency_of(settings, run, store), settings.latency.max_ms
    if latency and limit is not None and latency.latency_ms > limit:
        with _tracker(settings, run, say) as tracker:  # it goes no further: log it here
            tracker.summarise({"state": "pruned", "latency_ms": latency.latency_ms})


def _prepare(settings: Settings, run: Run, mnn: Path) -> str:
    """Build, fuse, export to `mnn` and certify at the timed size; return the fingerprint."""
    import torch

    from repghost.deploy.certificate import certify, spread_statistics
    from repghost.deploy.export import export
    from repghost.deploy.fingerprint import fingerprint
    from repghost.deploy.fuse import fuse, kept_sums
    from repghost.models.cost import count
    from repghost.models.registry import describe

    size, onnx = timed_size(settings), mnn.with_suffix(".onnx")
    shape = (settings.model.in_chs, size, size)
    model = spread_statistics(_build(settings).eval(), settings.seed)
    fused = fuse(model)
    export(fused, (1, *shape), onnx, mnn)
    generator = torch.Generator().manual_seed(settings.seed)
    inputs = torch.randn(CERTIFIED_INPUTS, *shape, generator=generator)
    certificate = certify(model, fused, mnn, inputs)
    evidence = {"network": describe(settings.model), "not_folded": kept_sums(fused)}
    run.add_evidence(**evidence, untrained=certificate.as_dict())
    certificate.require()
    graph = fingerprint(onnx)
    cost = {"params": count(model, shape).params, "macs": count(fused, shape).macs}
    run.add_deployed(size, {"fingerprint": graph, **cost})
    return graph


def _train(settings: Settings, run: Run, threads: int, say: Say) -> None:
    """Train, score, certify with validation images, export, and write the result."""
    if run.result():
        return
    import torch

    from repghost.training.data import open_source
    from repghost.training.engine import Training, train

    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if settings.recipe.amp and device.type != "cuda":
        say("recipe.amp needs a GPU: training in float32")
    source = open_source(settings.data, settings.recipe, settings.seed)
    training = Training(_build(settings), source, settings.recipe, settings.seed, device)
    with _tracker(settings, run, say) as tracker:
        trained = train(training, run.folder, run.key, _reporter(settings, tracker, say))
        images = next(batch.images for batch in source.val() if len(batch.images))
        _deploy_trained(run, trained.model.cpu(), images[:CERTIFIED_IMAGES])
        result = _result(settings, run, trained, training.seconds)
        run.finish(result | {"threads": threads, "train_device": device.type})
        latency = latency_of(settings, run, Store(settings.storage.url))
        tracker.summarise(result | {"latency_ms": latency.latency_ms if latency else None})


def _tracker(settings: Settings, run: Run, say: Say) -> Tracker:
    """Return the variant's W&B run, started; one that is continued has the same id."""
    tracker = Tracker(settings.tracking, run.folder / "wandb", say)
    config = settings.variant.config()
    tracker.start(run.key, settings.study or "single", _title(settings), config)
    return tracker


def _reporter(settings: Settings, tracker: Tracker, say: Say) -> Callable[[dict[str, Any]], None]:
    """Return what sees each epoch's record: W&B, and the user in a line."""

    def report(record: dict[str, Any]) -> None:
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
    fused = fuse(model)
    export(fused, (1, *images.shape[1:]), run.onnx, run.mnn)
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


def _build(settings: Settings) -> "nn.Module":
    """Build the network with the weights that its seed gives."""
    import torch

    from repghost.models.registry import build

    torch.manual_seed(settings.seed)
    return build(settings.model, dropout=settings.recipe.dropout)


def _reference(settings: Settings) -> Path:
    """Return the network that latencies are paired with, exported once at the timed size.

    RepGhostNet 0.5x, the anchor of the paper's ratios: at 32 pixels, where weights are most of the
    traffic, its ratio to 0.58x moved by 1 % between repeats, that of 1.0x to 0.5x by 30 %.
    """
    from repghost.deploy.export import export
    from repghost.deploy.fuse import fuse
    from repghost.models.registry import build

    spec = ModelSpec(
        width=0.5, in_chs=settings.model.in_chs, num_classes=settings.model.num_classes
    )
    size = timed_size(settings)
    name = f"repghostnet-0.5x-{spec.in_chs}x{size}x{size}-{spec.num_classes}.mnn"
    mnn = Path(settings.outputs) / "reference" / name
    if not mnn.exists():
        fused = fuse(build(spec).eval())
        export(fused, (1, spec.in_chs, size, size), mnn.with_suffix(".onnx"), mnn)
    return mnn


def _title(settings: Settings) -> str:
    model = settings.model
    return f"{model.name} {model.width:g}x {model.reparam} seed {settings.seed}"
