"""Runs' config.yaml files: read flat, compared, and what all of them share."""

import pytest
import studies
import yaml

from analysis.configs import NOT_SET, baseline, common, differences, read_config, read_configs
from analysis.results import load


def test_a_config_is_flat_and_spelled_as_on_the_command_line(tmp_path):
    tree = {
        "model": {"width": 0.5, "shortcut": True, "weights": None, "extra": {}},
        "latency": {"devices": ["local", "pixel"]},
        "seed": 0,
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    assert read_config(path) == {
        "model.width": "0.5",
        "model.shortcut": "true",
        "model.weights": "null",
        "model.extra": "{}",
        "latency.devices": "['local', 'pixel']",
        "seed": "0",
    }


@pytest.mark.parametrize("content", [b"", b"- a list\n", b"a: [1", b"\xff\xfe\x00", b"just words"])
def test_a_file_that_is_no_config_is_none(tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    assert read_config(path) == {}


def test_a_run_without_a_file_has_no_config(tmp_path):
    folder = studies.write_study(tmp_path, [studies.run(key="a"), studies.run(key="b", seed=1)])
    place = tmp_path / "runs" / "b"
    place.mkdir(parents=True)
    (place / "config.yaml").write_text("seed: 1\n")
    assert read_configs(load(folder)) == {"b": {"seed": "1"}}


def test_differences_name_what_either_has_alone_in_the_order_of_the_files():
    base = {"model.width": "0.5", "gone": "1", "same": "x"}
    here = {"same": "x", "new": "2", "model.width": "1.0"}
    assert differences(here, base) == [
        ("model.width", "0.5", "1.0"),
        ("gone", "1", NOT_SET),
        ("new", NOT_SET, "2"),
    ]
    assert differences(base, base) == []


def test_common_is_what_every_config_has_alike():
    one = {"a": "1", "b": "2", "c": "3"}
    assert common([one, {"a": "1", "b": "9"}, {"b": "2", "a": "1", "d": "4"}]) == {"a": "1"}
    assert common([one]) == one
    assert common([]) == {}


def test_the_baseline_is_the_first_run_of_the_command_not_the_best(tmp_path):
    rows = [studies.run(key="first", top1=90), studies.run(key="best", top1=99, seed=1)]
    assert baseline(load(studies.write_study(tmp_path, rows))).key == "first"
