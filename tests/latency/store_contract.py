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

IDENTITY = Identity("abc123", "local: Some CPU", "paired", 1, "3.6.1")
MEASURED = Measurement(
    identity=IDENTITY,
    latency_ms=0.19123456789012345,
    latency_low=0.18,
    latency_high=0.2,
    latency_ratio=1.26,
    ratio_low=1.25,
    ratio_high=1.27,
    reference="repghostnet_050",
    reference_ms=0.15,
    samples_ms=(0.19, 0.1 + 0.2, 1e-7),
    reference_samples_ms=(0.15, 0.16, 1 / 3),
    runs_per_sample=20,
    settled=True,
    ended="precision reached",
    device_state={"pinned": True, "core": 1, "governor": None, "load_average_1min": 0.25},
    measured_at="2025-01-01T00:00:00+00:00",
    host="somewhere",
)
PAPER = replace(
    MEASURED,
    identity=replace(IDENTITY, protocol="paper"),
    latency_ratio=None,
    ratio_low=None,
    ratio_high=None,
    reference=None,
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
        ],
    )
    def test_a_measurement_of_another_identity_is_not_found(
        self, url: str, change: dict[str, Any]
    ) -> None:
        store = Store(url)
        store.add(MEASURED)
        other = replace(MEASURED, identity=replace(IDENTITY, **change))
        assert store.find(other.identity) is None
        assert store.add(other) == other and len(store.all()) == 2

    def test_the_first_measurement_of_an_identity_stands(self, url: str) -> None:
        store = Store(url)
        store.add(MEASURED)
        assert store.add(replace(MEASURED, latency_ms=99.0)) == MEASURED
        assert store.all() == [MEASURED]

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
