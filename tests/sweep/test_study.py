"""The ledger: retries, growth, torn writes and the lock, each as a new process would see it."""

from dataclasses import replace
from pathlib import Path

import pytest

from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.settings import Settings
from repghost.sweep.space import Point
from repghost.sweep.study import Ledger, Outcome


def point(branch: str) -> Point:
    settings = replace(Settings(), model=RepGhostNetSpec(reparam=branch))
    return Point({"model.reparam": branch}, settings)


def open_ledger(folder: Path, *branches: str, done: bool = True) -> Ledger:
    ledger = Ledger(folder, "study", Settings())
    ledger.enroll([point(branch) for branch in branches], lambda ticket: done)
    ledger.start()
    return ledger


def states(ledger: Ledger) -> dict[str, str]:
    return {str(t.swept["model.reparam"]): t.state for t in ledger.tickets()}


def tell_all(ledger: Ledger, outcome: Outcome) -> None:
    for ticket in ledger.asked():
        if ticket.state == "running":
            ledger.tell(ticket, outcome)


def test_finished_variants_are_not_asked_again_and_an_added_value_runs_alone(tmp_path):
    tell_all(open_ledger(tmp_path, "bn", "id"), Outcome("finished", 98.0, 1.5))
    assert states(open_ledger(tmp_path, "bn", "id", "dconv")) == {
        "bn": "finished",
        "id": "finished",
        "dconv": "running",
    }


def test_scores_are_kept_with_the_trial(tmp_path):
    tell_all(open_ledger(tmp_path, "bn"), Outcome("finished", 98.0, 1.5))
    (ticket,) = open_ledger(tmp_path, "bn").tickets()
    assert ticket.values == (98.0, 1.5)


@pytest.mark.parametrize("state", ["failed", "pruned"])
def test_what_failed_or_was_pruned_is_kept_with_its_reason_and_asked_again(tmp_path, state):
    tell_all(open_ledger(tmp_path, "bn"), Outcome(state, latency_ms=2.0, reason="the reason"))
    (kept,) = open_ledger(tmp_path, "bn", done=True).tickets()
    assert (kept.state, kept.reason) == (state, "the reason")
    assert states(open_ledger(tmp_path, "bn", done=False)) == {"bn": "running"}


def batches(folder: Path, *sizes: int) -> Ledger:
    ledger = Ledger(folder, "study", Settings())
    latencies = {size: replace(Settings().latency, batch_size=size) for size in sizes}
    points = [
        Point({"latency.batch_size": size}, replace(Settings(), latency=latency))
        for size, latency in latencies.items()
    ]
    ledger.enroll(points, lambda ticket: True)
    ledger.start()
    return ledger


def test_one_network_at_two_batch_sizes_is_two_rows_of_one_run(tmp_path):
    tickets = batches(tmp_path, 1, 8).tickets()
    assert len(tickets) == 2 and len({ticket.key for ticket in tickets}) == 1
    again = batches(tmp_path, 32).tickets()  # of which two were asked for by another command
    assert {t.swept["latency.batch_size"]: t.settings.timed_shape[0] for t in again} == {
        1: 1,
        8: 8,
        32: 32,
    }


def test_a_variant_measured_alone_is_kept_as_such(tmp_path):
    tell_all(open_ledger(tmp_path, "bn"), Outcome("measured", latency_ms=2.0))
    (kept,) = open_ledger(tmp_path, "bn", done=True).tickets()
    assert (kept.state, kept.values) == ("measured", ())


def test_a_journal_of_an_older_version_is_refused_by_name(tmp_path):
    ledger = open_ledger(tmp_path, "bn")
    journal = tmp_path / "study.journal"
    journal.write_text(journal.read_text().replace('"row"', '"old"'))
    with pytest.raises(ValueError, match=r"study\.journal: is of an older version; move it away"):
        open_ledger(tmp_path, "bn")
    del ledger


def test_a_variant_left_running_by_a_killed_driver_is_the_same_trial_again(tmp_path):
    before = open_ledger(tmp_path, "bn", "id").tickets()
    after = open_ledger(tmp_path, "bn", "id").tickets()
    assert [ticket.number for ticket in after] == [ticket.number for ticket in before]
    tell_all(open_ledger(tmp_path, "bn", "id"), Outcome("finished", 98.0, 1.5))
    assert set(states(open_ledger(tmp_path, "bn", "id")).values()) == {"finished"}


def test_two_spellings_of_one_variant_are_one_trial(tmp_path):
    assert len(open_ledger(tmp_path, "bn+id", "id+bn").tickets()) == 1


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.99])
def test_a_line_torn_by_a_kill_is_cut_off_and_the_study_goes_on(tmp_path, keep):
    tell_all(open_ledger(tmp_path, "bn"), Outcome("finished", 98.0, 1.5))
    journal = tmp_path / "study.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole.splitlines()[-1][: int(keep * 40)])
    assert states(open_ledger(tmp_path, "bn", "id")) == {"bn": "finished", "id": "running"}
    assert states(open_ledger(tmp_path, "bn", "id")) == {"bn": "finished", "id": "running"}


def test_a_journal_of_rubbish_is_one_clear_line(tmp_path):
    (tmp_path / "study.journal").write_text("rubbish\n" * 3)
    with pytest.raises(ValueError, match=r"study\.journal: cannot be read .* move it away"):
        open_ledger(tmp_path, "bn")


def test_a_variant_of_an_earlier_command_is_rebuilt_from_the_study(tmp_path):
    open_ledger(tmp_path, "bn", "id+dconv")
    other = open_ledger(tmp_path, "bn")
    rebuilt = {ticket.key: ticket.settings.variant.key for ticket in other.tickets()}
    assert len(rebuilt) == 2
    assert all(key == again for key, again in rebuilt.items())
