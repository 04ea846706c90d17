"""The ledger: retries, growth, torn writes and the lock, each as a new process would see it."""

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.settings import Settings
from repghost.sweep.space.points import Point
from repghost.sweep.study import Ledger
from repghost.sweep.ticket import Outcome


def point(branch: str) -> Point:
    settings = replace(Settings(), model=RepGhostNetSpec(reparam=branch))
    return Point({"model.reparam": branch}, settings)


def open_ledger(folder: Path, *branches: str, wanted: bool = False) -> Ledger:
    ledger = Ledger(folder, "study", Settings())
    ledger.enroll([point(branch) for branch in branches], lambda ticket: wanted)
    return ledger


def states(ledger: Ledger) -> dict[str, str]:
    return {str(t.swept["model.reparam"]): t.life.state for t in ledger.tickets()}


def tell_all(ledger: Ledger, outcome: Outcome) -> None:
    for ticket in ledger.asked():
        if not ticket.life.ended:
            ledger.tell(ticket, outcome)


def test_finished_variants_are_not_asked_again_and_an_added_value_runs_alone(tmp_path):
    tell_all(open_ledger(tmp_path, "bn", "id"), Outcome("finished", 98.0, 1.5))
    assert states(open_ledger(tmp_path, "bn", "id", "dconv")) == {
        "bn": "finished",
        "id": "finished",
        "dconv": "waiting",
    }


def test_scores_are_kept_with_the_trial(tmp_path):
    tell_all(open_ledger(tmp_path, "bn"), Outcome("finished", 98.0, 1.5))
    (ticket,) = open_ledger(tmp_path, "bn").tickets()
    assert (ticket.life.score, ticket.life.latency_ms) == (98.0, 1.5)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    (trial,) = optuna.load_study(study_name="study", storage=storage).best_trials
    assert trial.values == [98.0, 1.5], "for people with Optuna's own tools"


def test_a_score_in_the_words_of_an_earlier_version_is_read(tmp_path):
    tell_all(open_ledger(tmp_path, "bn"), Outcome("finished", 98.0, 1.5))
    journal = tmp_path / "study.journal"
    text = journal.read_text().replace(" ", "")
    assert '"score":98.0' in text
    journal.write_text(text.replace('"score":98.0', '"top1":98.0'))
    (ticket,) = open_ledger(tmp_path, "bn").tickets()
    assert (ticket.life.state, ticket.life.score) == ("finished", 98.0)


@pytest.mark.parametrize("state", ["failed", "pruned", "stopped", "cancelled"])
def test_what_ended_otherwise_is_kept_with_its_cause_and_asked_again_if_wanted(tmp_path, state):
    tell_all(open_ledger(tmp_path, "bn"), Outcome(state, latency_ms=2.0, reason="the reason"))
    (kept,) = open_ledger(tmp_path, "bn").tickets()
    assert (kept.life.state, kept.life.cause) == (state, "the reason")
    assert states(open_ledger(tmp_path, "bn", wanted=True)) == {"bn": "waiting"}


def batches(folder: Path, *sizes: int) -> Ledger:
    ledger = Ledger(folder, "study", Settings())
    latencies = {size: replace(Settings().latency, batch_size=size) for size in sizes}
    points = [
        Point({"latency.batch_size": size}, replace(Settings(), latency=latency))
        for size, latency in latencies.items()
    ]
    ledger.enroll(points)
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
    (kept,) = open_ledger(tmp_path, "bn").tickets()
    assert (kept.life.state, kept.life.score, kept.life.latency_ms) == ("measured", None, 2.0)


def test_a_journal_of_an_older_version_is_refused_by_name(tmp_path):
    ledger = open_ledger(tmp_path, "bn")
    journal = tmp_path / "study.journal"
    journal.write_text(journal.read_text().replace('"life0"', '"outcome"'))
    with pytest.raises(ValueError, match=r"study\.journal: is of an older version; move it away"):
        open_ledger(tmp_path, "bn")
    del ledger


def test_a_variant_left_running_by_a_killed_driver_is_the_same_trial_again(tmp_path):
    ledger = open_ledger(tmp_path, "bn", "id")
    before = ledger.tickets()
    ledger.move(before[0], "running", job="17_3")
    after = open_ledger(tmp_path, "bn", "id").tickets()
    assert [ticket.number for ticket in after] == [ticket.number for ticket in before]
    assert (after[0].life.state, after[0].life.job) == ("running", "17_3")
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
    assert states(open_ledger(tmp_path, "bn", "id")) == {"bn": "finished", "id": "waiting"}
    assert states(open_ledger(tmp_path, "bn", "id")) == {"bn": "finished", "id": "waiting"}


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


def test_every_state_is_kept_with_its_time_and_cause(tmp_path):
    clock = iter(range(100, 200))
    ledger = Ledger(tmp_path, "study", Settings(), clock=lambda: next(clock))
    (ticket,) = ledger.enroll([point("bn")])
    ledger.move(ticket, "queued", job="7")
    ledger.move(ticket, "waiting", cause="requeued: node failure on node3", requeues=1)
    ledger.move(ticket, "running", job="8")
    (read,) = Ledger.read(tmp_path, "study", Settings()).tickets()
    seen = [(life.state, life.since, life.cause, life.job, life.requeues) for life in read.lives]
    assert seen == [
        ("waiting", 100, "", "", 0),
        ("queued", 101, "", "7", 0),
        ("waiting", 102, "requeued: node failure on node3", "7", 1),
        ("running", 103, "", "8", 1),
    ]


def test_a_ledger_that_could_not_be_written_is_as_it_was_and_goes_on(tmp_path, monkeypatch):
    ledger = open_ledger(tmp_path, "bn")
    (ticket,) = ledger.tickets()
    whole = (tmp_path / "study.journal").read_bytes()

    def half(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("os.fsync", half)
        with pytest.raises(OSError, match="No space left"):
            ledger.move(ticket, "running")
    assert (tmp_path / "study.journal").read_bytes() == whole
    assert ticket.life.state == "waiting"
    ledger.tell(ticket, Outcome("finished", 98.0, 1.5))
    assert states(open_ledger(tmp_path, "bn")) == {"bn": "finished"}


def test_an_end_that_a_kill_kept_from_optuna_is_told_by_the_next_driver(tmp_path, monkeypatch):
    ledger = open_ledger(tmp_path, "bn")
    monkeypatch.setattr(ledger, "_close", lambda ticket: None)
    tell_all(ledger, Outcome("finished", 98.0, 1.5))
    open_ledger(tmp_path, "bn")
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    (trial,) = optuna.load_study(study_name="study", storage=storage).trials
    assert trial.state.name == "COMPLETE"


def test_reading_changes_nothing_and_a_missing_study_is_one_clear_line(tmp_path):
    open_ledger(tmp_path, "bn")
    torn = (tmp_path / "study.journal").read_bytes() + b'{"op_code":'
    (tmp_path / "study.journal").write_bytes(torn)
    assert states(Ledger.read(tmp_path, "study", Settings())) == {"bn": "waiting"}
    assert (tmp_path / "study.journal").read_bytes() == torn
    with pytest.raises(ValueError, match=r"has no study\.journal"):
        Ledger.read(tmp_path / "other", "other", Settings())
