"""A search as its driver sees it: every variant once, n_trials in all, whatever was killed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.settings import Settings
from repghost.sweep.space.dimensions import Choice, Interval
from repghost.sweep.space.points import SAMPLERS, Point, SamplerSpec
from repghost.sweep.space.search import Search
from repghost.sweep.study import Ledger
from repghost.sweep.ticket import Outcome, Ticket

BRANCHES = Choice("model.reparam", [(name, name) for name in ("bn", "id", "dconv", "bn+id")])
SEEDS = Interval("seed", 0, 2, integer=True, step=1)
WIDTHS = Choice("model.width", [(width / 4, str(width / 4)) for width in range(2, 8)])
SMALL = (BRANCHES, SEEDS, WIDTHS)  # 72 points
ENDLESS = (BRANCHES, Interval("model.width", 0.5, 2.0))


def compose(values: Mapping) -> Point:
    spec = RepGhostNetSpec(reparam=values["model.reparam"], width=values["model.width"])
    return Point(dict(values), replace(Settings(), model=spec, seed=values.get("seed", 0)))


def finished(ticket: Ticket) -> Outcome:
    width = float(ticket.swept["model.width"])
    return Outcome("finished", 90 - 5 / width - (ticket.swept["model.reparam"] != "bn"), width**2)


class Driver:
    """What the real one does with a search: ask, enroll, tell."""

    def __init__(
        self, folder: Path, space=SMALL, point=compose, n_trials=200, sampler="tpe", max_ms=None
    ):
        self.ledger = Ledger(folder, "study", Settings())
        spec = SamplerSpec(sampler)
        self.search = Search(space, point, spec, n_trials=n_trials, max_ms=max_ms)
        self.started: list[Ticket] = []

    def start(self, room: int) -> list[Ticket]:
        tickets = self.ledger.enroll(self.search.more(room, self.ledger.tickets()))
        self.started += tickets
        return tickets

    def run(self, parallel: int = 1, outcome: Callable[[Ticket], Outcome] = finished) -> list[str]:
        """Run to the end; return the rows that were started."""
        while tickets := self.start(parallel):
            for ticket in tickets:
                self.ledger.tell(ticket, outcome(ticket))
        return [ticket.row for ticket in self.started]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("parallel", [1, 5])
def test_a_space_of_72_points_is_72_runs_however_many_trials_are_asked(tmp_path, sampler, parallel):
    driver = Driver(tmp_path, sampler=sampler)
    rows = driver.run(parallel)
    assert len(rows) == len(set(rows)) == 72
    assert driver.search.ended == "all 72 combinations have been tried; n_trials=200"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_n_trials_is_the_total_of_a_study_that_is_started_again(tmp_path, sampler):
    first = Driver(tmp_path, ENDLESS, n_trials=15, sampler=sampler).run()
    second = Driver(tmp_path, ENDLESS, n_trials=20, sampler=sampler).run(parallel=4)
    assert (len(first), len(second), len({*first, *second})) == (15, 5, 20)
    assert Driver(tmp_path, ENDLESS, n_trials=20, sampler=sampler).run() == []


def test_what_is_at_work_is_not_started_twice(tmp_path):
    driver = Driver(tmp_path)
    while driver.start(7):
        continue
    rows = [ticket.row for ticket in driver.started]
    assert len(rows) == len(set(rows)) == 72


def test_what_a_killed_driver_left_at_work_is_not_started_twice_but_counts(tmp_path):
    left = [ticket.row for ticket in Driver(tmp_path, n_trials=40).start(30)]
    driver = Driver(tmp_path, n_trials=40)
    rows = driver.run()
    assert len(rows) == 10 and not {*rows} & {*left}
    for ticket in driver.ledger.tickets():  # the adopted ones end too
        if not ticket.life.ended:
            driver.ledger.tell(ticket, finished(ticket))
    assert driver.run() == rows


def test_excluded_combinations_are_neither_started_nor_counted(tmp_path):
    def point(values: Mapping) -> Point | None:
        return (
            None
            if values["model.reparam"] == "id" and values["model.width"] > 1
            else compose(values)
        )

    driver = Driver(tmp_path, point=point)
    assert len(driver.run(3)) == 63
    assert driver.search.ended == (
        "all 63 combinations have been tried (9 more are excluded); n_trials=200"
    )


def test_values_that_compose_to_a_known_variant_are_answered_from_it(tmp_path):
    spellings = Choice("model.reparam", [(name, name) for name in ("bn+id", "id+bn", "bn")])
    driver = Driver(tmp_path, (spellings, WIDTHS), n_trials=50)
    assert len({point.row for point in driver.search.more(11, [])}) == 11
    assert len(driver.run(2)) == 12
    assert driver.search.variants == 12
    assert driver.search.ended == "all 18 combinations have been tried; n_trials=50"


def test_a_point_that_never_reached_the_ledger_is_given_again(tmp_path):
    driver = Driver(tmp_path, n_trials=10)
    lost = driver.search.more(4, driver.ledger.tickets())  # and then the disk was full
    rows = driver.run()
    assert {point.row for point in lost} <= {*rows} and len(rows) == 10


def test_a_space_without_end_that_is_all_excluded_ends_the_search(tmp_path):
    driver = Driver(tmp_path, ENDLESS, point=lambda values: None)
    assert driver.run() == []
    assert driver.search.ended.startswith("none of 10,000 combinations taken by chance is a new")


def test_a_huge_space_is_searched_where_little_is_allowed(tmp_path):
    many = [(i, str(i)) for i in range(1000)]
    space = (*SMALL, *(Choice(f"+extra.{name}", many) for name in "abc"))

    def point(values: Mapping) -> Point | None:
        return compose(values) if values["+extra.a"] < 20 else None

    rows = Driver(tmp_path, space, point, n_trials=15).run()
    assert len(rows) == 15


@pytest.mark.parametrize("state", ["failed", "cancelled", "stopped", "measured", "pruned"])
def test_a_variant_counts_and_is_not_repeated_however_it_ended(tmp_path, state):
    rows = Driver(tmp_path).run(4, lambda ticket: Outcome(state, latency_ms=1.0))
    assert len(rows) == len(set(rows)) == 72


@pytest.mark.parametrize("bad", [Outcome("pruned", latency_ms=1.1), Outcome("failed")])
def test_a_search_turns_away_from_what_is_over_budget_or_fails(tmp_path, bad):
    def outcome(ticket: Ticket) -> Outcome:
        return bad if ticket.swept["model.width"] > 1 else Outcome("finished", 90.0, 0.9)

    def good(sampler: str) -> int:
        driver = Driver(tmp_path / sampler, ENDLESS, n_trials=80, sampler=sampler, max_ms=1.0)
        driver.run(2, outcome)
        return sum(ticket.life.state == "finished" for ticket in driver.started[-50:])

    assert good("tpe") > 1.5 * good("random")  # of whose points a third is within the budget


def test_a_budget_set_later_turns_a_search_away_from_what_was_finished_before(tmp_path):
    def within(max_ms: float | None) -> int:
        folder = tmp_path / str(max_ms)
        Driver(folder, ENDLESS, n_trials=60).run()
        driver = Driver(folder, ENDLESS, n_trials=90, max_ms=max_ms)
        driver.run()
        return sum(finished(ticket).latency_ms <= 0.6 for ticket in driver.started)

    assert within(0.6) > 2 * within(None)


def test_equal_seed_and_history_give_equal_points(tmp_path):
    Driver(tmp_path, ENDLESS, n_trials=30).run()
    again = [Driver(tmp_path, ENDLESS) for _ in range(2)]
    first, second = (driver.search.more(6, driver.ledger.tickets()) for driver in again)
    assert [point.row for point in first] == [point.row for point in second]


def test_variants_of_another_space_count_but_do_not_confuse(tmp_path):
    Driver(tmp_path, ENDLESS, n_trials=12).run()
    narrower = (BRANCHES, Interval("model.width", 0.5, 0.6))
    rows = Driver(tmp_path, narrower, n_trials=30).run()
    assert len(rows) == 18


def test_a_combination_that_cannot_be_composed_is_an_error_of_the_user(tmp_path):
    def point(values: Mapping) -> Point:
        raise ValueError("model.width=0.5: too narrow")

    with pytest.raises(ValueError, match="too narrow"):
        Driver(tmp_path, point=point).start(1)
