"""What W&B is told of one variant: its settings, certificate, latency, scores and files."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from repghost.latency.record import Measurement, as_record
from repghost.provenance import commit, versions
from repghost.run import Run
from repghost.settings import Settings
from repghost.tracking.tracker import Tracker
from repghost.tracking.wandb_run import Label

JOB_TYPE = "variant"
FILES = "run"  # the folder at W&B of the run's files
KEPT = ("config.yaml", "metrics.jsonl", "certificate.json", "result.json")
LATENCY = "latency.json"  # beside them: the measurement with all its samples
TIMES = (
    *("latency_ms", "latency_low", "latency_high"),
    *("latency_ratio", "ratio_low", "ratio_high"),
)
SAMPLES = "latency_samples"
CERTIFICATE = "certificate"
FIELDS = ("passed", "relative_error", "top1_agreement", "ties", "tolerance", "problem")
ELSEWHERE = ("versions", "warnings", "skipped_images")  # of a result: in the config, in the files


def tracker_of(settings: Settings, run: Run, say: Callable[[str], None]) -> Tracker:
    """Return the variant's W&B run, started; one that is continued has the same id."""
    tracker = Tracker(settings.tracking, run.folder / "wandb", say)
    name = f"{settings.model.describe()}, seed {settings.seed}"
    group = settings.study or "single"
    tracker.start(Label(run.key, group, name, JOB_TYPE, resolved(settings), tags(settings)))
    return tracker


def resolved(settings: Settings) -> dict[str, Any]:
    """Return the full resolved config, and what ran it; `StorageSpec` lets no password in."""
    where = {"key": settings.variant.key, "commit": commit(), "versions": versions()}
    return asdict(settings) | where


def tags(settings: Settings) -> tuple[str, ...]:
    """Return what runs are found by beside the user's own tags."""
    return settings.model.family, settings.data.kind


def tell_end(
    tracker: Tracker,
    settings: Settings,
    run: Run,
    scores: Mapping[str, Any],
    latency: Measurement | None,
) -> None:
    """Tell how the variant ended: its scores and the evidence for them."""
    certificate = run.certificate()
    graph = run.deployed(settings.timed_shape) or {}
    kept = {name: value for name, value in scores.items() if name not in ELSEWHERE}
    tracker.summarise(kept | graph | _passed(certificate) | _timed(latency) | {"error": ""})
    tracker.table(CERTIFICATE, ("network", "form", *FIELDS), _comparisons(certificate))
    if latency:
        tracker.table(SAMPLES, ("sample", "round", "network", "ms"), _samples(latency))
        tracker.write(f"{FILES}/{LATENCY}", json.dumps(as_record(latency)))
    tracker.keep((run.folder / name for name in KEPT), FILES)
    if settings.tracking.artifact and run.result():
        tracker.artifact(f"fused-{run.key}", (run.onnx, run.mnn, run.folder / "certificate.json"))


def _passed(certificate: Mapping[str, Any]) -> dict[str, bool]:
    names = [name for name in ("untrained", "trained") if name in certificate]
    return {f"certificate_{name}": certificate[name]["passed"] for name in names}


def _comparisons(certificate: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each network (untrained, trained) and form that was compared."""
    for network in ("untrained", "trained"):
        for form, row in certificate.get(network, {}).items():
            if isinstance(row, dict):
                yield network, form, *(row[name] for name in FIELDS)


def _timed(latency: Measurement | None) -> dict[str, Any]:
    if latency is None:
        return {}
    about = {
        "device": latency.identity.device,
        "protocol": latency.identity.protocol,
        "reference": latency.identity.reference,
        "latency_samples_n": latency.n,
        "latency_settled": latency.settled,
        "latency_flags": "; ".join(latency.flags),
    }
    return {name: getattr(latency, name) for name in TIMES} | about


def _samples(latency: Measurement) -> Iterator[tuple[int, int, str, float]]:
    """Yield each sample of the model and of the reference, in ms as measured in that session."""
    for network, samples in (
        ("model", latency.samples_ms),
        ("reference", latency.reference_samples_ms),
    ):
        for n, value in enumerate(samples):
            yield n, n // latency.samples_per_round, network, value
