"""Whole measurements of real networks through MNN on this machine's CPU."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from repghost.latency.device import open_device
from repghost.latency.measure import identity_of, measure
from repghost.latency.record import Measurement
from repghost.latency.spec import LatencySpec
from repghost.latency.store import Store

PAIRED = LatencySpec(precision=0.03, max_rounds=100)


def measured(model: Path, reference: Path | None, spec: LatencySpec = PAIRED) -> Measurement:
    return measure(model, reference, "some fingerprint", spec, open_device("local"))


def test_a_network_against_itself_has_the_ratio_1(short_mnn: Path) -> None:
    found = measured(short_mnn, short_mnn)
    assert found.latency_ratio is not None
    assert found.ratio_low is not None and found.ratio_high is not None
    width = found.ratio_high - found.ratio_low  # twice the 95 % half-width: 1 in 10,000 misses
    assert abs(found.latency_ratio - 1) <= width


def test_a_network_with_twice_the_layers_is_slower(short_mnn: Path, long_mnn: Path) -> None:
    found = measured(long_mnn, short_mnn)
    assert found.ratio_low is not None and found.latency_ratio is not None
    assert found.ratio_low > 1.3 and found.latency_ratio < 3.0
    assert found.reference_ms is not None and found.latency_low > found.reference_ms


def test_a_measurement_carries_its_evidence(short_mnn: Path, long_mnn: Path) -> None:
    found = measured(long_mnn, short_mnn)
    assert found.n == len(found.samples_ms) == len(found.reference_samples_ms) >= 30
    assert found.latency_low <= found.latency_ms <= found.latency_high
    assert found.reference == short_mnn.stem and found.host
    assert found.ended == ("precision reached" if found.settled else "rounds spent")
    assert {"pinned", "core", "load_average_1min", "warmed_up"} <= found.device_state.keys()
    age = datetime.now(UTC) - datetime.fromisoformat(found.measured_at)
    assert timedelta(seconds=-1) < age < timedelta(minutes=2)


def test_paper_is_100_runs_without_a_reference(short_mnn: Path) -> None:
    found = measured(short_mnn, None, LatencySpec(protocol="paper"))
    assert found.n == 100 and found.ended == "100 runs" and found.runs_per_sample == 1
    assert found.latency_ms == pytest.approx(sum(found.samples_ms) / 100)
    assert (found.latency_ratio, found.reference, found.reference_ms) == (None, None, None)
    assert found.reference_samples_ms == ()


def test_paired_without_a_reference_is_an_error(short_mnn: Path) -> None:
    with pytest.raises(ValueError, match="reference network"):
        measured(short_mnn, None)


def test_a_measurement_is_found_again_by_the_identity_known_before_it(
    short_mnn: Path, tmp_path: Path
) -> None:
    spec, device = LatencySpec(protocol="paper"), open_device("local")
    identity = identity_of("some fingerprint", spec, device)
    store = Store(f"sqlite:///{tmp_path}/latency.db")
    assert store.find(identity) is None
    kept = store.add(measure(short_mnn, None, "some fingerprint", spec, device))
    assert store.find(identity) == kept
    assert identity_of("some fingerprint", LatencySpec(), device) != identity


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_a_measurement_that_fails_gives_the_cores_back(short_mnn: Path, tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(ValueError, match="absent"):
        measured(short_mnn, tmp_path / "absent.mnn")
    assert os.sched_getaffinity(0) == before


def test_nothing_here_imports_torch(make_mnn: Callable[[int], Path]) -> None:
    """A worker beside a device has MNN and SQLAlchemy, not torch: measure in such a process."""
    script = """
import pkgutil, sys
from importlib import import_module
from pathlib import Path
import repghost.latency
for module in pkgutil.iter_modules(repghost.latency.__path__):
    import_module(f"repghost.latency.{module.name}")
from repghost.latency.device import open_device
from repghost.latency.measure import measure
from repghost.latency.spec import LatencySpec
path = Path(sys.argv[1])
measure(path, path, "f", LatencySpec(max_rounds=10), open_device("local"))
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script, make_mnn(2)], check=False).returncode == 0


def test_the_spec_imports_neither_mnn_nor_sqlalchemy_nor_numpy() -> None:
    script = """
import sys, repghost.latency.spec
sys.exit(bool({"MNN", "sqlalchemy", "numpy", "torch"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
