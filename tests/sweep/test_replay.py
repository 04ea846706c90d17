import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.results import NUMBERS, TEXTS
from benchmarks.replay import MedianOfTop1, Recorded, Rungs, curves, recorded, replay
from benchmarks.rungs import CURVES, Truth, front
from repghost.sweep.rungs import Curve, StopSpec

SPEC = StopSpec(rungs=[0.5], enough=1, noise=1.0)
POINTS = st.dictionaries(
    st.integers(0, 30).map(str),
    st.tuples(st.sampled_from([1.0, 1.5, 2.0]), st.sampled_from([90.0, 91.0, 92.0])),
)


class Nobody:
    def ended(self, row, epoch, running):
        return []


class Once:
    """Stops `victim` when `row` has finished an epoch."""

    def __init__(self, row, epoch, victim):
        self._when, self._victim, self.seen = (row, epoch), victim, []

    def ended(self, row, epoch, running):
        self.seen.append((row, epoch))
        return [self._victim] if (row, epoch) == self._when and self._victim in running else []


def run(row, epoch_s, *scores, latency_ms=1.0):
    return Recorded(Curve(row, row, latency_ms, len(scores), tuple(map(float, scores))), epoch_s)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_without_a_rule_all_are_trained_to_the_end(slots):
    runs = [run("a", 2.0, 1, 2, 3), run("b", 1.0, 1, 2), run("c", 5.0, 1)]
    played = replay(runs, slots, Nobody())
    assert played.spent_s == pytest.approx(6 + 2 + 5)
    assert played.finished == {"a", "b", "c"}


def test_a_variant_that_is_stopped_within_an_epoch_has_spent_the_time_until_then():
    runs = [run("a", 2.0, 1, 2, 3), run("b", 10.0, 1, 2), run("c", 1.0, 1)]
    played = replay(runs, 2, Once("a", 2, "b"))
    assert (played.spent_s, played.epochs) == (pytest.approx(6 + 4 + 1), 4)
    assert played.finished == {"a", "c"}


def test_a_stopped_variant_makes_room_for_the_next_at_once():
    runs = [run("a", 1.0, 1, 1, 1), run("b", 3.0, 1, 1), run("c", 0.75, 1, 1)]
    judge = Once("a", 1, "b")
    replay(runs, 2, judge)
    assert judge.seen == [("a", 1), ("c", 1), ("a", 2), ("c", 2), ("a", 3)]


def test_what_has_not_happened_yet_stops_nobody():
    good, bad = run("good", 1.0, 90, 90, 90, 90), run("bad", 1.0, 50, 50, 50, 50)
    runs = {"good": good, "bad": bad}
    assert replay([good, bad], 1, Rungs(runs, SPEC)).finished == {"good"}
    assert replay([bad, good], 1, Rungs(runs, SPEC)).finished == {"good", "bad"}
    assert replay([bad, good], 2, Rungs(runs, SPEC)).finished == {"good"}


def test_optunas_rule_stops_what_is_below_the_median_however_fast_it_is():
    runs = {f"{n}": run(f"{n}", 1.0, 90 + n, 95 + n, latency_ms=9.0) for n in range(5)}
    runs["fast"] = run("fast", 1.0, 80, 85, latency_ms=0.1)
    assert replay(list(runs.values()), 1, MedianOfTop1(runs)).finished == runs.keys() - {"fast"}
    assert replay(list(runs.values()), 1, Rungs(runs, SPEC)).finished == runs.keys()


@given(POINTS)
def test_the_front_holds_those_that_nobody_dominates(points):
    on = front(points)
    for name, (latency_ms, top1) in points.items():
        faster = [one for one in points.values() if one[0] < latency_ms]
        as_fast = [one for one in points.values() if one[0] == latency_ms]
        best = all(one[1] < top1 for one in faster) and all(one[1] <= top1 for one in as_fast)
        assert (name in on) == best


def test_what_is_recorded_from_a_study_is_read_back(tmp_path):
    header = ["study", "key", "state", "model.width", "seed", *NUMBERS, *TEXTS]
    cells = {"study": "s", "key": "k1", "state": "finished", "model.width": "0.5", "seed": "3"}
    cells |= {"latency_ms": "1.25", "device": "local: a CPU"}
    (tmp_path / "s").mkdir()
    lines = [",".join(header), ",".join(cells.get(name, "") for name in header)]
    (tmp_path / "s/results.csv").write_text("\n".join(lines))
    (tmp_path / "s/study.json").write_text(json.dumps({"command": "python launch.py -m x"}))
    (tmp_path / "runs/k1").mkdir(parents=True)
    epochs = [{"epoch": n, "top1": 90.0 + n, "seconds": 2.0} for n in range(3)]
    text = "\n".join(map(json.dumps, [*epochs, epochs[2] | {"top1": 95.5}]))  # 2 was done again
    (tmp_path / "runs/k1/metrics.jsonl").write_text(text)
    written = recorded(tmp_path / "s")
    (tmp_path / "curves.csv").write_text(written)
    expected = Recorded(Curve("k1", "width=0.5", 1.25, 3, (90.0, 91.0, 95.5)), 2.0)
    assert curves(tmp_path / "curves.csv") == [expected]
    assert "# Command: python launch.py -m x" in written


def test_on_the_recorded_curves_the_defaults_save_hours_and_lose_nothing_of_the_front():
    truth, saved = Truth(curves(CURVES)), []
    for seed in range(20):
        order = list(truth.runs.values())
        random.Random(seed).shuffle(order)
        found = truth.judged(replay(order, 4, Rungs(truth.runs, StopSpec(rungs=[0.1, 0.3]))))
        assert found.lost == 0 and found.best_rank == 1
        saved.append(found.saved)
    assert sum(saved) / len(saved) > 0.1
