import io
import json
import math
import shlex

import pytest
import studies
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from analysis.__main__ import main
from analysis.fronts import advice, fronts, next_command
from analysis.fronts_table import fronts_dict, fronts_summary, nearest
from analysis.hypervolume import end_times, growth, hypervolume, knee
from analysis.printing import put
from analysis.results import load

SMALL = st.integers(0, 4).map(float)
POINTS = st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=12)


@given(POINTS)
def test_hypervolume_equals_the_count_of_unit_cells_that_are_dominated(cloud):
    cells = sum(
        any(ms <= x and top1 >= y + 1 for ms, top1 in cloud) for x in range(5) for y in range(-1, 4)
    )
    assert hypervolume(cloud, (5.0, -1.0)) == pytest.approx(cells)


def test_hypervolume_ignores_nan_infinities_and_what_is_worse_than_the_reference():
    cloud = [(math.nan, 9.0), (0.0, math.inf), (9.0, 9.0), (1.0, 0.0), (1.0, 2.0)]
    assert hypervolume(cloud, (2.0, 1.0)) == 1.0


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


def test_doubt_about_top1_asks_for_a_seed_in_the_studys_own_command(tmp_path):
    results = two(tmp_path, seeds=2, gap=0.3, ms=(1.0, 0.9))
    (front,) = fronts(results)
    runs = advice(front, results)
    assert {one.kind for one in runs} == {"seed"} and {one.variant for one in runs} <= {"bn", "id"}
    shares = [one.share for one in runs]
    assert all(0 < share < 1 for share in shares)
    assert next_command(results, 3) == "python launch.py -m model.reparam=bn,id,dconv " + (
        "sweep.refine=3"
    )


def test_doubt_about_latency_asks_for_rounds(tmp_path):
    results = two(tmp_path, seeds=4, gap=20, half=0.05)
    (front,) = fronts(results)
    first = advice(front, results)[0]
    assert first.kind == "rounds" and "4 times the latency rounds of" in first.what


@pytest.mark.parametrize(
    "words",
    ["+sweeps=table6", "hydra/sweeper=search n_trials=9 +model.width=interval(0.1,1)"],
)
def test_the_command_of_a_search_or_of_named_variants_stays_what_it_is(tmp_path, words):
    folder = studies.write_demo(tmp_path)
    command = shlex.join(["python", "launch.py", "-m", *words.split()])
    studies.write_provenance(folder, command=f"{command} sweep.refine=2 plan=true")
    note = {"op_code": 2, "study_id": 0, "user_attr": {"refined": [{"kind": "seed"}] * 2}}
    (folder / "study.journal").write_text(json.dumps(note) + "\n")
    assert next_command(load(folder), 3) == f"{command} sweep.refine=5"


def test_what_is_sure_is_called_front_and_dominated_and_nothing_more_is_asked_for(tmp_path):
    results = two(tmp_path, seeds=4, gap=20, ms=(1.0, 0.5))
    (front,) = fronts(results)
    assert [front.status(i) for i in range(2)] == ["front", "dominated"]
    assert advice(front, results) == []


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
    assert "sweep.refine=" in line


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
    assert found["within_budget"] == ["id", "bn"] and found["next"][0]["kind"] == "seed"


def test_a_study_without_scores_says_so(tmp_path, capsys):
    main(["pareto", str(studies.write_measured(tmp_path))])
    assert "no variant has both" in capsys.readouterr().out
