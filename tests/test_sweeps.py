"""Every file of sweeps/: it opens as a plan, composes, and holds the networks of the paper."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from repghost.detection.spec import DETECTORS
from repghost.models.paper import ENTRIES
from repghost.sweep.space.compose import Composer
from repghost.sweep.space.points import Point, parse_grid, study_name

ROOT = Path(__file__).parents[1]
SWEEPS = sorted(path.stem for path in (ROOT / "sweeps").glob("*.yaml"))


def plan(sweep: str, *words: str):
    """Return the grid of a sweep file, and its points composed as the sweeper composes them."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        master = compose("config", [f"+sweeps={sweep}"], return_hydra_config=True)
        sweeper = master.hydra.sweeper
        parser = OverridesParser.create()
        planned = parser.parse_overrides([f"{key}={text}" for key, text in sweeper.params.items()])
        given = parser.parse_overrides([f"+sweeps={sweep}", *words])
        grid = parse_grid(given, planned, dict(sweeper.variants.items()), sweeper.exclude)
        return grid, grid.points(Composer(lambda overrides: compose("config", overrides)))


def points(sweep: str, *words: str) -> list[Point]:
    return plan(sweep, *words)[1]


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_opens_with_question_cost_command_and_source(sweep):
    head = (ROOT / "sweeps" / f"{sweep}.yaml").read_text().splitlines()
    comment = "\n".join(line for line in head if line.startswith("#"))
    assert head[0] == "# @package _global_" and head[1].startswith("# Question: ")
    assert re.search(r"\d+ \w+ x 1 seed|8 networks", comment)
    assert re.search(rf"python launch\.py -m \+sweeps={sweep}$", comment, re.M)
    assert "about" in comment and "Source: arXiv:2211.06088" in comment


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_composes_to_different_variants_as_it_stands_and_on_imagenet(sweep):
    on_paper = ["data=coco" if sweep == "table4" else "data=imagenet", "recipe=none"]
    as_it_stands = ["recipe=none"] if sweep == "table4" else []  # coco_tiny is made, not bundled
    for words in (as_it_stands, on_paper):
        composed = points(sweep, *words)
        networks = {(p.settings.variant.key, p.settings.timed_shape) for p in composed}
        assert len(networks) == len(composed) > 3
        assert all(point.settings.timed_shape[-1] in (32, 224, 320) for point in composed)


@pytest.mark.parametrize("sweep", ["table3", "table5", "figure1"])
def test_the_networks_of_a_table_are_the_papers(sweep):
    place = {"table3": "Table 3", "table5": "Table 5", "figure1": "Table 3"}[sweep]
    found = {
        p.swept["variant"]: p.settings.model for p in points(sweep, "data=imagenet", "recipe=none")
    }
    expected = {name: entry.spec for name, entry in ENTRIES.items() if entry.place == place}
    if sweep == "figure1":  # the paper has no latency of ShuffleNetV2
        expected = {name: spec for name, spec in expected.items() if "shuffle" not in name}
    assert found == expected


def test_table_4_holds_five_backbones_under_each_of_two_detectors():
    found = [point.settings for point in points("table4", "data=coco", "recipe=none")]
    backbones = {kind: {s.model for s in found if s.task.kind == kind} for kind in DETECTORS}
    assert len(found) == 10 and backbones["retinanet"] == backbones["maskrcnn"]
    widths = {(model.family, model.width) for model in backbones["retinanet"]}
    assert widths == {
        *(("mobilenetv2", 1.0), ("mobilenetv3", 1.0), ("ghostnet", 1.1)),
        *(("repghostnet", 1.3), ("repghostnet", 1.5)),
    }


def test_table_7_holds_shortcuts_on_and_off_at_four_widths():
    specs = {p.settings.model for p in points("table7", "data=imagenet", "recipe=none")}
    assert {entry.spec for entry in ENTRIES.values() if entry.place == "Table 7"} < specs
    assert len(specs) == 8


def test_table_1_times_both_operators_at_every_batch_size_of_the_paper():
    shapes = {(p.settings.model.reuse, p.settings.timed_shape[0]) for p in points("table1")}
    assert shapes == {(reuse, batch) for reuse in ("concat", "add") for batch in (1, 2, 8, 32)}
    assert all(
        p.settings.latency.profile and not p.settings.recipe.trains for p in points("table1")
    )


def test_the_command_line_replaces_and_adds_to_what_a_file_sweeps():
    assert {p.settings.model.width for p in points("table7", "model.width=0.5")} == {0.5}
    assert len(points("table6", "seed=0,1,2")) == 21
    assert {p.settings.model.width for p in points("table6", "model.width=1.0")} == {1.0}


def test_a_study_is_named_after_its_file_and_what_else_decides_its_runs():
    assert study_name(plan("table6")[0]) == "table6"
    assert study_name(plan("table6", "seed=0,1")[0]) == "table6"
    words = ("data=imagenet", "recipe=none")
    assert study_name(plan("table3", *words)[0]) == "table3_data=imagenet_recipe=none"
