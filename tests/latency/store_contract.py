"""What every database keeps its word on: a test class inherits this and gives the `url`."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from repghost.latency.record import Identity, Measurement
from repghost.latency.store import Store

IDENTITY = Identity("abc123", "local: Some CPU", "paired", 1, "3.6.1", "repghostnet-0.5x")
MEASURED = Measurement(
    identity=IDENTITY,
    latency_ms=1.26 * 0.15,
    latency_low=1.25 * 0.15,
    latency_high=1.27 * 0.15,
    latency_ratio=1.26,
    ratio_low=1.25,
    ratio_high=1.27,
    reference_ms=0.15,
    samples_ms=(0.19, 0.1 + 0.2, 1e-7),
    reference_samples_ms=(0.15, 0.16, 1 / 3),
    runs_per_sample=20,
    samples_per_round=1,
    settled=True,
    ended="precision reached",
    flags=("the machine was busy",),
    device_state={"pinned": True, "core": 1, "governor": None, "load_average_1min": 0.25},
    session="first",
    measured_at="2025-01-01T00:00:00+00:00",
    host="somewhere",
)
PAPER = replace(
    MEASURED,
    identity=replace(IDENTITY, protocol="paper", reference=""),
    latency_ms=0.19123456789012345,
    latency_ratio=None,
    ratio_low=None,
    ratio_high=None,
    reference_ms=None,
    reference_samples_ms=(),
)


ADD_MANY = """
import sys
from dataclasses import replace
from store_contract import IDENTITY, MEASURED
from repghost.latency.store import Store
print("ready", flush=True)
sys.stdin.readline()
store = Store(sys.argv[1])
for i in range(40):
    identity = replace(IDENTITY, fingerprint=f"f{i}")
    store.add(replace(MEASURED, identity=identity, host=sys.argv[2]))
"""


def start_writer(url: str, host: str) -> "subprocess.Popen[str]":
    """Return a process that has said that it is ready and adds 40 measurements when told to."""
    paths = [str(Path(__file__).parent), *filter(None, sys.path)]
    writer = subprocess.Popen(
        [sys.executable, "-c", ADD_MANY, url, host],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    return writer


class StoreContract:
    """Tests of a store at the fixture `url`, the database of which is empty."""

    def test_a_measurement_comes_back_as_it_was_also_from_another_store(self, url: str) -> None:
        Store(url).add(MEASURED)
        assert Store(url).find(IDENTITY) == MEASURED

    def test_a_measurement_without_a_reference_comes_back_as_it_was(self, url: str) -> None:
        store = Store(url)
        assert store.add(PAPER) == PAPER == store.find(PAPER.identity)

    @pytest.mark.parametrize(
        "change",
        [
            {"fingerprint": "other"},
            {"device": "local: Other CPU"},
            {"protocol": "paper"},
            {"threads": 2},
            {"mnn_version": "3.7.0"},
            {"reference": "repghostnet-1.0x"},
            {"numerics": "fp16"},
            {"repeat": 1},
        ],
    )
    def test_a_measurement_of_another_identity_is_not_found(
        self, url: str, change: dict[str, Any]
    ) -> None:
        store = Store(url)
        store.add(MEASURED)
        other = replace(MEASURED, identity=replace(IDENTITY, **change), session="second")
        assert store.find(other.identity) is None
        assert store.add(other) == other and len(store.all()) == 2

    def test_the_first_measurement_of_an_identity_stands(self, url: str) -> None:
        store = Store(url)
        store.add(MEASURED)
        assert store.add(replace(MEASURED, latency_ms=99.0)) == MEASURED
        assert store.all() == [MEASURED]

    def test_latencies_are_on_the_scale_of_the_references_median_over_all_sessions(
        self, url: str
    ) -> None:
        for number, reference_ms in enumerate((0.10, 0.20, 0.16)):
            identity = replace(IDENTITY, fingerprint=f"f{number}")
            session = {"session": f"s{number}", "reference_ms": reference_ms}
            Store(url).add(replace(MEASURED, identity=identity, **session))
        for found in Store(url).all():
            assert found.latency_ms == pytest.approx(1.26 * 0.16)
            assert (found.latency_low, found.latency_high) == pytest.approx(
                (1.25 * 0.16, 1.27 * 0.16)
            )
        assert [found.reference_ms for found in Store(url).all()] == [0.10, 0.20, 0.16]

    def test_two_networks_of_one_session_count_its_reference_once(self, url: str) -> None:
        sessions = (("s0", 0.10), ("s0", 0.10), ("s0", 0.10), ("s1", 0.30), ("s2", 0.20))
        for number, (session, reference_ms) in enumerate(sessions):
            identity = replace(IDENTITY, fingerprint=f"f{number}")
            measured = replace(MEASURED, identity=identity, reference_ms=reference_ms)
            Store(url).add(replace(measured, session=session))
        assert Store(url).all()[0].latency_ms == pytest.approx(1.26 * 0.20)

    def test_another_device_or_reference_has_a_scale_of_its_own(self, url: str) -> None:
        Store(url).add(MEASURED)
        for number, change in enumerate(({"device": "adb: Phone"}, {"reference": "other"})):
            other = replace(MEASURED, identity=replace(IDENTITY, **change), reference_ms=9.0)
            Store(url).add(replace(other, session=f"s{number}"))
        assert Store(url).find(IDENTITY) == MEASURED

    def test_how_far_apart_sessions_stand_is_known_once_three_were_repeats(self, url: str) -> None:
        store, device = Store(url), IDENTITY.device
        for number, ratio in enumerate((1.00, 1.02, 0.98)):
            assert store.spread(device) is None
            identity = replace(IDENTITY, repeat=number)
            store.add(
                replace(MEASURED, identity=identity, latency_ratio=ratio, session=f"{number}")
            )
        store.add(replace(MEASURED, identity=replace(IDENTITY, fingerprint="once"), session="3"))
        store.add(PAPER)
        spread = store.spread(device)
        assert spread is not None and (spread.sessions, spread.graphs) == (3, 1)
        assert spread.half_width == pytest.approx(4.3 * 0.02, rel=0.05)
        assert store.spread("adb: Phone") is None

    def test_all_are_returned_oldest_first(self, url: str) -> None:
        store = Store(url)
        names = ["b", "c", "a"]
        for name in names:
            store.add(replace(MEASURED, identity=replace(IDENTITY, fingerprint=name)))
        assert [measured.identity.fingerprint for measured in store.all()] == names

    def test_all_measurements_of_some_graphs_are_found_however_many_graphs(self, url: str) -> None:
        store = Store(url)
        for measured in (MEASURED, PAPER):
            store.add(measured)
        store.add(replace(MEASURED, identity=replace(IDENTITY, fingerprint="other")))
        asked = [IDENTITY.fingerprint, *(f"f{i}" for i in range(2000))]
        found = store.of(asked)
        assert sorted(m.identity.protocol for m in found) == ["paired", "paper"]
        assert all(m in (MEASURED, PAPER) for m in found)

    def test_stores_opened_at_once_in_an_empty_database_all_work(self, url: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            stores = list(pool.map(Store, [url] * 8))
        stores[0].add(MEASURED)
        assert all(store.find(IDENTITY) == MEASURED for store in stores)

    def test_two_processes_that_add_at_once_keep_each_identity_once(self, url: str) -> None:
        writers = [start_writer(url, host) for host in ("first", "second")]
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        for writer in writers:
            writer.communicate(timeout=60)
        assert [writer.returncode for writer in writers] == [0, 0]
        kept = Store(url).all()
        assert sorted(m.identity.fingerprint for m in kept) == sorted(f"f{i}" for i in range(40))
        assert {measured.host for measured in kept} <= {"first", "second"}
