"""What is claimed is timed on this machine's CPU through MNN and kept."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from repghost.interrupt import Interrupted
from repghost.latency.bench import Bench, patiently
from repghost.latency.devices.contract import DeviceError
from repghost.latency.devices.local import LocalDevice
from repghost.latency.devices.spec import LocalSpec
from repghost.latency.here import serve_until_done
from repghost.latency.queue.database import StoreError
from repghost.latency.queue.process import Process
from repghost.latency.queue.requests import Request, Requests
from repghost.latency.record import Budget, Identity, Measurement
from repghost.latency.store import Store

BUDGET = Budget(0.03, 60, 20.0)
QUIET = LocalSpec(wait_s=0.0)


class Desk:
    """This machine's CPU, a database in a folder, and a bench between them."""

    def __init__(self, folder: Path, reference: Path) -> None:
        self.store = Store(f"sqlite:///{folder}/latency.db")
        self.requests = Requests(self.store.database)
        self.device, self.said = LocalDevice(QUIET), list[str]()
        self.folder, self.reference = folder, reference.read_bytes()

    def ask(self, model: Path | bytes, name: str = "a", protocol: str = "paired") -> Identity:
        where = (self.device.profile, protocol, 1, self.device.mnn_version)
        identity = Identity(name, *where, "chain" if protocol == "paired" else "")
        content = model if isinstance(model, bytes) else model.read_bytes()
        reference = self.reference if protocol == "paired" else None
        self.requests.add(Request(identity, "local", f"network {name}", BUDGET, content, reference))
        return identity

    def bench(self, **more: Callable[[], None]) -> Bench:
        return Bench(self.device, self.requests, self.folder, say=self.said.append, **more)

    def claim(self) -> list:
        return self.requests.claim(
            self.device.profile, self.device.mnn_version, Process("elsewhere", 7), 8
        )

    def measure(self, *words: object) -> Measurement:
        identity = self.ask(*words)
        assert self.bench().serve(self.claim()) == 1, self.said
        found = self.store.find(identity)
        assert found is not None
        return found


@pytest.fixture
def desk(tmp_path: Path, short_mnn: Path) -> Desk:
    return Desk(tmp_path, short_mnn)


def test_a_network_with_twice_the_layers_is_slower(desk: Desk, long_mnn: Path) -> None:
    found = desk.measure(long_mnn)
    assert found.ratio_low is not None and found.latency_ratio is not None
    assert found.ratio_low > 1.3 and found.latency_ratio < 3.0
    assert found.reference_ms is not None and found.latency_low > found.reference_ms


def test_a_measurement_carries_its_evidence(desk: Desk, long_mnn: Path) -> None:
    found = desk.measure(long_mnn)
    assert found.n == len(found.samples_ms) == len(found.reference_samples_ms)
    assert found.n % found.samples_per_round == 0 and found.n >= 40
    assert found.latency_low <= found.latency_ms <= found.latency_high
    assert found.reference == "chain" and found.host and found.session
    assert found.ended == ("precision reached" if found.settled else "rounds spent")
    assert {"pinned", "core", "load_average_1min", "warmed_up"} <= found.device_state.keys()
    age = datetime.now(UTC) - datetime.fromisoformat(found.measured_at)
    assert timedelta(seconds=-1) < age < timedelta(minutes=2)


def test_paper_is_100_runs_without_a_reference(desk: Desk, short_mnn: Path) -> None:
    found = desk.measure(short_mnn, "a", "paper")
    assert found.n == 100 and found.ended == "100 runs" and found.runs_per_sample == 1
    assert found.latency_ms == pytest.approx(sum(found.samples_ms) / 100)
    assert (found.latency_ratio, found.reference, found.reference_ms) == (None, None, None)
    assert found.reference_samples_ms == ()


def test_networks_that_wait_together_share_a_session_and_one_that_is_broken_is_left_out(
    desk: Desk, short_mnn: Path, long_mnn: Path
) -> None:
    short, broken = desk.ask(short_mnn, "short"), desk.ask(b"this is no network" * 40, "broken")
    long = desk.ask(long_mnn, "long")
    assert desk.bench().serve(desk.claim()) == 2
    one, other = desk.store.find(short), desk.store.find(long)
    assert one and other and one.session == other.session
    assert one.latency_ms < other.latency_ms
    (standing,) = desk.requests.waiting()
    assert standing.identity == broken and standing.attempts == 1
    assert standing.why.startswith("network broken: MNN cannot load this model; it said: ")
    assert len(standing.why) < 260 and "\n" not in standing.why


def test_who_is_told_to_end_gives_back_what_is_not_measured(desk: Desk, short_mnn: Path) -> None:
    desk.ask(short_mnn)
    asked = 0

    def told_after_some_samples() -> None:
        nonlocal asked
        asked += 1
        if asked > 20:
            raise Interrupted("told to end by SIGTERM")

    with pytest.raises(Interrupted):
        desk.bench(check=told_after_some_samples).serve(desk.claim())
    assert asked == 21, "it ends after the sample at hand"
    (standing,) = desk.requests.waiting()
    assert (standing.state, standing.attempts, standing.losses) == ("requested", 0, 0)


def test_a_device_that_is_not_fit_gives_everything_back_and_says_why(
    desk: Desk, short_mnn: Path, long_mnn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, model in (("a", short_mnn), ("b", long_mnn)):
        desk.ask(model, name)

    def hot(_sleep: object) -> list[str]:
        raise DeviceError("the battery has 45 °C")

    monkeypatch.setattr(desk.device, "ready", hot)
    with pytest.raises(DeviceError):
        desk.bench().serve(desk.claim())
    for standing in desk.requests.waiting():
        assert (standing.state, standing.attempts) == ("requested", 0)
        assert standing.why == "local: the battery has 45 °C"


def test_a_lease_is_renewed_for_as_long_as_it_takes(desk: Desk, long_mnn: Path) -> None:
    desk.requests = Requests(desk.store.database, lease_s=2.0)  # ends a few times while it is timed
    identity = desk.ask(long_mnn)
    claims = desk.claim()
    taken = []

    def rob() -> None:
        taken.extend(desk.claim())

    assert desk.bench(check=rob).serve(claims) == 1
    assert not taken and desk.store.find(identity)


def test_the_result_of_one_who_lost_the_lease_is_dropped_and_said(
    desk: Desk, short_mnn: Path
) -> None:
    identity = desk.ask(short_mnn, "a", "paper")
    (claim,) = desk.claim()
    assert desk.bench().serve([replace(claim, token="lost")]) == 0
    assert desk.store.find(identity) is None
    assert "its lease was lost" in desk.said[-1]


def test_a_driver_serves_what_it_waits_for(desk: Desk, short_mnn: Path, long_mnn: Path) -> None:
    wanted, other = desk.ask(short_mnn, "a", "paper"), desk.ask(long_mnn, "b", "paper")
    how = {"say": desk.said.append, "check": lambda: None}
    serve_until_done(wanted, desk.store, desk.device, desk.folder, **how)
    assert desk.store.find(wanted) and desk.store.find(other), "both waited together"
    serve_until_done(wanted, desk.store, desk.device, desk.folder, **how)
    broken = desk.ask(b"no network", "c", "paper")
    with pytest.raises(ValueError, match=r"latency on local: .*cannot load"):
        serve_until_done(broken, desk.store, desk.device, desk.folder, **how)
    with pytest.raises(ValueError, match="its request is gone"):
        serve_until_done(replace(wanted, repeat=9), desk.store, desk.device, desk.folder, **how)


def test_a_database_that_is_away_is_waited_for_and_one_that_is_broken_is_not() -> None:
    tries, said = [], list[str]()

    def work() -> str:
        tries.append(1)
        error = StoreError("storage.url=...: connection refused")
        error.away = len(tries) < 4
        if len(tries) < 4 or len(tries) > 5:
            raise error
        return "done"

    assert patiently(work, said.append, lambda seconds: None) == "done"
    assert said == ["storage.url=...: connection refused; trying again"]
    tries.extend([1] * 5)
    with pytest.raises(StoreError):
        patiently(work, said.append, lambda seconds: None)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_a_measurement_that_fails_gives_the_cores_back(desk: Desk) -> None:
    before = os.sched_getaffinity(0)
    desk.ask(b"no network")
    assert desk.bench().serve(desk.claim()) == 0
    assert os.sched_getaffinity(0) == before


def test_a_worker_needs_none_of_the_packages_that_compose_train_and_report(tmp_path: Path) -> None:
    """Import all that a worker may need, but the GPU's, and look at what came with it."""
    script = """
import pkgutil, sys
from importlib import import_module
import repghost.latency
gpu = {"repghost.latency.devices.cuda"}
for module in pkgutil.walk_packages(repghost.latency.__path__, "repghost.latency."):
    if not module.name.endswith("__main__") and module.name not in gpu:
        import_module(module.name)
heavy = {"torch", "timm", "hydra", "omegaconf", "optuna", "wandb", "onnx", "sklearn", "submitit"}
print(*sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_the_spec_imports_neither_mnn_nor_sqlalchemy_nor_numpy() -> None:
    script = """
import sys, repghost.latency.spec
sys.exit(bool({"MNN", "sqlalchemy", "numpy", "torch"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
