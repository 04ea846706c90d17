"""One measurement from start to record: device, protocol and evidence joined."""

import platform
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from repghost.latency.device import Device
from repghost.latency.protocol import Outcome, paired, paper
from repghost.latency.record import DeviceState, Identity, Measurement
from repghost.latency.spec import LatencySpec

THREADS = 1
SEED = 0


def identity_of(fingerprint: str, spec: LatencySpec, device: Device) -> Identity:
    """Return what a measurement made now would be stored under; nothing is measured."""
    return Identity(fingerprint, device.profile, spec.protocol, THREADS, device.mnn_version)


def measure(
    mnn_path: Path,
    reference_path: Path | None,
    fingerprint: str,
    spec: LatencySpec,
    device: Device,
) -> Measurement:
    """Time the network of `mnn_path` on the device by the protocol of `spec`.

    The reference is named by its file's stem; `paper` needs none. While it runs the device is
    entered: the local one pins the calling thread.

    Raises:
        ValueError: a model is missing or cannot be loaded, or `paired` has no reference.
    """
    with device:
        outcome = _outcome(mnn_path, reference_path, spec, device)
        state = device.state() | {"warmed_up": outcome.warmed_up}
    reference = reference_path if spec.protocol == "paired" else None
    return _measurement(identity_of(fingerprint, spec, device), outcome, reference, state)


def _outcome(mnn_path: Path, reference: Path | None, spec: LatencySpec, device: Device) -> Outcome:
    if spec.protocol == "paper":
        return paper(device.load(mnn_path), SEED)
    if reference is None:
        raise ValueError("latency.protocol=paired compares with a reference network: none is given")
    model, other = partial(device.load, mnn_path), partial(device.load, reference)
    return paired(model, other, spec.precision, spec.max_rounds, SEED, spec.max_seconds)


def _measurement(
    identity: Identity, outcome: Outcome, reference: Path | None, state: DeviceState
) -> Measurement:
    latency, ratio = outcome.latency, outcome.ratio
    return Measurement(
        identity=identity,
        latency_ms=latency.value,
        latency_low=latency.low,
        latency_high=latency.high,
        latency_ratio=ratio.value if ratio else None,
        ratio_low=ratio.low if ratio else None,
        ratio_high=ratio.high if ratio else None,
        reference=reference.stem if reference else None,
        reference_ms=outcome.reference_median_ms,
        samples_ms=tuple(outcome.samples_ms.tolist()),
        reference_samples_ms=tuple(outcome.reference_samples_ms.tolist()),
        runs_per_sample=outcome.runs_per_sample,
        settled=outcome.settled,
        ended=outcome.ended,
        device_state=state,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        host=platform.node(),
    )
