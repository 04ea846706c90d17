"""The report's operator profiles: which networks have one, and what their bars say."""

import numpy as np
import pytest
import studies
from test_operators import GHOST, REP, made

from analysis.material import gather
from analysis.results import load
from analysis.views.operators import MOST_ROWS, operators_figure
from repghost.latency.profile import write_profiles

SLOW, FAST, TWIN = "5104", "fa57", "beef"


@pytest.fixture
def rows():
    """Four variants: slow and fast, the faster on the front, and two that share a graph."""
    times = {"slow": (9.0, 97.0, SLOW), "fast": (1.0, 98.0, FAST)}
    times |= {"one": (5.0, 96.0, TWIN), "two": (5.0, 95.0, TWIN)}
    return [
        studies.run(variant=name, key=name, latency_ms=ms, latency_low=ms, latency_high=ms)
        | {"top1": top1, "fingerprint": graph, "latency_ratio": ms}
        for name, (ms, top1, graph) in times.items()
    ]


def figure(outputs, rows, profiles):
    """Return the figure of a study with these profiles, by name of the file."""
    folder = studies.write_study(outputs, rows, swept="variant")
    (outputs / "profiles").mkdir(exist_ok=True)
    for name, pair in profiles.items():
        write_profiles(outputs / "profiles" / f"{name}.json", pair)
    return operators_figure(gather(load(folder)))


def test_a_choice_is_a_graph_that_was_profiled_those_on_the_front_first(tmp_path, rows):
    both = {f"{SLOW}-x": [made("slow", GHOST)], f"{FAST}-x": [made("fast", REP)]}
    found = figure(tmp_path, rows, both)
    assert [choice["name"] for choice in found["choices"]] == ["fast", "slow"]
    assert found["data"] == found["choices"][0]["data"]


def test_variants_of_one_graph_share_their_choice(tmp_path, rows):
    found = figure(tmp_path, rows, {f"{TWIN}-x": [made("one", GHOST)]})
    assert [choice["name"] for choice in found["choices"]] == ["one and 1 more of its graph"]


def test_bars_are_the_medians_with_their_intervals_the_slowest_first(tmp_path, rows):
    profile = made("fast", GHOST, rounds=200, noise=0.1)
    found = figure(tmp_path, rows, {f"{FAST}-x": [profile]})
    (bars,) = found["data"]
    assert bars["y"][0] == "Convolution" and set(bars["y"]) == set(GHOST)
    kinds = list(GHOST)
    for n, name in enumerate(bars["y"]):
        column = profile.samples_ms[:, kinds.index(name)]
        assert bars["x"][n] == pytest.approx(np.median(column), abs=1e-4)
        low = bars["x"][n] - bars["error_x"]["arrayminus"][n]
        high = bars["x"][n] + bars["error_x"]["array"][n]
        assert column.min() < low < bars["x"][n] < high < column.max()
    share = float(bars["text"][0].removeprefix("1 x, ").removesuffix(" %"))
    assert share == pytest.approx(60, abs=2)


def test_what_it_was_compared_with_stands_beside_it_kind_by_kind(tmp_path, rows):
    found = figure(tmp_path, rows, {f"{FAST}-x": [made("fast", REP), made("ghost", GHOST)]})
    ours, others = found["data"]
    assert ours["y"] == others["y"] and ours["marker"] != others["marker"]
    assert dict(zip(ours["y"], ours["x"], strict=True)) == REP | {"Raster concat": 0}
    assert dict(zip(others["y"], others["x"], strict=True)) == GHOST
    assert "ghost, 10.000 ms" in others["name"]


def test_the_kinds_beyond_the_drawn_ones_are_one_bar(tmp_path, rows):
    times = {f"Kind{n}": 20.0 - n for n in range(MOST_ROWS + 3)}
    (bars,) = figure(tmp_path, rows, {f"{FAST}-x": [made("fast", times)]})["data"]
    assert len(bars["y"]) == MOST_ROWS and bars["y"][-1] == "others"
    assert bars["x"][-1] == pytest.approx(sum(sorted(times.values())[:4]))
    assert bars["text"][-1].startswith("4 x, ")


def test_the_newest_profile_of_a_graph_counts_and_a_torn_one_is_none(tmp_path, rows):
    profiles = tmp_path / "profiles"
    old = {f"{FAST}-a": [made("fast", {"Old": 1.0})], f"{SLOW}-a": [made("slow", GHOST)]}
    figure(tmp_path, rows, old)
    write_profiles(profiles / f"{FAST}-b.json", [made("fast", {"New": 1.0})])
    (profiles / f"{SLOW}-a.json").write_text("{torn")
    found = figure(tmp_path, rows, {})
    assert [choice["name"] for choice in found["choices"]] == ["fast"]
    assert found["data"][0]["y"] == ["New"]


def test_without_profiles_there_is_nothing_to_draw(tmp_path, rows):
    found = figure(tmp_path, rows, {"0000-x": [made("of another study", GHOST)]})
    assert (found["data"], found["choices"]) == ([], [])


def test_names_of_networks_are_no_markup(tmp_path, rows):
    (bars,) = figure(tmp_path, rows, {f"{FAST}-x": [made("<b>bad</b>", REP)]})["data"]
    assert "<b>bad" not in bars["name"] + bars["hovertemplate"]
    assert "&lt;b&gt;bad&lt;/b&gt;" in bars["name"]
