import pytest
import studies

from analysis.findings import find, headline, question, tied
from analysis.results import load
from analysis.variants import describe, estimate, group, short_names


def study(tmp_path, rows, swept="model.reparam"):
    return load(studies.write_study(tmp_path, rows, swept=swept))


def seeds(name, *scores, **columns):
    return [
        studies.run(**{"model.reparam": name}, seed=seed, top1=top1, **columns)
        for seed, top1 in enumerate(scores)
    ]


def variants_of(tmp_path, *runs):
    return {
        variant.label: variant
        for variant in group(study(tmp_path, [row for rows in runs for row in rows]))
    }


def test_seeds_of_one_setting_become_mean_and_sample_standard_deviation(tmp_path):
    variants = variants_of(tmp_path, seeds("bn", 98.0, 99.0, 100.0), seeds("id", 97.0))
    bn = variants["bn"]
    assert (bn.score.mean, bn.score.std, bn.score.n, bn.seeds) == (99.0, 1.0, 3, (0, 1, 2))
    assert variants["id"].score.std is None
    assert variants["id"].score.interval is None


def test_the_interval_over_seeds_is_students():
    low, high = estimate([98.0, 99.0, 100.0]).interval
    assert (low, high) == pytest.approx((99 - 2.4843, 99 + 2.4843), abs=1e-3)


def test_runs_that_did_not_finish_do_not_count_in_the_mean(tmp_path):
    rows = [*seeds("bn", 98.0, 99.0), studies.failed("NaN", **{"model.reparam": "bn"}, seed=2)]
    rows.append(studies.run(**{"model.reparam": "bn"}, seed=3, top1=10.0, state="running"))
    (variant,) = group(study(tmp_path, rows))
    assert variant.score.mean == 98.5
    assert variant.seed_count == "2/4"
    assert variant.state == "1 failed, 1 running"


def test_variants_come_by_top1_and_unscored_ones_last(tmp_path):
    rows = [
        studies.failed("x", **{"model.reparam": "none"}),
        *seeds("id", 97.0),
        *seeds("bn", 99.0),
    ]
    labels = [variant.label for variant in group(study(tmp_path, rows))]
    assert labels == ["bn", "id", "reparam=none"]


def test_twins_share_a_latency_that_was_measured_once(tmp_path):
    rows = [*seeds("bn", 99.0), *seeds("id", 98.0), *seeds("dconv", 97.0)]
    rows += seeds("both", 96.0, fingerprint="another", latency_ms=2.0)
    found = find(study(tmp_path, rows))
    assert "bn, id, dconv deploy to one graph: measured once." in headline(found)
    assert found.graph_names == {0: "A", 1: "A", 2: "A"}


def test_twins_that_were_timed_twice_are_said_to_be(tmp_path):
    rows = [*seeds("bn", 99.0), *seeds("id", 98.0, latency_ms=1.3)]
    assert "bn, id deploy to one graph: measured 2 times." in headline(find(study(tmp_path, rows)))


def test_rows_without_fingerprint_are_no_twins(tmp_path):
    rows = [*seeds("bn", 99.0, fingerprint=""), *seeds("id", 98.0, fingerprint="")]
    assert find(study(tmp_path, rows)).twins == ()


def test_one_seed_has_no_interval_and_says_so(tmp_path):
    results = study(tmp_path, [*seeds("bn", 99.0), *seeds("id", 98.9)])
    assert any("1 seed: no interval for each variant" in line for line in headline(find(results)))
    best, other = find(results).variants
    assert tied(best, other) is None


def test_a_tie_needs_equal_means_or_overlapping_intervals(tmp_path):
    variants = variants_of(
        tmp_path,
        seeds("bn", 98.0, 99.0, 100.0),
        seeds("id", 98.1, 98.9, 99.7),
        seeds("dconv", 80.0, 80.1, 80.2),
        seeds("one", 99.0),
        seeds("many", 50.0, 50.0),
    )
    assert tied(variants["bn"], variants["id"]) is True
    assert tied(variants["bn"], variants["dconv"]) is False
    assert tied(variants["bn"], variants["one"]) is True  # equal means
    assert tied(variants["dconv"], variants["one"]) is None
    assert tied(variants["many"], variants["dconv"]) is False


def test_a_tie_at_the_top_is_called_a_tie(tmp_path):
    rows = [*seeds("bn", 98.0, 99.0, 100.0), *seeds("id", 98.1, 98.9, 99.7)]
    assert any(
        line.startswith("A tie at the top: bn, id") for line in headline(find_in(tmp_path, rows))
    )


def test_a_clear_winner_leads(tmp_path):
    rows = [*seeds("bn", 99.0, 99.1, 99.2), *seeds("id", 90.0, 90.1, 90.2)]
    assert any(line.startswith("bn leads") for line in headline(find_in(tmp_path, rows)))


def find_in(tmp_path, rows):
    return find(study(tmp_path, rows))


def test_the_front_compares_no_latencies_of_different_devices(tmp_path):
    rows = [
        *seeds("bn", 99.0, latency_ms=1.0),
        *seeds("id", 98.0, latency_ms=2.0),
        *seeds("dconv", 97.0, latency_ms=5.0, device="phone"),
    ]
    found = find(study(tmp_path, rows))
    assert {found.variants[i].label for i in found.front} == {"bn", "dconv"}


def test_equal_points_are_on_the_front_together(tmp_path):
    found = find(study(tmp_path, [*seeds("bn", 99.0), *seeds("id", 99.0)]))
    assert len(found.front) == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model.reparam": "bn"}, "bn"),
        ({"model.reparam": "none"}, "reparam=none"),
        ({"model.width": "0.5", "model.reparam": "bn+id"}, "width=0.5 bn+id"),
        ({"model.se": "true"}, "se=true"),
        ({"a.lr": "1", "b.lr": "2"}, "a.lr=1 b.lr=2"),
        ({"x": ""}, "x="),
        ({}, ""),
    ],
)
def test_settings_in_words_name_the_key_of_numbers_and_switches(settings, words):
    assert describe(settings) == words


def test_keys_lose_their_group_only_where_that_is_unambiguous():
    assert short_names(["model.width", "recipe.lr", "x.lr"]) == {
        "model.width": "width",
        "recipe.lr": "recipe.lr",
        "x.lr": "x.lr",
    }


def test_the_question_is_made_from_the_swept_keys_unless_stated(tmp_path):
    results = study(tmp_path, [*seeds("bn", 99.0), *seeds("id", 98.0)])
    assert (
        question(results, find(results))
        == "Which reparam (bn, id) gives the best top-1 for its latency?"
    )
    studies.write_provenance(results.study_dir, question="Is bn enough?")
    results = load(results.study_dir)
    assert question(results, find(results)) == "Is bn enough?"
