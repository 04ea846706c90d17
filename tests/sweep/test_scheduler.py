"""The loop on a machine with a scripted clock: no barrier, quiet measurements, nothing raised."""

from dataclasses import dataclass, field

import pytest

from repghost.settings import Settings
from repghost.sweep.jobs import Job
from repghost.sweep.scheduler import drive
from repghost.sweep.study import Outcome, Ticket


def ticket(name: str) -> Ticket:
    return Ticket(0, 0, name, name, {}, Settings(), "running")


@dataclass
class FakeMachine:
    """Stages with set durations; knows what ran beside what, and what each left in its files."""

    train_s: dict[str, float]
    measured: set[str] = field(default_factory=set)
    trained: set[str] = field(default_factory=set)
    dies: set[str] = field(default_factory=set)
    over_budget: set[str] = field(default_factory=set)
    orphans: dict[str, float] = field(default_factory=dict)
    now: float = 0.0
    ends: dict[str, float] = field(default_factory=dict)
    started: list[tuple[str, str]] = field(default_factory=list)
    told: dict[str, Outcome] = field(default_factory=dict)
    company: list[set[str]] = field(default_factory=list)
    busy_s: float = 0.0

    def submit(self, ticket: Ticket, stage: str) -> Job:
        self.started.append((stage, ticket.key))
        self.ends[ticket.key] = self.now + (1 if stage == "measure" else self.train_s[ticket.key])
        return Job(stage)

    def adopt(self, ticket: Ticket) -> Job | None:
        if ticket.key not in self.orphans:
            return None
        self.ends[ticket.key] = self.orphans[ticket.key]
        return Job("train")

    def ended(self, ticket: Ticket, job: Job) -> bool:
        if self.now < self.ends[ticket.key]:
            return False
        if ticket.key not in self.dies:
            (self.measured if job.stage == "measure" else self.trained).add(ticket.key)
        return True

    def why(self, ticket: Ticket, job: Job) -> str:
        return f"{job.stage} of {ticket.key} died"

    def review(self, ticket: Ticket) -> str | Outcome:
        if ticket.key not in self.measured:
            return "measure"
        if ticket.key in self.over_budget:
            return Outcome("pruned", latency_ms=99.0)
        return Outcome("finished", 1.0, 1.0) if ticket.key in self.trained else "train"

    def show(self, running: dict[Ticket, Job]) -> None:
        self.company.append({f"{job.stage} {ticket.key}" for ticket, job in running.items()})

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        assert self.now < 1000, "the loop does not end"

    def drive(self, names: str, parallel: int) -> None:
        drive(
            [ticket(name) for name in names],
            self,
            review=self.review,
            tell=lambda ticket, outcome: self.told.__setitem__(ticket.key, outcome),
            parallel=parallel,
            sleep=self.sleep,
            show=self.show,
        )


def test_every_variant_is_measured_and_trained_once_and_told():
    machine = FakeMachine({"a": 2, "b": 3, "c": 1})
    machine.drive("abc", parallel=1)
    assert sorted(machine.started) == [(s, k) for s in ("measure", "train") for k in "abc"]
    assert {key: outcome.state for key, outcome in machine.told.items()} == dict.fromkeys(
        "abc", "finished"
    )


def test_nothing_runs_beside_a_measurement():
    machine = FakeMachine({"a": 5, "b": 5, "c": 5})
    machine.drive("abc", parallel=3)
    for company in machine.company:
        assert len(company) == 1 or not any(name.startswith("measure") for name in company)


def test_a_free_slot_is_filled_at_once_while_a_long_variant_goes_on():
    machine = FakeMachine({"a": 20, "b": 2, "c": 2, "d": 2}, measured=set("abcd"))
    machine.drive("abcd", parallel=2)
    assert machine.now < 20 + 2  # a barrier would need 20 + 2 + 2


def test_parallel_is_never_exceeded():
    machine = FakeMachine(dict.fromkeys("abcdef", 2.0), measured=set("abcdef"))
    machine.drive("abcdef", parallel=2)
    assert max(map(len, machine.company)) == 2


@pytest.mark.parametrize("stage", ["measure", "train"])
def test_a_variant_that_dies_is_told_with_its_reason_and_the_others_go_on(stage):
    machine = FakeMachine(dict.fromkeys("abc", 1.0), dies={"b"})
    machine.measured = set("abc") if stage == "train" else set()
    machine.drive("abc", parallel=1)
    assert machine.told["b"] == Outcome("failed", reason=f"{stage} of b died")
    assert machine.told["a"].state == machine.told["c"].state == "finished"


def test_a_variant_over_the_latency_budget_is_never_trained():
    machine = FakeMachine(dict.fromkeys("ab", 1.0), over_budget={"a"})
    machine.drive("ab", parallel=1)
    assert ("train", "a") not in machine.started
    assert machine.told["a"].state == "pruned"


def test_a_job_of_an_earlier_driver_is_waited_for_and_not_started_again():
    machine = FakeMachine(dict.fromkeys("ab", 1.0), measured=set("ab"), orphans={"a": 5.0})
    machine.drive("ab", parallel=1)
    assert ("train", "a") not in machine.started
    assert machine.told["a"].state == "finished"


def test_nothing_is_measured_while_an_adopted_job_trains():
    machine = FakeMachine(dict.fromkeys("ab", 1.0), measured={"a"}, orphans={"a": 5.0})
    machine.drive("ab", parallel=2)
    assert machine.told["b"].state == "finished"
    assert all(len(company) == 1 for company in machine.company if company)


def test_what_is_done_already_is_told_without_a_job():
    machine = FakeMachine({}, measured=set("ab"), trained=set("ab"))
    machine.drive("ab", parallel=1)
    assert machine.started == []
    assert set(machine.told) == set("ab")
