"""The view and the report that a study has at W&B, as JSON and at a server on loopback."""

import itertools
import json
import random
import socket

import pytest
import studies

from analysis.__main__ import main
from analysis.effects import interaction_effects, main_effects
from analysis.results import load
from analysis.wandb_summary import label_of
from analysis.wandb_workspace import effects_markdown, report, view

pytest.importorskip("wandb_workspaces", reason="the extra `lab` brings wandb-workspaces")


def panels(spec):
    """Every panel in a view or a report, however deep."""
    if isinstance(spec, list):
        return [panel for part in spec for panel in panels(part)]
    if not isinstance(spec, dict):
        return []
    own = [spec] if "viewType" in spec else []
    return own + [panel for part in spec.values() for panel in panels(part)]


def of_kind(spec, kind):
    return [panel["config"] for panel in panels(spec) if panel["viewType"] == kind]


def as_json(made):
    return json.loads(made._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))


def test_a_view_and_a_report_are_written_without_an_account_or_a_network(
    alone, tmp_path, monkeypatch, capsys
):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    folder = studies.write_ablation(tmp_path)
    main(["wandb", str(folder), "--workspace"])
    assert "no W&B account: nothing was pushed" in capsys.readouterr().out
    shown = json.loads((folder / "wandb/workspace.json").read_text())
    (scatter,) = of_kind(shown, "Scatter Plot")
    assert (scatter["xAxis"], scatter["yAxis"]) == ("summary:latency_ms", "summary:top1")
    (parallel,) = of_kind(shown, "Parallel Coordinates Plot")
    assert [column["accessor"] for column in parallel["columns"]] == [
        "config:model.value.reparam",
        "config:model.value.width",
        "summary:macs",
        "summary:params",
        "summary:latency_ms",
        "summary:top1",
    ]
    curves = of_kind(shown, "Run History Line Plot")
    assert [curve.get("groupBy") for curve in curves] == [
        "model.value.reparam",
        "model.value.width",
        None,
    ]
    pinned = shown["section"]["runSets"][0]["runFeed"]["columnPinned"]
    assert {"summary:latency_ms", "summary:latency_low", "summary:device"} <= set(pinned)
    told = json.loads((folder / "wandb/report.json").read_text())
    tables = [block["content"] for block in told["blocks"] if block["type"] == "markdown-block"]
    assert len(tables) == 3, "variants, effects, interactions"
    assert tables[1] == effects_markdown(main_effects(load(folder)))
    assert of_kind(told, "Scatter Plot") == [scatter]


def test_only_the_runs_of_the_study_are_shown_those_of_other_groups_too(alone, tmp_path):
    results = load(studies.write_demo(tmp_path))
    shown = as_json(view(results, "me", "repghost"))
    group, keys = shown["section"]["runSets"][0]["filters"]["filters"]
    assert (group["key"]["name"], group["value"]) == ("group", "model.reparam")
    assert (keys["op"], keys["connector"]) == ("IN", "OR")
    assert keys["value"] == [*(row.key for row in results.rows), label_of(results).id]


def test_a_study_of_latencies_has_no_scores_in_its_panels(alone, tmp_path):
    results = load(studies.write_measured(tmp_path))
    shown = as_json(view(results, "", "repghost"))
    assert not of_kind(shown, "Scatter Plot") and not of_kind(shown, "Run History Line Plot")
    assert of_kind(shown, "Bar Chart")
    assert view(results, "", "repghost").name == "table3_recipe none", "a symbol is refused"
    assert "top1" not in json.dumps(shown)
    report(results, "", "repghost")


def test_text_of_a_config_is_no_markup_in_a_report(alone, tmp_path):
    rows = [studies.run(**{"model.name": name}, top1=90.0) for name in ("a|b", "[x](y)")]
    results = load(studies.write_study(tmp_path, rows, swept="model.name"))
    table = effects_markdown(main_effects(results))
    assert r"a\|b" in table and r"\[x\](y)" in table


def test_a_report_cuts_its_interactions_and_says_for_how_many_tests_p_is_adjusted(alone, tmp_path):
    source = random.Random(0)
    rows = [
        studies.run(key=f"{a}{b}{seed}", seed=seed, top1=source.gauss(70, 1))
        | {"model.reparam": a, "model.width": b}
        for a, b, seed in itertools.product("abcd", "wxyz", (0, 1))
    ]
    results = load(studies.write_study(tmp_path, rows, swept="model.reparam model.width"))
    assert len(interaction_effects(results)) == 36
    blocks = as_json(report(results, "me", "repghost"))["blocks"]
    tables = [block["content"] for block in blocks if block["type"] == "markdown-block"]
    assert len(tables[2].splitlines()) == 2 + 20
    assert "adjusted for the 12 or 36 tests" in json.dumps(blocks)


def test_pushed_again_it_takes_the_place_of_what_was_pushed(fake, tmp_path, capsys):
    folder = studies.write_demo(tmp_path)
    main(["wandb", str(folder), "--workspace"])
    main(["wandb", str(folder), "--workspace"])
    assert len(fake.views) == 2
    kinds = {values["type"]: values for values in fake.views.values()}
    assert set(kinds) == {"project-view", "runs"}
    assert {values["entityName"] for values in kinds.values()} == {"me"}
    assert kinds["project-view"]["displayName"] == kinds["runs"]["displayName"] == "model.reparam"
    pushed = json.loads(kinds["project-view"]["spec"])
    assert of_kind(pushed, "Scatter Plot")
    assert "me/repghost" in capsys.readouterr().out


def test_a_key_that_is_refused_is_said_in_a_line(fake, tmp_path):
    folder = studies.write_demo(tmp_path)
    fake.refuses = True
    with pytest.raises(SystemExit, match=r"^analysis: W&B: ") as ended:
        main(["wandb", str(folder), "--workspace"])
    assert "\n" not in str(ended.value)
    assert not fake.views
