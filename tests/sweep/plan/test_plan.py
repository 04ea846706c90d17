"""The plan of a sweep: what is done, what is missing and how long it takes, from files alone."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from grids import grid
from rich.console import Console

from repghost.atomic import write_json
from repghost.latency.record import Measurement
from repghost.latency.spec import StorageSpec
from repghost.latency.store import Store
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.run import Run
from repghost.settings import Settings, SweepSpec
from repghost.sweep.plan.plan import print_plan
from repghost.sweep.space.points import Point
from repghost.sweep.study import Ledger
from repghost.sweep.ticket import Outcome
from repghost.timing import Timings
from repghost.training.spec import DataSpec, RecipeSpec

LAUNCH = Path(__file__).parents[3] / "launch.py"
BRANCHES = ["bn", "id", "dconv"]
MMACS = {0.1: 1.0, 0.5: 4.0, 1.0: 14.0}


@pytest.fixture
def base(tmp_path: Path) -> Settings:
    url = f"sqlite:///{tmp_path}/latency.db"
    return Settings(outputs=str(tmp_path), storage=StorageSpec(url), recipe=RecipeSpec(epochs=10))


def said(points: list[Point], **options) -> str:
    text = io.StringIO()
    assert print_plan(points, "study", Console(file=text, width=160), **options) == 0
    return text.getvalue()


def line_of(output: str, point: Point) -> str:
    return next(line for line in output.splitlines() if point.key in line)


def deployed(
    point: Point, mmacs: float = 1.0, graph: str = "graph", ms: float | None = None
) -> Run:
    """Make the files of a variant that was built, and timed if `ms` is given."""
    settings = point.settings
    run = Run(settings.outputs, point.key)
    run.write_config(settings.variant)
    cost = {"params": 2_300_000, "macs": round(mmacs * 1e6), "training_params": 2_400_000}
    run.add_deployed(settings.timed_shape, {"fingerprint": graph, **cost})
    if ms is not None:
        Store(settings.storage.url).add(measured(settings, graph, ms))
    return run


def measured(settings: Settings, graph: str, ms: float) -> Measurement:
    timings = Timings(Store(settings.storage.url))
    identity = timings.identity(settings, graph, "local")
    nothing = dict.fromkeys(("latency_ratio", "ratio_low", "ratio_high"))
    return Measurement(
        identity=identity,
        latency_ms=ms,
        latency_low=ms,
        latency_high=ms,
        **nothing,
        reference_ms=None,
        samples_ms=(ms,),
        reference_samples_ms=(),
        runs_per_sample=1,
        samples_per_round=1,
        settled=True,
        ended="test",
        flags=(),
        device_state={},
        session="test",
        measured_at="2025-01-01",
        host="here",
    )


def finish(run: Run, seconds: float, epochs: int = 10, device: str = "cpu") -> None:
    speed = {"seconds": seconds, "threads": 2, "train_device": device}
    run.finish({"top1": 90.0, "top5": 99.0, "epochs": epochs, "commit": "c", **speed})


def test_states_are_those_that_the_files_give(base):
    points = grid(base, {"seed": [0, 1, 2, 3, 4]})
    done, broken, half, held, fresh = points
    finish(deployed(done, ms=1.0), seconds=20)
    deployed(broken).fail("ValueError: loss is nan", "trace")
    lines = [json.dumps({"epoch": epoch, "seconds": 2.0, "top1": 1.0}) for epoch in range(4)]
    (deployed(half).folder / "metrics.jsonl").write_text("\n".join(lines))
    lock = deployed(held).lock
    lock.acquire()
    try:
        output = said(points)
    finally:
        lock.release()
    states = {point.swept["seed"]: line_of(output, point).split()[2] for point in points}
    assert states == {0: "finished", 1: "failed", 2: "waiting", 3: "running", 4: "waiting"}
    assert " 4/10 " in line_of(output, half)
    assert "5 variants: 1 finished, 1 failed, 2 waiting, 1 running; retry=failed" in output
    assert fresh.key in output


def test_time_to_go_counts_the_epochs_that_are_missing_of_each_variant(base):
    done, half, fresh = points = grid(base, {"seed": [0, 1, 2]})
    finish(deployed(done, ms=1.0), seconds=3600)
    lines = [json.dumps({"epoch": epoch, "seconds": 999.0, "top1": 1.0}) for epoch in range(4)]
    (deployed(half).folder / "metrics.jsonl").write_text("\n".join(lines))
    output = said(points, slots=2)
    assert "36 min" in line_of(output, half), "6 of 10 epochs of 6 minutes"
    assert "60 min" in line_of(output, fresh)
    assert "min" not in line_of(output, done)
    assert "to go: 96 min of training in all, 60 min with 2 at a time" in output


def test_variants_of_a_cohort_are_counted_as_one_job_that_is_as_long_as_all_of_them(base):
    in_threes = replace(base, sweep=SweepSpec(cohort=3))
    points = grid(in_threes, {"model.width": [0.1, 0.5, 1.0, 1.5], "seed": [0, 1]})
    finish(deployed(points[0], ms=1.0), seconds=3600)
    for point in points[1:]:
        deployed(point)
    output = said(points, slots=2)
    assert "sweep.cohort=3: 7 trainings in 3 cohorts" in output, "3 of one seed, 3 + 1 of the other"
    assert "to go: 7.0 h of training in all, 3.5 h with 2 at a time" in output
    assert "3.0 h with 9 at a time" in said(points, slots=9)
    assert "cohort" not in said(grid(base, {"seed": [0, 1]}))


def test_what_failed_is_no_work_until_it_is_asked_for(base):
    done, broken = points = grid(base, {"seed": [0, 1]})
    finish(deployed(done, ms=1.0), seconds=3600)
    deployed(broken).fail("loss is nan", "trace")
    assert "to go:" not in said(points)
    again = [replace(p, settings=replace(p.settings, retry="failed")) for p in points]
    assert "to go: 60 min" in said(again)


def test_times_lie_on_the_line_through_the_runs_that_were_timed(base):
    points = grid(base, {"model.width": [0.1, 0.5, 1.0]})
    for point, seconds in zip(points[:2], (10 * (5 + 2 * 1), 10 * (5 + 2 * 4)), strict=True):
        finish(deployed(point, MMACS[point.swept["model.width"]], point.key, ms=1.0), seconds)
    deployed(points[2], MMACS[1.0], "large")
    output = said(points)
    assert "to go: 6 min of training in all" in output, "10 epochs of 5 s + 14 x 2 s"
    assert "an epoch takes 5 s + 2 s a MMAC, from 2 runs (cpu, 2 threads) on digits" in output


@pytest.mark.parametrize(
    ("seconds", "to_go"), [((1000, 10), "8 min"), ((10, 1000), "47 min")], ids=["falling", "steep"]
)
def test_a_line_that_makes_no_sense_is_not_followed(base, seconds, to_go):
    points = grid(base, {"model.width": [0.1, 0.5, 1.0]})
    for point, one in zip(points[:2], seconds, strict=True):
        finish(deployed(point, MMACS[point.swept["model.width"]], point.key, ms=1.0), one)
    deployed(points[2], MMACS[1.0], "large")
    assert f"to go: {to_go} of training in all" in said(points)


def test_runs_of_other_sweeps_tell_the_pace_where_there_are_none(base):
    (other,) = grid(base, {"recipe.lr": [0.123]})
    finish(deployed(other, 2.0, ms=1.0), seconds=360, device="cuda")
    (elsewhere,) = grid(base, {"recipe.batch_size": [7]})
    finish(deployed(elsewhere, 2.0), seconds=999_999)
    (point,) = grid(base, {"seed": [5]})
    deployed(point, 4.0)
    output = said([point])
    assert "to go: 12 min of GPU time in all" in output
    assert "from 1 run (cuda) on digits, batch 64" in output


def test_without_any_run_a_rate_can_be_stated(base):
    (point,) = points = grid(base, {"seed": [0]})
    deployed(point, 86.0)
    assert "to go: not known for 1 variant; no training on this data was timed" in said(points)
    assert "to go: 10 min of training in all" in said(points, images_per_s="23.95")
    assert "to go: 20 min of training in all" in said(points, images_per_s="23.95@43")


@pytest.mark.parametrize("rate", ["fast", "0", "-5", "10@0", "10@x", "nan", "inf", "1@nan", ""])
def test_a_rate_of_another_form_is_refused(base, rate):
    (point,) = points = grid(base, {"seed": [0]})
    deployed(point)
    with pytest.raises(ValueError, match=r"images_per_s=.*write images a second, such as 4600"):
        said(points, images_per_s=rate)


def test_images_of_a_folder_are_counted_for_a_stated_rate(base, tmp_path):
    for split, count in (("train", 60), ("val", 5)):
        home = tmp_path / "images" / split / "cat"
        home.mkdir(parents=True)
        for index in range(count):
            (home / f"{index}.jpg").touch()
    data = DataSpec("folder", str(tmp_path / "images"), num_classes=1)
    points = grid(replace(base, data=data), {"seed": [0]})
    deployed(points[0])
    assert "to go: 10 min" in said(points, images_per_s="1")
    named = replace(base, data=DataSpec("folder", None, "hfds/x", num_classes=1))
    points = grid(named, {"seed": [0]})
    deployed(points[0])
    assert "data.name=hfds/x: its number of images is not known" in said(points, images_per_s="1")


def test_variants_of_one_graph_have_a_letter_and_share_their_latency(base):
    points = grid(base, {"model.reparam": [*BRANCHES, "none"], "model.relu": ["after_add", "both"]})
    deployed(points[0], ms=1.25)
    output = said(points)
    letters = {point.row: line_of(output, point).split()[-1] for point in points}
    plain = [point for point in points if point.swept["model.relu"] == "after_add"]
    assert {letters[point.row] for point in plain} == {"A"}
    assert all("1.250" in line_of(output, point) for point in plain)
    assert "A: reparam=bn relu=after_add, reparam=id relu=after_add," in output
    assert "latency: 3 graphs, 2 of them still to be timed" in output
    assert "B: reparam=bn, reparam=dconv deploy to one graph where relu=both" in output
    assert "model.relu cannot act where model.reparam=none" in output


def test_seeds_of_one_network_are_no_twins(base):
    points = grid(base, {"seed": [0, 1]})
    deployed(points[0], ms=1.0)
    assert "deploy to one graph" not in said(points)


def test_a_variant_that_a_twin_shows_to_be_too_slow_is_no_work(base):
    tight = replace(base, latency=replace(base.latency, max_ms=1.0))
    slow, twin = points = grid(tight, {"model.reparam": ["bn", "id"]})
    deployed(slow, ms=2.0)
    output = said(points)
    assert "pruned" in line_of(output, slow)
    assert "waiting" in line_of(output, twin)
    assert "1 variant to be pruned: over the latency budget" in output
    assert "to go:" not in output


def test_a_run_that_is_trained_and_only_has_to_be_timed_is_no_training(base):
    (point,) = points = grid(base, {"seed": [0]})
    finish(deployed(point), seconds=3600)
    output = said(points)
    assert "waiting" in line_of(output, point)
    assert "to go:" not in output


def test_what_the_study_noted_is_shown_where_the_files_leave_it_open(base):
    points = grid(base, {"seed": [0, 1, 2, 3]})
    ledger = Ledger(Path(base.outputs) / "study", "study", base)
    tickets = ledger.enroll(points[:3])
    ledger.move(tickets[0], "queued")
    ledger.tell(tickets[1], Outcome("stopped"))
    ledger.tell(tickets[2], Outcome("failed", lost=True))
    write_json(Path(base.outputs) / "study" / "study.json", {})
    for point in points:
        deployed(point)
    output = said(points)
    states = [line_of(output, point).split()[2] for point in points]
    assert states == ["queued", "stopped", "waiting", "waiting"]


def test_a_network_is_counted_once_and_kept_until_the_code_changes(base, monkeypatch):
    spec = RepGhostNetSpec(width=0.05, num_classes=3)
    points = grid(replace(base, model=spec), {"model.reparam": ["bn", "id"], "seed": [0, 1]})
    first = said(points)
    kept = json.loads((Path(base.outputs) / "costs.json").read_text())
    assert len(kept["networks"]) == 1, "bn and id deploy to one graph"
    monkeypatch.setattr("repghost.sweep.plan.network_costs.counted", None)
    assert said(points) == first
    assert "  0.2 " in line_of(first, points[0]), "MACs in millions"
    kept["code"] = "older"
    write_json(Path(base.outputs) / "costs.json", kept)
    with pytest.raises(TypeError):
        said(points)


def test_a_network_that_cannot_be_built_is_named_and_the_others_are_planned(base, monkeypatch):
    def refuse(spec, image):
        raise ValueError("too narrow by half")

    monkeypatch.setattr("repghost.sweep.plan.network_costs.counted", refuse)
    points = grid(base, {"seed": [0]})
    output = said(points)
    assert "RepGhostNet 0.5x, branches bn: too narrow by half" in output
    assert points[0].key in output


def test_costs_that_cannot_be_kept_are_shown_all_the_same(base, monkeypatch):
    def full(path, value):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("repghost.sweep.plan.network_costs.write_json", full)
    spec = RepGhostNetSpec(width=0.05, num_classes=3)
    output = said(grid(replace(base, model=spec), {"seed": [0]}))
    assert "costs are not kept" in output
    assert "No space left" in output
    assert " 0.2 " in output


def test_a_long_plan_is_a_digest_and_a_file(base):
    points = grid(base, {"model.reparam": ["bn", "id"], "seed": list(range(40))})
    finish(deployed(points[0], ms=1.0), seconds=360)
    output = said(points, excluded=7)
    assert "model.reparam=id" in output and "seed: 30 more values" in output
    assert "80 variants: 1 finished, 79 waiting" in output
    assert "7 combinations are excluded" in output
    assert points[0].key not in output and points[1].key in output and points[30].key not in output
    path = Path(base.outputs) / "study" / "plan.csv"
    assert f"all 80 variants: {path}" in output
    with path.open() as file:
        found = list(csv.DictReader(file))
    assert [row["key"] for row in found] == [point.key for point in points]
    assert {row["to_go_s"] for row in found[1:]} == {"360.0"}
    assert found[0]["state"] == "finished" and found[0]["latency_ms"] == "1.0"


def test_of_a_search_the_hours_are_those_of_its_trials(base):
    points = grid(replace(base, n_trials=3), {"seed": [0, 1, 2, 3, 4]})
    finish(deployed(points[0], ms=1.0), seconds=3600)
    assert "n_trials=3: 2 of these are still to be run, about 2.0 h of training" in said(points)


def test_more_than_three_swept_keys_share_a_column(base):
    swept = {"model.reparam": ["bn"], "model.width": [0.5], "recipe.lr": [0.1], "seed": [0]}
    points = grid(base, swept)
    deployed(points[0])
    assert "reparam=bn width=0.5 lr=0.1 seed=0" in said(points)


def test_nothing_is_left_behind_but_the_costs(base, tmp_path):
    said(grid(replace(base, model=RepGhostNetSpec(width=0.05, num_classes=3)), {"seed": [0, 1]}))
    assert [path.name for path in tmp_path.iterdir()] == ["costs.json"]


def test_the_command_line_plans_in_seconds_without_torch_and_starts_nothing(tmp_path):
    words = ["-m", "model.reparam=none,bn", "model.relu=after_add,both", "model.width=0.1"]
    words += ["tracking=none", "plan=true", "study=s"]
    code = (
        f"import sys, runpy; sys.path.insert(0, {str(LAUNCH.parent)!r})\n"
        f"sys.argv = ['launch.py', *{words!r}]\n"
        f"try: runpy.run_path({str(LAUNCH)!r}, run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('torch' in sys.modules)"
    )

    def plan() -> str:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first, second = plan(), plan()
    assert first.endswith("True\n") and second.endswith("False\n")
    assert "4 variants: 4 waiting" in first
    assert "4 variants are 3 different trainings" in first
    assert "nothing was started" in first
    assert first.splitlines()[:-1] == second.splitlines()[:-1]
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")] == ["outputs/costs.json"]
