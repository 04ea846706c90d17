"""The loop, on a simulated machine whose jobs take set times, die, wait, and are found again."""

import contextlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import pytest

from repghost.settings import Settings
from repghost.sweep.flights import Places
from repghost.sweep.jobs.contract import Job, Phase, Sight, Task
from repghost.sweep.rungs import Curve, StopSpec
from repghost.sweep.scheduler import Scheduler
from repghost.sweep.space.points import Point
from repghost.sweep.study import Ledger
from repghost.sweep.ticket import Outcome, Ticket


def nothing() -> None:
    """Stands for a stage: the simulated machine knows what it does."""


@dataclass
class World:
    """Time, and what every variant has in its files."""

    train_s: dict[str, float]
    measured: set[str] = field(default_factory=set)
    trained: set[str] = field(default_factory=set)
    breaks: dict[str, str] = field(default_factory=dict)  # by name: what its code fails of
    errors: dict[str, str] = field(default_factory=dict)  # what it has failed of
    saved: dict[str, float] = field(default_factory=dict)
    over_budget: set[str] = field(default_factory=set)
    curves: dict[str, Curve] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    unprepared: set[str] = field(default_factory=set)
    with_worker: set[str] = field(default_factory=set)  # a worker is to bring their latency
    full: bool = False
    now: float = 1000.0

    def review(self, ticket: Ticket) -> str | Outcome:
        name = str(ticket.swept["name"])
        if name in self.unprepared:
            return "prepare"
        if name in self.with_worker:
            return "await"
        if name not in self.measured:
            return "measure"
        if name in self.over_budget:
            return Outcome("pruned", latency_ms=99.0)
        return Outcome("finished", 1.0, 1.0) if name in self.trained else "train"

    def task(self, ticket: Ticket, stage: str, cohort: str = "") -> Task:
        return Task(ticket.row, str(ticket.swept["name"]), stage, nothing, (), cohort)

    def stream(self, ticket: Ticket) -> str:
        return str(ticket.swept["name"]).rstrip("0123456789")

    def error(self, ticket: Ticket) -> str | None:
        return self.errors.get(str(ticket.swept["name"]))

    def progress(self, ticket: Ticket) -> float:
        return self.saved.get(str(ticket.swept["name"]), 0.0)

    def is_at_work(self, ticket: Ticket) -> bool:
        return ticket.swept["name"] in self.elsewhere

    def curve(self, ticket: Ticket) -> Curve | None:
        return self.curves.get(str(ticket.swept["name"]))

    def awaited(self, ticket: Ticket) -> str:
        return "waits for its latency on pixel"

    def blocked(self) -> str | None:
        return "the disk is full" if self.full else None


@dataclass
class Machine:
    """A backend on which jobs run at once, each for as long as the world says."""

    world: World
    slots: int = 1
    trains_here: bool = True
    takes: int = 1000  # at a time
    dies: dict[str, list[str]] = field(default_factory=dict)  # what each next job dies of
    live: dict[Job, tuple[Task, float]] = field(default_factory=dict)
    started: list[tuple[str, str]] = field(default_factory=list)
    unseen: set[str] = field(default_factory=set)
    silent: bool = False
    company: list[set[str]] = field(default_factory=list)

    def room(self, at_work: Collection[Job]) -> int:
        return max(0, self.slots - len(at_work))

    def submit(self, tasks: Sequence[Task]) -> list[Job]:
        jobs = []
        for task in tasks[: self.takes]:
            duration = self.world.train_s[task.key] if task.stage == "train" else 1.0
            job = Job(f"{task.key}/{len(self.started)}", task.row, task.stage)
            self.live[job] = task, self.world.now + duration
            self.started.append((task.stage, task.key))
            jobs.append(job)
        return jobs

    def adopt(self) -> list[Job]:
        return list(self.live)

    def poll(self, jobs: Collection[Job]) -> dict[Job, Sight]:
        self.company.append({f"{t.stage} {t.key}" for t, _ in self.live.values()})
        return {job: self._sight(job) for job in jobs}

    def _sight(self, job: Job) -> Sight:
        if self.silent:
            return Sight(Phase.UNKNOWN)
        if job not in self.live:
            return Sight(Phase.ENDED)
        task, end = self.live[job]
        if causes := self.dies.get(task.key):
            del self.live[job]
            return Sight(Phase.ENDED, causes.pop(0))
        if self.world.now < end:
            return Sight(Phase.QUEUED if task.key in self.unseen else Phase.RUNNING)
        del self.live[job]
        if task.key in self.world.breaks:
            self.world.errors[task.key] = self.world.breaks[task.key]
        elif task.stage == "prepare":
            self.world.unprepared.discard(task.key)
        else:
            done = self.world.measured if task.stage == "measure" else self.world.trained
            done.add(task.key)
        return Sight(Phase.ENDED)

    def cancel(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self.live.pop(job, None)

    def notices(self) -> list[str]:
        return []


class Bench:
    """A scheduler with its ledger over a simulated world; `names` are the variants."""

    def __init__(self, folder: Path, world: World, names: str, *backends: Machine, **options):
        self.world = world
        self.measuring, self.training = backends if len(backends) == 2 else backends * 2
        self.ledger = Ledger(folder, "study", Settings(), clock=lambda: world.now)
        points = [self.point(name, i) for i, name in enumerate(names)]
        self.tickets = self.ledger.enroll(points)
        options = {"max_requeues": 2, "stop": StopSpec()} | options
        self.scheduler = Scheduler(
            self.ledger,
            world,
            Places(self.measuring, self.training),
            clock=lambda: world.now,
            **options,
        )

    @staticmethod
    def point(name: str, seed: int) -> Point:
        return Point({"name": name}, replace(Settings(), seed=seed))

    def run(self, seconds: float = 2000.0) -> None:
        self.scheduler.adopt(self.tickets)
        end = self.world.now + seconds
        while True:
            self.scheduler.one_pass()
            if self.scheduler.done or self.world.now >= end:
                return
            self.world.now += 0.5

    def lives(self, name: str) -> list[str]:
        (ticket,) = (t for t in self.ledger.tickets() if t.swept["name"] == name)
        return [life.state for life in ticket.lives]

    def states(self) -> dict[str, str]:
        return {str(t.swept["name"]): t.life.state for t in self.ledger.tickets()}

    def causes(self) -> dict[str, str]:
        return {str(t.swept["name"]): t.life.cause for t in self.ledger.tickets()}


def bench(folder, names, train_s=1.0, slots=1, **world) -> Bench:
    known = World(dict.fromkeys(names, train_s) if isinstance(train_s, float) else train_s, **world)
    return Bench(folder, known, names, Machine(known, slots))


def on_a_cluster(folder, names, slots, train_s=1.0, **world) -> Bench:
    known = World(dict.fromkeys(names, train_s), **world)
    cluster = Machine(known, slots, trains_here=False)
    return Bench(folder, known, names, Machine(known), cluster)


def test_every_variant_is_measured_and_trained_once_and_its_life_is_told(tmp_path):
    case = bench(tmp_path, "abc", slots=1)
    case.run()
    assert sorted(case.training.started) == [(s, k) for s in ("measure", "train") for k in "abc"]
    assert set(case.states().values()) == {"finished"}
    measured, trained = ["waiting", "queued", "measuring"], ["waiting", "queued", "running"]
    assert case.lives("a") == [*measured, *trained, "finished"]


def test_all_are_prepared_before_they_are_measured_together(tmp_path):
    case = bench(tmp_path, "abc", unprepared=set("abc"))
    case.run()
    stages = ("prepare", "measure", "train")
    assert case.training.started == [(stage, name) for stage in stages for name in "abc"]
    assert case.states() == dict.fromkeys("abc", "finished")


def test_a_variant_whose_latency_a_worker_brings_waits_without_a_job(tmp_path):
    case = bench(tmp_path, "ab", with_worker={"a"})
    case.run(seconds=20.0)
    assert case.states() == {"a": "timing", "b": "finished"}
    assert case.causes()["a"] == "waits for its latency on pixel"
    assert not case.scheduler.done and ("train", "a") not in case.training.started
    case.world.with_worker.clear()
    case.world.measured.add("a")
    case.run(seconds=20.0)
    assert case.scheduler.done and case.states()["a"] == "finished"
    assert case.lives("a") == ["waiting", "timing", "waiting", "queued", "running", "finished"]


def test_a_driver_that_comes_back_waits_for_the_worker_again(tmp_path):
    case = bench(tmp_path, "a", with_worker={"a"})
    case.run(seconds=5.0)
    again = Bench(tmp_path, case.world, "a", Machine(case.world))
    again.run(seconds=5.0)
    assert again.states() == {"a": "timing"} and again.lives("a") == ["waiting", "timing"]


def test_nothing_runs_beside_a_measurement_but_other_measurements(tmp_path):
    case = bench(tmp_path, "abc", train_s=5.0, slots=3)
    case.run()
    for company in case.training.company:
        assert len({name.split()[0] for name in company}) <= 1


def test_measurements_go_on_beside_trainings_on_a_cluster_of_other_machines(tmp_path):
    case = on_a_cluster(tmp_path, "abc", slots=3, train_s=50.0, measured={"a"})
    case.run()
    assert case.world.now < 1000 + 60, "nobody waited for a"
    assert len(case.training.started) == 3 and len(case.measuring.started) == 2


def test_a_free_slot_is_filled_at_once_while_a_long_variant_goes_on(tmp_path):
    times = {"a": 20.0, "b": 2.0, "c": 2.0, "d": 2.0}
    case = bench(tmp_path, "abcd", times, slots=2, measured=set("abcd"))
    case.run()
    assert case.world.now < 1000 + 22  # a barrier would need 20 + 2 + 2


def test_slots_are_never_exceeded(tmp_path):
    case = bench(tmp_path, "abcdef", train_s=2.0, slots=2, measured=set("abcdef"))
    case.run()
    assert max(map(len, case.training.company)) == 2


def test_what_a_backend_does_not_take_now_is_offered_again(tmp_path):
    case = on_a_cluster(tmp_path, "abcdef", slots=6, measured=set("abcdef"))
    case.training.takes = 0
    case.run(seconds=5)
    assert case.training.started == [] and len(case.scheduler.todo) == 6
    case.training.takes = 4
    case.run()
    assert set(case.states().values()) == {"finished"}


@pytest.mark.parametrize("stage", ["measure", "train"])
def test_a_failure_of_the_code_is_told_with_its_reason_and_not_repeated(tmp_path, stage):
    measured = set("abc") if stage == "train" else set()
    case = bench(tmp_path, "abc", measured=measured, breaks={"b": "loss is nan"})
    case.run()
    assert case.states() == {"a": "finished", "b": "failed", "c": "finished"}
    assert case.causes()["b"] == "loss is nan"
    assert case.lives("b")[-1] == "failed"
    assert case.training.started.count((stage, "b")) == 1


def test_what_failed_in_another_study_is_told_and_not_run_again(tmp_path):
    case = bench(tmp_path, "ab", measured=set("ab"), errors={"b": "loss is nan"})
    case.run()
    assert case.states() == {"a": "finished", "b": "failed"}
    assert case.training.started == [("train", "a")]


def test_a_job_lost_to_the_machine_is_run_again_and_the_cause_is_kept(tmp_path):
    case = bench(tmp_path, "ab", measured=set("ab"))
    case.training.dies = {"a": ["node failure on node3", "out of memory"]}
    case.run()
    assert case.states() == {"a": "finished", "b": "finished"}
    (ticket,) = (t for t in case.tickets if t.swept["name"] == "a")
    said = [life.cause for life in ticket.lives if life.cause]
    assert said == ["requeued: node failure on node3", "requeued: out of memory"]


def test_without_progress_a_variant_is_given_up_after_max_requeues(tmp_path):
    case = bench(tmp_path, "a", measured={"a"})
    case.training.dies = {"a": ["time limit"] * 9}
    case.run()
    assert case.training.started == [("train", "a")] * 3
    assert case.states() == {"a": "failed"}
    assert "time limit; 3 jobs in a row were lost without progress" in case.causes()["a"]
    assert case.tickets[0].life.lost


def test_jobs_that_save_something_are_never_too_many(tmp_path):
    case = bench(tmp_path, "a", train_s=2.0, measured={"a"})
    case.training.dies = {"a": ["preempted"] * 9}
    case.scheduler.adopt(case.tickets)
    while not case.scheduler.done:
        case.scheduler.one_pass()
        case.world.now += 0.5
        case.world.saved["a"] = case.world.now  # every job gets as far as a checkpoint
    assert case.states() == {"a": "finished"}
    assert len(case.training.started) == 10


def test_a_job_that_ran_and_waits_again_was_preempted(tmp_path):
    case = on_a_cluster(tmp_path, "a", slots=1, train_s=9.0, measured={"a"})
    case.run(seconds=2)
    case.training.unseen = {"a"}
    case.run(seconds=2)
    assert case.states() == {"a": "preempted"}
    case.training.unseen = set()
    case.run()
    assert case.lives("a") == ["waiting", "queued", "running", "preempted", "running", "finished"]


def test_a_variant_over_the_latency_budget_is_never_trained(tmp_path):
    case = bench(tmp_path, "ab", over_budget={"a"})
    case.run()
    assert ("train", "a") not in case.training.started
    assert case.states() == {"a": "pruned", "b": "finished"}


def test_a_new_driver_adopts_what_runs_and_starts_the_rest(tmp_path):
    case = bench(tmp_path, "abc", train_s=9.0, slots=1, measured=set("abc"))
    case.run(seconds=3)
    again = Bench(tmp_path, case.world, "abc", case.training)
    again.run()
    assert case.training.started == [("train", name) for name in "abc"]
    assert again.states() == dict.fromkeys("abc", "finished")


def test_a_job_that_its_driver_had_no_time_to_record_is_adopted(tmp_path):
    case = bench(tmp_path, "a", train_s=9.0, measured={"a"})
    case.training.submit([case.world.task(case.tickets[0], "train")])  # killed right after this
    again = Bench(tmp_path, case.world, "a", case.training)
    again.run()
    assert case.training.started == [("train", "a")]


def test_what_is_done_already_is_told_without_a_job(tmp_path):
    case = bench(tmp_path, "ab", measured=set("ab"), trained=set("ab"))
    case.run()
    assert case.training.started == []
    assert set(case.states().values()) == {"finished"}


def test_a_variant_at_work_for_another_study_is_waited_for(tmp_path):
    case = bench(tmp_path, "ab", measured=set("ab"), elsewhere={"a"})
    case.run(seconds=10)
    assert case.training.started == [("train", "b")]
    case.world.elsewhere.clear()
    case.run()
    assert case.states() == {"a": "finished", "b": "finished"}


def test_a_cluster_that_does_not_answer_is_waited_for_and_nothing_is_concluded(tmp_path):
    case = on_a_cluster(tmp_path, "a", slots=1, train_s=5.0, measured={"a"})
    case.run(seconds=1)
    case.training.silent = True
    case.run(seconds=20)
    assert case.states() == {"a": "running"}
    case.training.silent = False
    case.run()
    assert case.training.started == [("train", "a")]


def test_nothing_is_started_on_a_full_disk_and_it_is_said_once(tmp_path):
    case = bench(tmp_path, "a", measured={"a"}, full=True)
    case.run(seconds=20)
    assert case.training.started == []
    (said,) = case.scheduler.take_notices()
    assert "the disk is full" in said
    case.world.full = False
    case.run()
    assert case.states() == {"a": "finished"}


def test_a_ledger_on_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    case = bench(tmp_path, "ab", measured=set("ab"))
    move, fails = case.ledger.move, iter(range(100))

    def failing(*arguments, **notes):
        if next(fails) % 2 == 0:
            raise OSError(28, "No space left on device")
        move(*arguments, **notes)

    monkeypatch.setattr(case.ledger, "move", failing)
    for _ in range(100):
        with contextlib.suppress(OSError):
            case.run(seconds=0)
        case.world.now += 0.5
    assert set(case.states().values()) == {"finished"}
    assert sorted(case.training.started) == [("train", "a"), ("train", "b")]


def test_a_search_is_asked_for_more_while_there_is_room(tmp_path):
    known = World(dict.fromkeys("abcdef", 2.0), measured=set("abcdef"), trained={"a", "b"})
    cluster = Machine(known, slots=2, trains_here=False)
    names, rooms = iter("abcdef"), []

    def more(room: int) -> list[Ticket]:
        rooms.append(room)
        new = [case.point(name, ord(name)) for name in islice(names, room)]
        return case.ledger.enroll(new)

    case = Bench(tmp_path, known, "", Machine(known), cluster, more=more)
    case.run()
    assert case.states() == dict.fromkeys("abcdef", "finished")
    assert cluster.started == [("train", name) for name in "cdef"]
    assert max(rooms) == 2


def curve(name: str, latency_ms: float, *scores: float) -> Curve:
    return Curve(name, name, latency_ms, 10, scores)


def test_a_variant_that_others_clearly_beat_at_a_rung_is_stopped_and_the_best_go_on(tmp_path):
    stop = StopSpec(rungs=[0.1], enough=2, noise=1.0, points=1.0)
    known = World(dict.fromkeys("abc", 50.0), measured=set("abc"))
    cluster = Machine(known, slots=3, trains_here=False)
    case = Bench(tmp_path, known, "abc", Machine(known), cluster, stop=stop)
    known.curves = {"a": curve("a", 1.0, 90.0), "b": curve("b", 1.0, 91.0)}
    case.run(seconds=5)
    known.curves["c"] = curve("c", 2.0, 40.0)
    case.run()
    assert case.states() == {"a": "finished", "b": "finished", "c": "stopped"}
    assert "at rung 0.1 (epoch 1 of 10) top-1 40.00 %" in case.causes()["c"]
    assert known.now < 1000 + 60


def test_without_rungs_nobody_is_stopped(tmp_path):
    known = World(dict.fromkeys("abcd", 5.0), measured=set("abcd"))
    known.curves = {n: curve(n, 1.0, 90.0 * (n != "d")) for n in "abcd"}
    case = Bench(tmp_path, known, "abcd", Machine(known, slots=4))
    case.run()
    assert set(case.states().values()) == {"finished"}


def test_two_rows_of_one_run_are_one_training(tmp_path):
    case = bench(tmp_path, "a", measured=set("ab"), slots=2, train_s=5.0)
    latency = replace(Settings().latency, batch_size=8)
    (point,) = [Bench.point("a", 0)]
    twin = Point({"name": "a", "latency.batch_size": 8}, replace(point.settings, latency=latency))
    case.tickets += case.ledger.enroll([twin])
    case.run()
    assert case.training.started == [("train", "a")]
    assert [ticket.life.state for ticket in case.tickets] == ["finished", "finished"]


def test_a_pass_with_thousands_that_wait_for_room_looks_at_few_of_them(tmp_path):
    case = bench(tmp_path, "ab", measured=set("ab"), train_s=50.0)
    looks = []
    case.world.is_at_work = lambda ticket: looks.append(ticket) or False
    case.run(seconds=1)
    assert len(looks) == 1, "the one that was started; nobody asks about those without a slot"


def test_a_job_that_was_lost_while_no_driver_ran_is_counted(tmp_path):
    case = bench(tmp_path, "a", train_s=9.0, measured={"a"})
    case.run(seconds=2)
    case.training.live.clear()
    again = Bench(tmp_path, case.world, "a", case.training)
    again.run()
    (ticket,) = again.tickets
    assert [life.cause for life in ticket.lives if life.cause] == ["requeued: its job ended unseen"]
    assert ticket.losses == 1 and ticket.life.state == "finished"
