import io
import json
import math
import time

import numpy as np
import pytest
import studies
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from analysis.__main__ import main
from analysis.chances import Points, chances, draw_top1, on_front
from analysis.fronts import advice, fronts, next_command
from analysis.fronts_table import fronts_dict, fronts_summary, nearest
from analysis.hypervolume import end_times, growth, hypervolume, knee
from analysis.pareto import pareto_front
from analysis.printing import put
from analysis.results import load

SMALL = st.integers(0, 4).map(float)
POINTS = st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=12)


def points(rows, spread=None, degrees=0, graph=None, training=None):
    """Make points of rows (latency, error of its logarithm, top-1, seeds)."""
    latency, error, top1, seeds = (np.array(column, float) for column in zip(*rows, strict=True))
    each = np.arange(len(rows))
    return Points(
        latency,
        error,
        each if graph is None else np.array(graph),
        top1,
        seeds.astype(int),
        each if training is None else np.array(training),
        spread,
        degrees,
    )


@given(st.lists(POINTS, min_size=1, max_size=5))
def test_rows_of_fronts_equal_the_exact_front_of_each_row(rows):
    n = min(map(len, rows))
    latency, top1 = np.array([row[:n] for row in rows]).transpose(2, 0, 1)
    found = on_front(latency, top1)
    for row, flags in zip(rows, found, strict=True):
        assert set(np.flatnonzero(flags)) == set(pareto_front(row[:n]))


@given(POINTS)
def test_hypervolume_equals_the_count_of_unit_cells_that_are_dominated(cloud):
    cells = sum(
        any(ms <= x and top1 >= y + 1 for ms, top1 in cloud) for x in range(5) for y in range(-1, 4)
    )
    assert hypervolume(cloud, (5.0, -1.0)) == pytest.approx(cells)


def test_hypervolume_ignores_nan_infinities_and_what_is_worse_than_the_reference():
    cloud = [(math.nan, 9.0), (0.0, math.inf), (9.0, 9.0), (1.0, 0.0), (1.0, 2.0)]
    assert hypervolume(cloud, (2.0, 1.0)) == 1.0


def test_a_hundred_thousand_points_take_about_a_second_at_most():
    source = np.random.default_rng(0)
    cloud = [tuple(row) for row in source.random((100_000, 2)).tolist()]
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        pareto_front(cloud)
        best = min(best, time.perf_counter() - start)
    assert best < 3  # 0.1 s on an idle core; shared ones are given room


def test_the_chance_of_two_points_is_that_of_the_normal_distribution():
    """One latency; top-1 differs by one standard error of the difference: 0.8413."""
    found = chances(
        points([(1, 0, 70.0, 2), (1, 0, 71.0, 2)], spread=1.0, degrees=10**6, graph=[0, 0]),
        draws=20_000,
    )
    assert found.front == pytest.approx([0.1587, 0.8413], abs=0.01)


def test_a_latency_that_is_not_sure_leaves_its_share_of_the_doubt():
    """Equal medians of latency with a better top-1: the poorer is on the front if it is faster."""
    found = chances(points([(1, 0.1, 70.0, 1), (1, 0.1, 80.0, 1)]), draws=20_000)
    assert found.front == pytest.approx([0.5, 1.0], abs=0.02)
    assert found.by_latency[0] == pytest.approx(0.5, abs=0.02) and found.by_top1[0] == 0
    assert list(found.rival) == [1, -1]


def test_twins_share_one_latency_so_the_poorer_is_never_on_the_front_by_its_luck():
    found = chances(points([(1, 0.3, 70.0, 1), (1, 0.3, 80.0, 1)], graph=[0, 0]))
    assert list(found.front) == [0, 1]


def test_one_training_timed_twice_has_one_top1():
    drawn = draw_top1(
        points([(1, 0, 70, 2), (2, 0, 70, 2)], 1.0, 4, training=[0, 0]),
        50,
        np.random.default_rng(0),
    )
    assert (drawn[:, 0] == drawn[:, 1]).all() and len(set(drawn[:, 0])) == 50


def test_few_degrees_of_freedom_give_the_tails_of_students_t():
    drawn = draw_top1(points([(1, 0, 0, 1)], 1.0, 2), 200_000, np.random.default_rng(0))
    assert (np.abs(drawn) > 4.303).mean() == pytest.approx(0.05, abs=0.005)


@given(POINTS)
@settings(deadline=None, max_examples=40)
def test_without_any_doubt_the_chances_are_the_front(cloud):
    found = chances(points([(ms + 1, 0, top1, 1) for ms, top1 in cloud]), draws=3)
    assert set(np.flatnonzero(found.front == 1)) == set(pareto_front(cloud))
    assert set(found.front) <= {0.0, 1.0}


def test_ten_thousand_variants_are_drawn_in_pieces():
    source = np.random.default_rng(1)
    rows = [(ms, 0.01, top1, 1) for ms, top1 in 1 + source.random((10_000, 2))]
    found = chances(points(rows), draws=210)
    assert found.front.shape == (10_000,) and 1 < found.front.sum() < 200


def test_the_knee_is_where_the_front_bends():
    cloud = [(1.0, 60.0), (2.0, 74.0), (5.0, 76.0), (9.0, 77.0), (9.5, 70.0)]
    assert knee(cloud) == 1
    assert knee(cloud[:2]) is None and knee([(1, 1), (2, 2), (3, 3)]) is None
    assert knee([(1.0, 1.0), (2.0, 1.1), (3.0, 3.0)]) is None


def test_the_volume_grows_in_the_order_in_which_runs_ended_and_ends_at_all_of_it():
    cloud = {"a": (2.0, 70.0), "b": (1.0, 60.0), "c": (4.0, 80.0), "d": (5.0, 50.0)}
    moments = growth(cloud, {"a": 3600.0, "b": 0.0, "c": 7200.0, "d": 7200.0})
    assert [round(m.hours, 3) for m in moments] == [0, 1, 2]
    assert [m.share for m in moments] == sorted(m.share for m in moments)
    assert moments[-1].share == 1
    assert growth(cloud, {}) == []


def test_end_times_are_read_from_the_ledger_past_torn_lines(tmp_path):
    lines = [
        {"op_code": 0, "study_name": "s"},
        {"op_code": 4, "user_attrs": {"key": "k0", "life0": {"state": "waiting", "since": 1.0}}},
        {"op_code": 4, "user_attrs": {"key": "k1", "life0": {"state": "finished", "since": 2.0}}},
        {"op_code": 8, "trial_id": 0, "user_attr": {"life1": {"state": "finished", "since": 7.5}}},
    ]
    journal = tmp_path / "study.journal"
    journal.write_text("\n".join([*map(json.dumps, lines), '{"op_code":8,"tri']))
    assert end_times(journal) == {"k0": 7.5, "k1": 2.0}
    assert end_times(tmp_path / "none") == {}


def two(outputs, seeds, gap, half=0.001, ms=(1.0, 1.0)):
    """Write two branches at `ms` whose top-1 differ by `gap`, seeds spread by 1 point."""
    rows = []
    for n, name in enumerate(("bn", "id")):
        for seed in range(seeds):
            row = studies.run(
                key=f"{name}{seed}",
                seed=seed,
                top1=70 + gap * n + (-1) ** seed,
                latency_ms=ms[n],
                latency_low=ms[n] * (1 - half),
                latency_high=ms[n] * (1 + half),
                latency_ratio=ms[n],
                ratio_low=ms[n] * (1 - half),
                ratio_high=ms[n] * (1 + half),
                fingerprint=name,
            )
            rows.append(row | {"model.reparam": name})
    folder = studies.write_study(outputs, rows, swept="model.reparam")
    studies.write_provenance(folder, latency={"max_rounds": 100, "repeat": 0, "precision": 0.01})
    return load(folder)


def test_doubt_about_top1_asks_for_seeds_in_the_studys_own_command(tmp_path):
    results = two(tmp_path, seeds=2, gap=0.3, ms=(1.0, 0.9))
    (front,) = fronts(results)
    (one,) = advice(front, results)
    assert (one.variant, one.cause, one.rival) == ("bn", "top-1", "id")
    assert "model.reparam=bn,id seed=2,3 study=demo" in one.command
    assert one.command.startswith("python launch.py -m ")


def test_doubt_about_latency_asks_for_rounds(tmp_path):
    results = two(tmp_path, seeds=4, gap=20, half=0.05)
    (front,) = fronts(results)
    (one,) = advice(front, results)
    assert (one.variant, one.cause) == ("bn", "latency")
    assert "latency.repeat=1 latency.max_rounds=400 latency.precision=0.005" in one.command


def test_what_is_sure_is_called_front_and_dominated_and_nothing_more_is_asked_for(tmp_path):
    results = two(tmp_path, seeds=4, gap=20, ms=(1.0, 0.5))
    (front,) = fronts(results)
    assert [front.status(i) for i in range(2)] == ["front", "dominated"]
    assert advice(front, results) == []


def test_a_value_that_a_shell_would_read_is_quoted():
    assert next_command({}, "s", {"model.reparam": "id+dconv", "a": "x;y"}) == (
        "python launch.py -m model.reparam=id+dconv 'a=x;y' study=s"
    )


def text_of(results, budget=(math.inf, -math.inf), width=100):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    put(console, fronts_summary(results, budget, width))
    return console.file.getvalue()


def test_one_seed_everywhere_says_that_the_luck_of_training_is_not_known(tmp_path):
    text = " ".join(text_of(load(studies.write_demo(tmp_path))).split())
    assert "no variant has a second seed" in text and "speak of latency alone" in text


def test_latencies_of_two_devices_have_two_fronts(tmp_path):
    rows = [studies.run(device=d, key=d, fingerprint=d, **{"model.reparam": d}) for d in "ab"]
    assert len(fronts(load(studies.write_study(tmp_path, rows, swept="model.reparam")))) == 2


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_table_fits_its_terminal(tmp_path, width):
    text = text_of(load(studies.write_ablation(tmp_path)), width=width)
    lines = [line for line in text.splitlines() if not line.startswith("  python")]
    assert max(map(len, lines)) <= width and "…" not in text


def test_a_command_stays_on_one_line_to_be_copied(tmp_path):
    text = text_of(two(tmp_path, seeds=2, gap=0.3, ms=(1.0, 0.9)), width=40)
    (line,) = (line for line in text.splitlines() if line.startswith("  python"))
    assert line.endswith("study=demo")


def test_a_budget_names_the_best_that_fits_or_the_nearest(tmp_path, capsys):
    folder = str(studies.write_ablation(tmp_path))
    main(["pareto", folder, "--latency-max", "3", "--top1-min", "97"])
    said = " ".join(capsys.readouterr().out.split())
    assert "have latency <= 3 ms and top-1 >= 97 %; the most accurate is bn width=1.0" in said
    main(["pareto", folder, "--latency-max", "1"])
    said = " ".join(capsys.readouterr().out.split())
    assert "nothing has latency <= 1 ms; nearest is bn width=0.5" in said


def test_the_nearest_is_measured_in_shares_of_the_bounds(tmp_path):
    (front,) = fronts(two(tmp_path, seeds=2, gap=20, ms=(1.0, 1.5)))
    assert front.variants[nearest(front, (0.9, -math.inf))].label == "bn"
    assert front.variants[nearest(front, (1.5, 91.0))].label == "id"


@pytest.mark.parametrize("flag", ["--latency-max", "--top1-min"])
@pytest.mark.parametrize("value", ["nan", "-1", "fast", "inf"])
def test_a_bound_that_is_none_is_refused(tmp_path, flag, value):
    with pytest.raises(SystemExit) as refused:
        main(["pareto", str(studies.write_demo(tmp_path)), flag, value])
    assert refused.value.code == 2


def test_json_holds_chances_sets_and_what_to_run_next(tmp_path):
    results = two(tmp_path, seeds=2, gap=0.3, ms=(1.0, 0.9))
    (found,) = json.loads(json.dumps(fronts_dict(results, (2.0, -math.inf)), allow_nan=False))
    assert {one["label"]: one["status"] for one in found["variants"]} == {
        "id": "front",
        "bn": "undecided",
    }
    assert found["within_budget"] == ["id", "bn"] and found["next"][0]["cause"] == "top-1"


def test_a_study_without_scores_says_so(tmp_path, capsys):
    main(["pareto", str(studies.write_measured(tmp_path))])
    assert "no variant has both" in capsys.readouterr().out
