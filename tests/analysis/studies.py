"""Writes a study's folder as a sweep leaves it: what the analysis tests read."""

import base64
import csv
import gzip
import json
import math
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from repghost.models.paper import ENTRIES
from repghost.models.spec import ModelSpec

BEFORE = ("study", "key", "state")
TIMES = ("latency_ms", "latency_low", "latency_high", "latency_ratio", "ratio_low", "ratio_high")
AFTER = (
    *("seed", "top1", "top5", *TIMES, "device", "protocol", "params_m", "macs_m", "fingerprint"),
    *("epochs", "seconds", "commit", "error", "reference", "flags"),
)
PHONE = "adb: Google Pixel 8 (gs301)"
BUSY = "the machine was busy: another process used 63 % of core 1"
FINISHED = {
    "state": "finished",
    "seed": 0,
    "top1": 98.61,
    "top5": 100.0,
    "latency_ms": 1.234,
    "latency_low": 1.221,
    "latency_high": 1.249,
    "latency_ratio": 1.0,
    "ratio_low": 0.994,
    "ratio_high": 1.006,
    "device": "local",
    "protocol": "paired",
    "params_m": 1.04,
    "macs_m": 2.31,
    "fingerprint": "f1ab" * 10,
    "epochs": 8,
    "seconds": 24.6,
    "commit": "0123abc",
    "reference": "repghostnet-0.5x",
}
UNSCORED = dict.fromkeys(("top1", "top5", "epochs", "seconds"), "")
UNTIMED = dict.fromkeys(TIMES, "")


def run(**columns: Any) -> dict[str, Any]:
    """Return a finished run's row with some columns changed; keys may hold dots: **{"a.b": 1}."""
    return FINISHED | columns


def failed(reason: str, **columns: Any) -> dict[str, Any]:
    """Return the row of a run that failed before it had a latency."""
    return FINISHED | UNSCORED | UNTIMED | {"state": "failed", "error": reason} | columns


def pruned(reason: str, **columns: Any) -> dict[str, Any]:
    """Return the row of a run that was timed and not trained."""
    return FINISHED | UNSCORED | {"state": "pruned", "error": reason} | columns


def measured(ms: float, **columns: Any) -> dict[str, Any]:
    """Return the row of a run of recipe=none: `ms` with 1 %, its ratio to 1 ms with 0.5 %."""
    times = {"latency_ms": ms, "latency_low": 0.99 * ms, "latency_high": 1.01 * ms}
    ratio = {"latency_ratio": ms, "ratio_low": 0.995 * ms, "ratio_high": 1.005 * ms}
    row = FINISHED | UNSCORED | {"state": "measured", "fingerprint": f"{ms}"} | times | ratio
    return row | columns


def there(name: str, ratio: float, half: float = 0.005, device: str = PHONE) -> dict[str, Any]:
    """Return a further device's columns: a ratio with +- `half` of it, to a reference of 10 ms."""
    bounds = ratio, (1 - half) * ratio, (1 + half) * ratio
    cells = [*(round(10 * bound, 6) for bound in bounds), *(round(bound, 6) for bound in bounds)]
    return dict(zip((f"{name}:{end}" for end in TIMES), cells, strict=True)) | {
        f"{name}:device": device
    }


def not_there(name: str) -> dict[str, str]:
    """Return a further device's columns before anything was timed on it."""
    return {f"{name}:{end}": "" for end in (*TIMES, "device")}


def write_study(
    outputs: Path, rows: Iterable[Mapping[str, Any]], study: str = "demo", swept: str = ""
) -> Path:
    """Write outputs/<study>/results.csv; `swept` names the swept columns, separated by spaces.

    Columns of further devices (see `there`) come after all others, as a sweep writes them.
    """
    folder = outputs / study.replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(rows)
    further = dict.fromkeys(name for row in rows for name in row if is_of_a_further_device(name))
    header = [*BEFORE, *swept.split(), *AFTER, *further]
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, restval="")
        writer.writeheader()
        for n, row in enumerate(rows):
            writer.writerow({"study": study, "key": f"{n:016x}"} | dict(row))
    return folder


def is_of_a_further_device(column: str) -> bool:
    return column.rpartition(":")[2] in (*TIMES, "device") and ":" in column


def write_curve(outputs: Path, key: str, top1: float, epochs: int = 8) -> None:
    """Write a run's metrics.jsonl: a curve that rises towards `top1`."""
    folder = outputs / "runs" / key
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    speed = 4 + zlib.crc32(key.encode()) % 200 / 100
    for epoch in range(epochs):
        rest = math.exp(-speed * epoch / max(epochs - 1, 1))
        record = {"epoch": epoch, "train_loss": 0.62 + 1.9 * rest, "val_loss": 0.55 + 1.6 * rest}
        scores = {"top1": top1 - 88 * rest, "top5": 100.0, "lr": 0.1, "seconds": 3.0}
        lines.append(json.dumps(record | scores))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def write_certificate(outputs: Path, key: str) -> None:
    folder = outputs / "runs" / key
    folder.mkdir(parents=True, exist_ok=True)
    stage = {"relative_error": 3.1e-07, "top1_agreement": 1.0, "tolerance": 1e-4, "passed": True}
    text = json.dumps({"untrained": stage, "trained": stage}, indent=1)
    (folder / "certificate.json").write_text(text)


def write_provenance(folder: Path, **changes: Any) -> None:
    record = {
        "study": folder.name,
        "command": "python launch.py -m model.reparam=bn,id,dconv",
        "commit": "0123abc",
        "versions": {"python": "3.11.7", "torch": "2.15.0", "timm": "1.0.31", "MNN": "3.6.1"},
        "started": "2026-11-22T11:32:07+00:00",
        "device_state": {"governor": "performance", "load_1min": 0.4},
    }
    (folder / "study.json").write_text(json.dumps(record | changes))


def write_demo(outputs: Path) -> Path:
    """Write what `make demo` leaves: three twins, one seed."""
    scores = {"bn": 98.89, "id": 98.33, "dconv": 98.61}
    rows = [
        run(**{"model.reparam": name}, key=name * 4, top1=top1) for name, top1 in scores.items()
    ]
    folder = write_study(outputs, rows, "model.reparam", "model.reparam")
    for name, top1 in scores.items():
        write_curve(outputs, name * 4, top1)
        write_certificate(outputs, name * 4)
    write_provenance(folder)
    return folder


def write_ablation(outputs: Path) -> Path:
    """Write a study as large sweeps are: widths x branches x seeds, twins, failures, a prune."""
    branches = {"bn": 0.5, "id": 0.1, "dconv": 0.35, "none": -0.2}
    rows = []
    for width, (base, ms) in {
        "0.5": (96.4, 1.234),
        "1.0": (98.1, 2.51),
        "1.5": (98.9, 4.6),
    }.items():
        for branch, gain in branches.items():
            for seed in (0, 1, 2):
                key = f"{branch}-{width}-{seed}"
                top1 = base + gain + 0.25 * ((7 * seed + len(branch)) % 3 - 1)
                row = run(key=key, seed=seed, top1=top1, latency_ms=ms, fingerprint=f"{width}" * 9)
                row |= {"latency_low": ms * 0.985, "latency_high": ms * 1.02}
                row |= {"latency_ratio": ms / 1.234, "ratio_low": ms / 1.24}
                row |= {"ratio_high": ms / 1.228, "macs_m": 2.3 * ms, "params_m": 0.9 * ms}
                rows.append(row | {"model.reparam": branch, "model.width": width})
                write_curve(outputs, key, top1)
    rows[-1] |= UNSCORED | {"state": "failed", "error": "loss is NaN at epoch 3, step 41"}
    slow = {"model.reparam": "bn", "model.width": "3.0", "latency_ms": 15.2}
    slow |= {"latency_low": 15.0, "latency_high": 15.5, "fingerprint": "3" * 40}
    rows.append(pruned("latency 15.20 ms is over latency.max_ms=10", **slow))
    folder = write_study(outputs, rows, "width-by-branch", "model.reparam model.width")
    write_provenance(folder)
    return folder


def write_measured(outputs: Path) -> Path:
    """Write what recipe=none leaves: named networks of 1 to 6.5 ms, two of them one graph."""
    times = {"efficientnet-b0": 6.5, "repghostnet-0.5x": 1.0, "ghostnet-0.5x": 1.263}
    rows = [measured(ms, variant=name, macs_m=40 * ms) for name, ms in times.items()]
    rows.append(measured(1.263, variant="ghostnet-0.5x-again", macs_m=50.5))
    folder = write_study(outputs, rows, "table3_recipe=none", "variant")
    write_provenance(folder)
    return folder


def write_devices(outputs: Path) -> Path:
    """Write a study of three branches on two devices that disagree, in a machine that was busy."""
    rows = []
    for name, top1, ratio, phone, flags in (
        ("bn", 98.89, 1.0, 1.0, ""),
        ("id", 98.33, 0.9, 1.1, BUSY),
        ("dconv", 98.61, 1.2, 1.098, f"{BUSY}; the reference network drifted by 2.1 %"),
    ):
        times = {"latency_ms": 1.234 * ratio, "latency_ratio": ratio}
        times |= {"latency_low": 1.228 * ratio, "latency_high": 1.24 * ratio}
        times |= {"ratio_low": 0.995 * ratio, "ratio_high": 1.005 * ratio}
        row = run(**{"model.reparam": name}, key=name * 4, top1=top1, flags=flags, **times)
        row |= {"fingerprint": name * 9, "reference": "repghostnet-1.0x"}
        rows.append(row | there("pixel", phone))
        write_curve(outputs, name * 4, top1)
        write_certificate(outputs, name * 4)
    folder = write_study(outputs, rows, "two-devices", "model.reparam")
    write_provenance(folder)
    return folder


def write_network(
    outputs: Path, key: str, spec: ModelSpec, fingerprint: str, **shapes: str
) -> None:
    """Write what a run says of its network: config.yaml, and its graph at the paper's input."""
    folder = outputs / "runs" / key
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model": asdict(spec), "data": {"kind": "folder"}, "seed": 0}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    graphs = {"1x3x224x224": fingerprint} | shapes
    deployed = {shape: {"fingerprint": graph, "params": 1} for shape, graph in graphs.items()}
    (folder / "certificate.json").write_text(json.dumps({"key": key, "deployed": deployed}))


def write_timings(
    outputs: Path, ratios: Mapping[str, float], study: str = "table3_recipe=none", **columns: Any
) -> Path:
    """Write a study of recipe=none in which the paper's networks, by name, have these ratios."""
    rows = []
    for name, ratio in ratios.items():
        key = f"{study}-{name}"
        write_network(outputs, key, ENTRIES[name].spec, f"graph of {name}")
        row = measured(ratio, key=key, variant=name, fingerprint=f"graph of {name}") | columns
        rows.append(row)
    folder = write_study(outputs, rows, study, "variant")
    write_provenance(folder)
    return folder


def figures_of(html):
    """Return the figures of a report by name, unpacked."""
    match = re.search(r'<script type="application/octet-stream" id="figures">(.*?)</script>', html)
    return json.loads(gzip.decompress(base64.b64decode(match[1])))
