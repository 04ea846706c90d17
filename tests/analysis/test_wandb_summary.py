"""The summary run that a study has at W&B, against a server on loopback."""

import json
import socket
import time

import pytest
import studies

from analysis.__main__ import main
from analysis.palette import in_light, light_colors
from analysis.results import load
from analysis.wandb_summary import effect_rows, label_of, tell_summary
from repghost.tracking.spec import TrackingSpec
from tests.services.wandb_server import KEY, fake_wandb

SPEC = TrackingSpec(patience_s=10.0, tags=["mine"])


def only_run(fake):
    (run,) = fake.runs.values()
    return run


def tables(run):
    """The last table of each name that was sent."""
    files = sorted(name for name in run.files if name.endswith(".table.json"))
    return {name.split("/")[-1].split("_")[0]: json.loads(run.files[name]) for name in files}


def figures(run):
    found = sorted(name for name in run.files if name.endswith(".plotly.json"))
    return {name.split("/")[-1].split("_")[0]: json.loads(run.files[name]) for name in found}


def test_a_study_is_told_with_its_tables_figures_and_files(fake, tmp_path):
    folder = studies.write_ablation(tmp_path)
    assert tell_summary(folder, SPEC, print)
    run, results = only_run(fake), load(folder)
    assert run.exit_code == 0
    assert run.variables["groupName"] == results.study
    assert run.variables["jobType"] == "summary"
    assert "mine" in run.variables["tags"]
    assert run.config["command"]["value"] == results.provenance["command"]
    table = tables(run)["results"]
    column = table["columns"].index("top1")
    assert [row[column] for row in table["data"]] == [row.top1 for row in results.rows]
    assert len(tables(run)["effects"]["data"]) > 1
    assert set(figures(run)) == {"pareto", "latency", "effects", "factors"}
    points = figures(run)["pareto"]["data"]
    assert any(trace.get("name") == "Pareto front" for trace in points)
    assert run.files["study/results.csv"] == results.csv_path.read_bytes()
    assert run.files["study/study.json"] == (folder / "study.json").read_bytes()
    assert run.summary["runs"] == len(results.rows)
    assert run.summary["best_top1"] == pytest.approx(98.98, abs=0.5)


def test_a_study_is_one_run_that_is_told_only_what_has_changed(fake, tmp_path):
    folder = studies.write_demo(tmp_path)
    assert tell_summary(folder, SPEC, print)
    asked = len(fake.bodies)
    assert not tell_summary(folder, SPEC, print)
    assert len(fake.bodies) == asked, "nothing was sent"
    csv = folder / "results.csv"
    last = csv.read_text().splitlines()[-1].replace("98.61", "97.5")
    csv.write_text("\n".join([*csv.read_text().splitlines()[:-1], last]) + "\n")
    time.sleep(1.1)  # W&B names a piece by the second
    assert tell_summary(folder, SPEC, print)
    run = only_run(fake)
    assert run.files["study/results.csv"] == csv.read_bytes()
    steps = [row["_step"] for row in run.history]
    assert steps == list(range(len(steps))), "the second telling went on where the first ended"


def test_another_study_of_the_same_name_has_another_run(tmp_path):
    first = load(studies.write_study(tmp_path / "a", [studies.run(key="1" * 16)]))
    same = load(studies.write_study(tmp_path / "b", [studies.run(key="1" * 16), studies.run()]))
    other = load(studies.write_study(tmp_path / "c", [studies.run(key="2" * 16)]))
    assert label_of(first).id == label_of(same).id != label_of(other).id


def test_a_study_of_detectors_goes_by_box_map(fake, tmp_path):
    columns = {"detector": "retinanet", "top1": "", "top5": ""}
    rows = [
        studies.run(**columns, map=score, seed=seed, **{"model.reparam": branch})
        for branch, base in (("bn", 20.0), ("id", 22.0))
        for seed, score in enumerate((base, base + 0.25))
    ]
    folder = tmp_path / "demo"
    folder.mkdir()
    names = ["study", "key", "state", "model.reparam", *studies.AFTER, "detector", "map"]
    lines = [
        ",".join(str({"study": "d", "key": f"{n:016x}"}.get(k, row.get(k, ""))) for k in names)
        for n, row in enumerate(rows)
    ]
    (folder / "results.csv").write_text("\n".join([",".join(names), *lines]) + "\n")
    assert tell_summary(folder, SPEC, print)
    run = only_run(fake)
    assert run.summary["best_map"] == pytest.approx(22.125)
    axis = figures(run)["pareto"]["layout"]["yaxis"]["title"]["text"]
    assert axis == "box mAP, %"
    points = tables(run)["effects"]["data"][0][tables(run)["effects"]["columns"].index("points")]
    assert abs(points) == pytest.approx(2.0)


def test_without_an_account_it_is_kept_and_sync_sends_it_once(alone, tmp_path, monkeypatch, capsys):
    folder = studies.write_demo(tmp_path)
    assert tell_summary(folder, SPEC, print)
    with fake_wandb() as fake:
        for name, value in fake.environment().items():
            monkeypatch.setenv(name, value)
        main(["wandb", str(folder), "--sync"])
        assert "1 pieces of 1 runs sent" in capsys.readouterr().out
        sent = only_run(fake)
        assert sent.files["study/results.csv"] == (folder / "results.csv").read_bytes()
        main(["wandb", str(folder), "--sync"])
        assert capsys.readouterr().out == "W&B: nothing left to send\n"


def test_sync_tells_what_was_never_told(fake, tmp_path, capsys):
    folder = studies.write_demo(tmp_path)
    main(["wandb", str(folder), "--sync"])
    assert "the study's summary is told" in capsys.readouterr().out
    assert only_run(fake).files["study/study.json"] == (folder / "study.json").read_bytes()


def test_tracking_none_tells_nothing(fake, tmp_path):
    folder = studies.write_demo(tmp_path)
    studies.write_provenance(folder, tracking={"kind": "none", "gone": 1})
    main(["wandb", str(folder), "--sync"])
    assert not fake.runs


def test_a_silent_server_costs_the_sweep_its_patience_and_a_line(alone, tmp_path, monkeypatch):
    folder, said = studies.write_demo(tmp_path), []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        assert tell_summary(folder, TrackingSpec(patience_s=2.0), said.append)
    assert time.monotonic() - start < 30.0  # left alone, W&B waits for minutes
    assert len(said) == 1 and "kept offline" in said[0], said


def test_a_disk_that_refuses_is_said_once_and_told_again_later(alone, tmp_path):
    folder, said = studies.write_demo(tmp_path), []
    (folder / "wandb").write_text("")
    assert not tell_summary(folder, SPEC, said.append)
    assert len(said) == 1 and said[0].startswith("W&B has no summary of the study: "), said
    (folder / "wandb").unlink()
    assert tell_summary(folder, SPEC, said.append)
    assert len(said) == 1


def test_an_effect_without_an_interval_has_empty_cells(tmp_path):
    from analysis.effects import main_effects

    rows = list(effect_rows(main_effects(load(studies.write_demo(tmp_path))), []))
    assert [row[1] for row in rows] == [
        "reparam bn → id",
        "reparam bn → dconv",
        "reparam id → dconv",
    ]
    assert {row[5:8] for row in rows} == {(None, None, None)}


def test_colours_become_those_of_the_page_in_light():
    figure = {"data": [{"marker": {"color": "--series-1"}, "name": "--series-1"}], "layout": {}}
    colored = in_light(figure)["data"][0]
    assert colored == {"marker": {"color": light_colors()["--series-1"]}, "name": "--series-1"}
    assert light_colors()["--series-1"] == "#0072b2"
