"""Runs beyond a sweep's own: which are chosen, that they are noted, and that a kill loses none."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from repghost.detection.spec import TaskSpec
from repghost.latency.record import Measurement
from repghost.latency.spec import StorageSpec
from repghost.latency.store import Store
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.run import Run
from repghost.settings import Settings, SweepSpec
from repghost.sweep.evaluator import TrialEvaluator
from repghost.sweep.extra import Longer, MoreSeed
from repghost.sweep.refine import Refine
from repghost.sweep.results import Results
from repghost.sweep.space.points import Point
from repghost.sweep.study import Ledger
from repghost.timing import Timings
from repghost.training.spec import DataSpec

LAUNCH = Path(__file__).parents[2] / "launch.py"


class Study:
    """A study whose variants have the scores and latencies that a test says, in real files."""

    def __init__(self, folder: Path, count: int = 4) -> None:
        self.folder = folder
        self.base = replace(
            Settings(),
            study="s",
            outputs=str(folder),
            storage=StorageSpec(f"sqlite:///{folder}/latency.db"),
            sweep=SweepSpec(refine=count),
        )
        self.store = Store(self.base.storage.url)
        self.open()

    def open(self) -> None:
        """Read everything anew, as another process would."""
        store = Store(self.base.storage.url)
        self.ledger = Ledger(self.folder / "s", "s", self.base)
        longer = self.ledger.longer
        self.evaluator = TrialEvaluator(store, str(self.folder), 1, longer=longer)
        self.refine = Refine(
            self.ledger,
            self.evaluator,
            lambda points: self.ledger.enroll(points),
            count=self.base.sweep.refine,
            assumed=1.0,
        )
        self.ledger.enroll(self.points())

    def points(self) -> list[Point]:
        known = [ticket for ticket in self.ledger.tickets() if "seed" in ticket.swept]
        extras = self.refine.rows
        return [Point(t.swept, t.settings) for t in known if t.row not in extras]

    def finished(self, branch: str, seed: int, score: float, graph: str) -> None:
        settings = replace(self.base, model=RepGhostNetSpec(reparam=branch), seed=seed)
        (ticket,) = self.ledger.enroll([Point({"model.reparam": branch, "seed": seed}, settings)])
        self.ends(ticket.row, score, graph)

    def ends(self, row: str, score: float, graph: str) -> None:
        (ticket,) = (one for one in self.ledger.tickets() if one.row == row)
        run = Run(self.base.outputs, ticket.key)
        run.folder.mkdir(parents=True, exist_ok=True)
        deployed = {"fingerprint": graph, "params": 1, "macs": 1, "training_params": 1}
        if ticket.settings.task.detects:
            deployed["backbone"] = {"fingerprint": f"{graph}'s backbone"}
        run.add_deployed(ticket.settings.timed_shape, deployed)
        scores = dict.fromkeys(ticket.settings.objective.scores, score)
        run.finish(scores | {"commit": "c0ffee", "epochs": 1, "seconds": 1.0})
        self.ledger.tell(ticket, self.evaluator.review(ticket))

    def timed(self, graph: str, ratio: float, half: float, repeat: int = 0) -> None:
        latency = replace(self.base.latency, repeat=repeat)
        identity = Timings(self.store).identity(replace(self.base, latency=latency), graph, "local")
        bounds = (ratio, ratio * (1 - half), ratio * (1 + half))
        samples = (ratio,) * 3
        rest = (1.0, samples, samples, 1, 1, True, "", (), {}, "", "", "")
        self.store.add(Measurement(identity, *bounds, *bounds, *rest))


def twins(folder: Path, count: int = 4) -> Study:
    """Two branches that tie on one graph, two seeds each."""
    study = Study(folder, count)
    study.timed("g", 1.0, 0.001)
    for branch, top1 in (("bn", 70.0), ("id", 70.3)):
        study.finished(branch, 0, top1, "g")
        study.finished(branch, 1, top1 + 1, "g")
    return study


def test_a_seed_is_chosen_noted_and_found_again_by_another_process(tmp_path):
    study = twins(tmp_path)
    (ticket,) = study.refine.more(1)
    assert ticket.swept["seed"] == 2 and ticket.settings.seed == 2
    assert study.ledger.extras == [MoreSeed(study.ledger.extras[0].row, 2)]
    assert "refine 1/4: one more seed of reparam=" in study.refine.notices[0]
    study.open()
    (again,) = study.refine.resume()
    assert (again.row, again.number) == (ticket.row, ticket.number)
    assert study.refine.rows == {ticket.row}


def test_a_kill_between_the_note_and_the_trial_loses_nothing(tmp_path):
    study = twins(tmp_path)
    first = study.ledger.tickets()[0]
    study.ledger.note_extra(MoreSeed(first.row, 2))
    study.open()
    (ticket,) = study.refine.resume()
    assert ticket.swept == first.swept | {"seed": 2} and ticket.life.state == "waiting"


def test_no_more_than_the_asked_runs_are_ever_chosen(tmp_path):
    study = twins(tmp_path, count=3)
    assert len(study.refine.more(2)) == 2
    assert len({(e.row, e.seed) for e in study.ledger.extras}) == 2
    study.open()
    study.refine.resume()
    assert len(study.refine.more(9)) == 1
    assert study.refine.more(9) == [] and len(study.ledger.extras) == 3


def test_the_sweeps_own_runs_come_first(tmp_path):
    study = twins(tmp_path)
    settings = replace(study.base, model=RepGhostNetSpec(reparam="dconv"))
    study.ledger.enroll([Point({"model.reparam": "dconv", "seed": 0}, settings)])
    assert study.refine.more(4) == [] and study.ledger.extras == []
    assert not study.refine.own_ended()


def test_what_is_decided_runs_nothing_and_says_so(tmp_path):
    study = Study(tmp_path)
    for branch, top1, ratio in (("bn", 70.0, 1.0), ("id", 90.0, 0.5)):
        study.timed(branch, ratio, 0.001)
        study.finished(branch, 0, top1, branch)
        study.finished(branch, 1, top1 + 0.1, branch)
    assert study.refine.more(4) == []
    assert study.refine.verdict() == "sweep.refine=4: 0 runs made; nothing is undecided"


def unsure(folder: Path) -> Study:
    """A good and a poor branch of about one latency; the poor one's is not sure."""
    study = Study(folder)
    for branch, top1, half in (("bn", 70.0, 0.05), ("id", 90.0, 0.001)):
        study.timed(branch, 1.0, half)
        study.finished(branch, 0, top1, branch)
        study.finished(branch, 1, top1 + 0.1, branch)
    return study


def test_a_latency_in_doubt_is_measured_longer_once_for_all_that_share_its_graph(tmp_path):
    study = unsure(tmp_path)
    (ticket,) = study.refine.more(1)
    (longer,) = study.ledger.extras
    spec = study.base.latency
    assert isinstance(longer, Longer) and longer.graph == "bn" and longer.repeat == 1
    assert longer.max_rounds == 4 * spec.max_rounds and longer.precision == spec.precision / 2
    assert study.evaluator.review(ticket) == "prepare"
    (asked, *_) = study.evaluator.task(ticket, "prepare").arguments
    assert (asked.latency.repeat, asked.latency.max_rounds) == (1, longer.max_rounds)
    assert study.evaluator.latency(ticket).identity.repeat == 0, "shown until the other is there"
    study.timed("bn", 1.02, 0.001, repeat=1)
    end = study.evaluator.review(ticket)
    assert (end.state, end.ratio) == ("finished", 1.02)
    study.ledger.tell(ticket, end)
    (other,) = study.refine.more(4)
    assert other.key != ticket.key and study.evaluator.review(other).ratio == 1.02
    study.ledger.tell(other, study.evaluator.review(other))
    study.open()
    ratios = {t.swept["model.reparam"]: t.life.ratio for t in study.ledger.tickets()}
    assert ratios == {"bn": 1.02, "id": 1.0}
    assert not any(t for t in study.ledger.tickets() if study.evaluator.review(t) == "prepare")


def test_a_backbone_is_read_from_the_measurement_that_its_detector_is_read_from(tmp_path):
    study, data = Study(tmp_path), DataSpec(kind="coco", max_size=96)
    study.base = replace(study.base, data=data, task=TaskSpec("retinanet"))
    study.timed("g", 4.0, 0.001)
    study.timed("g's backbone", 3.0, 0.001)
    study.finished("bn", 0, 30.0, "g")
    (ticket,) = study.ledger.tickets()
    known = study.evaluator.latency(ticket)
    study.ledger.note_extra(Longer.than(ticket.row, known, ticket.settings, 4))
    assert share(study) == 0.75, "shown until the other is there"
    study.timed("g", 5.0, 0.001, repeat=1)
    study.timed("g's backbone", 2.0, 0.001, repeat=1)
    study.open()
    assert share(study) == 0.4


def share(study: Study) -> float:
    """Return the backbone's share of the only row of `results.csv`."""
    results = Results(study.folder / "results.csv", "s", study.evaluator)
    results.update(study.ledger.tickets())
    results.write()
    with (study.folder / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    return float(row["backbone_share"])


def test_a_longer_measurement_that_fails_leaves_the_variant_as_it_was(tmp_path, monkeypatch):
    study = unsure(tmp_path)
    (ticket,) = study.refine.more(1)
    from repghost.steps import End, next_step

    def failing(settings, run, timings):
        plain = settings.latency.repeat == 0
        return next_step(settings, run, timings) if plain else End("failed", "no such core")

    monkeypatch.setattr("repghost.sweep.evaluator.next_step", failing)
    assert study.evaluator.review(ticket).state == "finished"


def test_a_variant_keeps_its_repeat_when_another_command_repeats_others(tmp_path):
    study = unsure(tmp_path)
    latency = replace(study.base.latency, repeat=1)
    study.base = replace(study.base, latency=latency)
    study.ledger = Ledger(tmp_path / "s", "s", study.base)
    repeats = {ticket.settings.latency.repeat for ticket in study.ledger.tickets()}
    assert repeats == {0}, "and not the repeat of the command that reads them"


def words(*more: str) -> list[str]:
    small = ("model.width=0.1", "recipe.warmup_epochs=0", "recipe.epochs=1", "tracking=none")
    timed = ("latency.max_rounds=10", "latency.wait_s=0", "study=s")
    return [sys.executable, str(LAUNCH), "-m", "model.reparam=bn,id", *small, *timed, *more]


def launch(folder: Path, *more: str) -> str:
    done = subprocess.run(
        words(*more), cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_killed_refinement_goes_on_and_a_finished_one_is_not_repeated(tmp_path):
    journal = tmp_path / "outputs/s/study.journal"
    with subprocess.Popen(
        words("sweep.refine=1"), cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True
    ) as driver:
        end = time.monotonic() + 500
        while not (journal.exists() and '"refined"' in journal.read_text()):
            assert time.monotonic() < end and driver.poll() is None
            time.sleep(0.02)
        os.kill(driver.pid, signal.SIGKILL)
    said = launch(tmp_path, "sweep.refine=1")
    assert "given again" not in said and "sweep.refine=1: 1 run made" in said
    again = launch(tmp_path, "sweep.refine=1")
    assert "queued" not in again and "sweep.refine=1: 1 run made" in again
    planned = launch(tmp_path, "sweep.refine=2", "plan=true")
    assert "refine 2/2, as things stand: one more seed of reparam=" in planned
    with (tmp_path / "outputs/s/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["seed"] for row in rows) == ["0", "0", "1"]
    assert {row["state"] for row in rows} == {"finished"}
    for row in rows:
        lines = (tmp_path / f"outputs/runs/{row['key']}/metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [0]
