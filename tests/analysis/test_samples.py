"""The rounds behind a study's latencies: which measurement is theirs, and what is kept of it."""

import math
from dataclasses import replace

import pytest
import studies

from analysis import samples
from analysis.results import load
from analysis.samples import read_rounds
from repghost.latency.record import Identity, Measurement
from repghost.latency.store import Store

GRAPH = "f1ab" * 10
IDENTITY = Identity(GRAPH, "local", "paired", 1, "3.6.1", "repghostnet-0.5x")


def measured(network, beside=(), ratio=1.0, visits=1, **identity):
    """Return a measurement with these samples in ms; without a ratio as `paper` takes one."""
    bounds = dict.fromkeys(("latency_ratio", "ratio_low", "ratio_high"), ratio)
    return Measurement(
        identity=replace(IDENTITY, **identity),
        **dict.fromkeys(("latency_ms", "latency_low", "latency_high"), 1.234),
        **bounds,
        reference_ms=None if ratio is None else 1.234,
        samples_ms=tuple(map(float, network)),
        reference_samples_ms=tuple(map(float, beside)),
        runs_per_sample=1,
        samples_per_round=visits,
        settled=True,
        ended="precision reached",
        flags=(),
        device_state={},
        session=f"beside {identity.get('reference', 'the first')}",
        measured_at="2026-11-22T11:32:07+00:00",
        host="here",
    )


def study(outputs, *measurements, **columns):
    """Write a study of one row, and these measurements to the database beside it."""
    store = Store(f"sqlite:///{outputs}/latency.db")
    for one in measurements:
        store.add(one)
    return load(studies.write_study(outputs, [studies.run(**columns)]))


def test_a_round_is_the_median_of_its_visits_and_a_torn_round_is_none(tmp_path):
    one = measured([1, 3, 2, 8, 5, 7, 9], [2, 2, 4, 6, 1, 5, 9], visits=2)
    found, problem = read_rounds(study(tmp_path, one))
    rounds = found[GRAPH]
    assert problem == ""
    assert rounds.numbers == (1, 2, 3) and rounds.total == 3
    assert rounds.network == (2, 5, 6) and rounds.reference == (2, 5, 3)
    assert rounds.ratios == [1, 1, 2]
    assert rounds.settled and rounds.ended == "precision reached"


def test_rounds_beyond_the_budget_are_thinned_evenly_from_first_to_last(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "ROUNDS_KEPT", 50)
    found, _ = read_rounds(study(tmp_path, measured(range(1, 1001), range(1001, 2001))))
    rounds = found[GRAPH]
    assert rounds.total == 1000 and len(rounds.numbers) == 50
    assert (rounds.numbers[0], rounds.numbers[-1]) == (1, 1000)
    gaps = {b - a for a, b in zip(rounds.numbers, rounds.numbers[1:], strict=False)}
    assert max(gaps) - min(gaps) <= 1
    assert rounds.network == tuple(map(float, rounds.numbers)), "a round keeps its own time"
    assert rounds.reference == tuple(1000.0 + n for n in rounds.numbers)


def test_graphs_share_the_budget_but_each_keeps_its_least(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "ROUNDS_KEPT", 50)
    store = Store(f"sqlite:///{tmp_path}/latency.db")
    rows = [studies.run(fingerprint=name, key=name) for name in "abc"]
    for name in "abc":
        store.add(measured(range(500), range(500), fingerprint=name))
    found, _ = read_rounds(load(studies.write_study(tmp_path, rows)))
    assert {len(one.numbers) for one in found.values()} == {samples.ROUNDS_OF_A_GRAPH[0]}
    assert len(found) == 3


def test_without_a_reference_there_are_no_ratios(tmp_path):
    one = measured([1, 2, 3], ratio=None, protocol="paper", reference="")
    columns = {"latency_ratio": "", "reference": "", "protocol": "paper"}
    found, _ = read_rounds(study(tmp_path, one, **columns))
    assert found[GRAPH].network == (1, 2, 3)
    assert found[GRAPH].reference == () and found[GRAPH].ratios == []


def test_a_reference_of_no_time_gives_no_number_instead_of_an_error(tmp_path):
    found, _ = read_rounds(study(tmp_path, measured([1, 2], [0, 4])))
    first, second = found[GRAPH].ratios
    assert math.isnan(first) and second == 0.5


OTHERS = {
    "another device": measured([9], [9], device="local: another"),
    "another repeat": measured([9], [9], ratio=1.02, repeat=1),
    "another reference": measured([9], [9], reference="repghostnet-1.0x"),
    "another protocol": measured([9], ratio=None, protocol="paper", reference=""),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("first", [True, False])
def test_the_measurement_is_the_one_whose_number_the_table_holds(tmp_path, other, first):
    mine = measured([1, 2], [2, 2])
    pair = (mine, other) if first else (other, mine)
    found, _ = read_rounds(study(tmp_path, *pair))
    assert found[GRAPH].network == (1, 2)


def test_a_measurement_of_another_study_alone_is_said_and_not_shown(tmp_path):
    found, problem = read_rounds(study(tmp_path, measured([9], [9], ratio=1.02)))
    assert found == {}
    assert "latency.db does not hold the measurements of this study" in problem


def test_nothing_measured_yet_is_said(tmp_path):
    rows = [studies.failed("no memory"), studies.run(fingerprint="")]
    assert read_rounds(load(studies.write_study(tmp_path, rows))) == (
        {},
        "nothing was measured yet",
    )


@pytest.mark.parametrize("storage", [None, "no url", "sqlite:////nowhere/latency.db", "sqlite://"])
def test_a_missing_database_is_named_and_not_made(tmp_path, storage):
    folder = studies.write_study(tmp_path, [studies.run()])
    studies.write_provenance(folder, storage=storage)
    before = sorted(tmp_path.rglob("*"))
    found, problem = read_rounds(load(folder))
    assert found == {} and "no database of measurements" in problem
    assert sorted(tmp_path.rglob("*")) == before


def test_a_database_that_is_none_is_said(tmp_path):
    folder = studies.write_study(tmp_path, [studies.run()])
    (tmp_path / "latency.db").write_text("no database at all, but some text" * 40)
    found, problem = read_rounds(load(folder))
    assert found == {} and "latency.db" in problem


def test_a_study_that_was_moved_is_found_by_its_provenance(tmp_path):
    store = tmp_path / "elsewhere.db"
    Store(f"sqlite:///{store}").add(measured([1, 2], [2, 2]))
    folder = studies.write_study(tmp_path / "moved", [studies.run()])
    studies.write_provenance(folder, storage=f"sqlite:///{store}")
    found, _ = read_rounds(load(folder))
    assert found[GRAPH].network == (1, 2)
