"""Runs that look finished, for benchmarks of what is done with many of them."""

import json
from dataclasses import replace
from pathlib import Path

from hydra import compose, initialize_config_dir

from repghost.latency.record import Identity, Measurement
from repghost.latency.store import Store
from repghost.run import Run
from repghost.settings import settings_from
from repghost.timing import Timings

CONF = Path(__file__).parents[1] / "conf"
GRAPHS = 10  # different deployed networks among them


def make_finished(place: Path, count: int) -> list[str]:
    """Write the files of `count` finished runs below `place`; return the sweep's words.

    They hold what trained runs hold, with numbers made up.
    """
    with initialize_config_dir(str(CONF), version_base="1.3"):
        base = settings_from(compose("config", ["tracking=none"]))
    outputs = place / "outputs"
    outputs.mkdir()
    store = Store(f"sqlite:///{outputs}/latency.db")
    timings = Timings(store)
    for graph in range(GRAPHS):
        identity = timings.identity(base, f"{graph:016x}", "local")
        store.add(_measurement(identity, 1.0 + graph))
    for seed in range(count):
        variant = replace(base, seed=seed).variant
        run = Run(outputs, variant.key)
        graph = {"fingerprint": f"{seed % GRAPHS:016x}", "params": 10**6, "macs": 10**7}
        run.add_deployed(base.timed_shape, graph)
        run.write_config(variant)
        record = {"epoch": 7, "train_loss": 0.5, "top1": 90.0, "top5": 99.0, "seconds": 3.0}
        (run.folder / "metrics.jsonl").write_text(json.dumps(record) + "\n")
        score = {"key": run.key, "top1": 90 + seed % 50 / 10, "top5": 99.0, "epochs": 8}
        run.finish(score | {"seconds": 24.0, "seed": seed, "commit": "made up"})
    return ["-m", f"seed=range(0,{count})", "tracking=none"]


def _measurement(identity: Identity, latency_ms: float) -> Measurement:
    return Measurement(
        identity=identity,
        latency_ms=latency_ms,
        latency_low=0.99 * latency_ms,
        latency_high=1.01 * latency_ms,
        latency_ratio=latency_ms,
        ratio_low=0.99 * latency_ms,
        ratio_high=1.01 * latency_ms,
        reference_ms=1.0,
        samples_ms=(latency_ms,) * 100,
        reference_samples_ms=(1.0,) * 100,
        runs_per_sample=1,
        samples_per_round=1,
        settled=True,
        ended="made up",
        flags=(),
        device_state={},
        session="made up",
        measured_at="2026-01-01T00:00:00+00:00",
        host="made up",
    )
