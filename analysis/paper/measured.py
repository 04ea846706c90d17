"""The latencies of the paper's networks among all studies below a folder, with their evidence."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from analysis.configs import read_config
from analysis.further import Timed
from analysis.paper.intervals import ONE, quotient
from analysis.paper.tables import BASE
from analysis.results import Results, Row, load
from analysis.run_files import read_object
from analysis.texts import network_name
from repghost.latency.statistics import Interval
from repghost.models.paper import ENTRIES
from repghost.models.registry import spec_class
from repghost.models.spec import ModelSpec

SHAPE = "1x3x224x224"  # what the paper times: batch 1
PROTOCOL = "paired"


@dataclass(frozen=True)
class Timing:
    """A measured network: latency in ms and ratio to `reference`, with 95 % intervals.

    `base` is the ratio of RepGhostNet 0.5x to that reference on that device, None if not known.
    """

    spec: ModelSpec
    ms: Interval
    ratio: Interval
    reference: str
    device: str
    study: str
    started: str
    commit: str
    mnn: str
    base: Interval | None = None

    @property
    def to_base(self) -> Interval | None:
        """The ratio to RepGhostNet 0.5x; None where that network was not timed the same way."""
        if self.reference == BASE:
            return self.ratio
        if self.spec == ENTRIES[BASE].spec:
            return ONE
        return quotient(self.ratio, self.base) if self.base else None


def timings(outputs: Path) -> tuple[list[Timing], list[str]]:
    """Return every latency at 224 pixels and batch 1, and what could not be read, in sentences."""
    found: list[Timing] = []
    unread: list[str] = []
    for path in sorted(outputs.glob("*/results.csv")):
        try:
            results = load(path.parent)
        except ValueError as error:
            unread.append(f"left out: {error}")
            continue
        found += _of_study(results)
    return found, unread


def by_device(found: Sequence[Timing]) -> dict[str, dict[ModelSpec, Timing]]:
    """Return the newest study's timing of each network on each device.

    One that can be put as a ratio to RepGhostNet 0.5x goes before a newer one that cannot.
    """
    ordered = sorted(found, key=lambda one: (one.started, one.study))
    bases = {(t.device, t.reference): t.ratio for t in ordered if t.spec == ENTRIES[BASE].spec}
    devices: dict[str, dict[ModelSpec, Timing]] = {}
    for one in (replace(one, base=bases.get((one.device, one.reference))) for one in ordered):
        known = devices.setdefault(one.device, {})
        if one.spec not in known or one.to_base or not known[one.spec].to_base:
            known[one.spec] = one
    return dict(sorted(devices.items()))


def chosen_devices(devices: Mapping[str, Any], wanted: str | None) -> list[str]:
    """Return the names of all devices, or of those that hold `wanted`, whatever its case.

    Raises:
        ValueError: none does; all are named.
    """
    names = [name for name in devices if wanted is None or wanted.lower() in name.lower()]
    if not names:
        known = "; ".join(devices) or "none"
        raise ValueError(f"--device {wanted}: was not measured; devices with data: {known}")
    return names


def _of_study(results: Results) -> Iterator[Timing]:
    for row in results.rows:
        if row.protocol != PROTOCOL:
            continue
        spec = spec_of_run(results.runs_dir / row.key / "config.yaml")
        if spec is not None and _fingerprint(results, row) == row.fingerprint:
            yield from _of_run(results, row, spec)


def _of_run(results: Results, row: Row, spec: ModelSpec) -> Iterator[Timing]:
    """Yield the run's timings, on the first device and on the further ones."""
    known = results.provenance
    versions = known.get("versions")
    timed: list[Row | Timed] = [row, *row.further.values()]
    for one in timed:
        ms = _interval(one.latency_ms, one.latency_low, one.latency_high)
        ratio = _interval(one.latency_ratio, one.ratio_low, one.ratio_high)
        if ms is None or ratio is None:
            continue
        yield Timing(
            *(spec, ms, ratio, network_name(row.reference), one.device, results.study),
            started=str(known.get("started") or ""),
            commit=row.commit or str(known.get("commit") or "unknown"),
            mnn=str(versions.get("MNN", "unknown")) if isinstance(versions, dict) else "unknown",
        )


def _interval(value: float | None, low: float | None, high: float | None) -> Interval | None:
    """Return the interval of a positive number, widened where it leaves its value out."""
    if value is None or low is None or high is None or min(low, value) <= 0:
        return None
    return Interval(value, min(low, value), max(high, value))


def _fingerprint(results: Results, row: Row) -> str | None:
    """Return the fingerprint of the run's network at the paper's input, if it was certified."""
    certificate = read_object(results.runs_dir / row.key / "certificate.json")
    deployed = certificate.get("deployed")
    graph = deployed.get(SHAPE) if isinstance(deployed, dict) else None
    return str(graph.get("fingerprint")) if isinstance(graph, dict) else None


def spec_of_run(config: Path) -> ModelSpec | None:
    """Return the network of a run's config.yaml, None if it is of no family known here."""
    try:
        model = yaml.safe_load(config.read_text(encoding="utf-8"))["model"]
        return spec_class(model["family"])(**model)
    except (OSError, yaml.YAMLError, ValueError, TypeError, KeyError):
        return None


def as_printed(spec: ModelSpec) -> ModelSpec:
    """Return the network as the paper prints it: on ImageNet, whatever it starts from."""
    return replace(spec.settled(), num_classes=1000, in_chs=3, weights_digest=None)


def data_of_run(config: Path) -> str:
    """Return the data set of a run: the name or folder that its config gives, or its kind."""
    flat = read_config(config)
    names = (flat.get(f"data.{key}", "null") for key in ("name", "root", "kind"))
    return next((name for name in names if name != "null"), "unknown data")
