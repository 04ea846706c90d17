import math

import pytest
import studies

from analysis.paper.latency import latency_sheets
from analysis.paper.measured import by_device, timings

SMALL, LARGE = "repghostnet-0.5x", "repghostnet-1.0x"
AGAINST_LARGE = {"reference": f"{LARGE}-1x3x224x224-1000"}


def sheets(outputs, device=None):
    return {sheet.title.partition(":")[0]: sheet for sheet in latency_sheets(outputs, device)}


def rows_of(sheet):
    return {row[0]: row[1:] for row in sheet.rows}


def notes(sheet):
    return " ".join(sheet.notes)


def test_a_ratio_to_another_network_is_divided_by_that_of_repghostnet_05x(tmp_path):
    studies.write_timings(tmp_path, {"ghostnet-0.5x": 0.63, SMALL: 0.5}, **AGAINST_LARGE)
    table = sheets(tmp_path)["Table 3"]
    width = math.hypot(math.log(1 / 0.995), math.log(1.005))
    low, high = 1.26 * math.exp(-width), 1.26 * math.exp(width)
    assert rows_of(table)["GhostNet 0.5x"][1] == f"1.260 [{low:.3f}, {high:.3f}]"
    assert rows_of(table)["RepGhostNet 0.5x"][1] == "1.000 [1.000, 1.000]"
    assert "paired with repghostnet-1.0x (divided by RepGhostNet 0.5x's ratio to it" in notes(table)


def test_a_reference_with_its_input_shape_is_the_network_of_that_name(tmp_path):
    full = f"{SMALL}-1x3x224x224-1000"
    studies.write_timings(tmp_path, {"ghostnet-0.5x": 1.2}, reference=full)
    table = sheets(tmp_path)["Table 3"]
    assert rows_of(table)["GhostNet 0.5x"][1] == "1.200 [1.194, 1.206]"
    assert "paired with RepGhostNet 0.5x in interleaved rounds" in notes(table)


@pytest.mark.parametrize("base", [{}, {"device": "phone"}, {"reference": "other"}], ids=str)
def test_without_repghostnet_05x_on_the_same_terms_it_is_said_what_is_missing(tmp_path, base):
    studies.write_timings(tmp_path, {"ghostnet-0.5x": 0.63}, **AGAINST_LARGE)
    if base:
        studies.write_timings(tmp_path, {SMALL: 0.5}, "base", **(AGAINST_LARGE | base))
    table = sheets(tmp_path, "local")["Table 3"]
    assert "GhostNet 0.5x" not in rows_of(table)
    assert (
        "left out: GhostNet 0.5x: paired with repghostnet-1.0x, with which RepGhostNet 0.5x was"
        " not paired on this device; time that too, or these with: python launch.py -m"
        " +sweeps=table3 data=imagenet recipe=none latency.reference=repghostnet-0.5x"
    ) in notes(table)
    assert "not measured: GhostNet 0.5x" not in notes(table)


def test_a_claim_needs_no_other_network_where_one_is_the_reference_itself(tmp_path):
    studies.write_timings(tmp_path, {"ghostnet-1.0x": 1.2}, **AGAINST_LARGE)
    claims = rows_of(sheets(tmp_path)["What the paper's text claims"])
    assert claims == {
        "GhostNet 1.0x / RepGhostNet 1.0x": ("1.200 [1.194, 1.206]", "1.198", "paper ± 5 %", "yes")
    }


def test_a_common_reference_cancels_out_of_a_claim(tmp_path):
    names = {"repghostnet-2.0x": 2.02, "repghostnet-2.0x-no-shortcut": 2.0, SMALL: 0.5}
    studies.write_timings(tmp_path, names, **AGAINST_LARGE)
    claims = rows_of(sheets(tmp_path)["What the paper's text claims"])
    # two intervals of 0.5 % and not four: that of RepGhostNet 0.5x is in neither
    shown = claims["RepGhostNet 2.0x / RepGhostNet 2.0x (no shortcut)"][0]
    assert shown == "1.010 [1.003, 1.017]"


def test_claims_across_two_references_go_through_repghostnet_05x(tmp_path):
    studies.write_timings(tmp_path, {"repghostnet-1.0x": 2.0}, "a")
    large = {"ghostnet-1.0x": 2.4, SMALL: 1.0}
    studies.write_timings(tmp_path, large, "b", reference="another")
    claims = rows_of(sheets(tmp_path)["What the paper's text claims"])
    assert claims["GhostNet 1.0x / RepGhostNet 1.0x"][0].startswith("1.200 [1.1")


def test_a_newer_ratio_that_cannot_be_converted_does_not_hide_an_older_one(tmp_path):
    old = studies.write_timings(tmp_path, {"ghostnet-0.5x": 1.2}, "old")
    new = studies.write_timings(tmp_path, {"ghostnet-0.5x": 0.63}, "new", **AGAINST_LARGE)
    studies.write_provenance(old, started="2026-11-01T00:00:00")
    studies.write_provenance(new, started="2026-11-02T00:00:00")
    (found,) = by_device(timings(tmp_path)[0]).values()
    assert [one.study for one in found.values()] == ["old"]
    base = studies.write_timings(tmp_path, {SMALL: 0.5}, "base", **AGAINST_LARGE)
    studies.write_provenance(base, started="2026-11-03T00:00:00")
    (found,) = by_device(timings(tmp_path)[0]).values()
    assert sorted(one.study for one in found.values()) == ["base", "new"]


def test_what_a_sweep_recorded_on_a_further_device_has_its_own_tables(tmp_path):
    phone = studies.there("pixel", 1.3)
    studies.write_timings(tmp_path, {"ghostnet-0.5x": 1.2}, **phone)
    found = by_device(timings(tmp_path)[0])
    assert sorted(found) == [studies.PHONE, "local"]
    table = sheets(tmp_path, "pixel 8")["Table 3"]
    shown = rows_of(table)["GhostNet 0.5x"]
    assert shown[:2] == ("13.00 [12.94, 13.06]", "1.300 [1.294, 1.306]")
