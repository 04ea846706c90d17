"""Two studies side by side: which variants belong together, and what differs between them."""

import re

import pytest
import studies
import yaml
from scipy.stats import ttest_ind

from analysis.material import gather
from analysis.results import load
from analysis.views.comparison import comparison_section, difference_text, matched

GOOD, POOR = (98.0, 98.6, 98.2), (97.1, 97.0, 97.9)


def rows_of(scores, study="a", **columns):
    """Return a row a seed of one variant."""
    return [
        studies.run(
            key=f"{study}{'-'.join(map(str, columns.values()))}{seed}", seed=seed, top1=top1
        )
        | columns
        for seed, top1 in enumerate(scores)
    ]


def written(outputs, name, rows, swept="model.reparam", config=None):
    """Write a study whose runs have their swept settings, and `config`, in their config.yaml."""
    for row in rows:
        place = outputs / "runs" / row["key"]
        place.mkdir(parents=True, exist_ok=True)
        model = {k.removeprefix("model."): v for k, v in row.items() if k.startswith("model.")}
        (place / "config.yaml").write_text(yaml.safe_dump({"model": model} | (config or {})))
    return gather(load(studies.write_study(outputs, rows, name, swept)))


def words(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_variants_of_equal_settings_are_matched_whatever_their_order(tmp_path):
    one = written(tmp_path, "one", [r for n in ("bn", "id") for r in rows_of(GOOD, **named(n))])
    names = ("dconv", "id", "bn")
    two = [r for n in names for r in rows_of(POOR, "b", **named(n))]
    pairs = matched(one, written(tmp_path, "two", two))
    assert sorted((a.label, b.label) for a, b in pairs) == [("bn", "bn"), ("id", "id")]
    assert {(a.rows[0].study, b.rows[0].study) for a, b in pairs} == {("one", "two")}


def named(name):
    return {"model.reparam": name}


def test_a_key_that_one_study_did_not_sweep_is_read_from_its_configs(tmp_path):
    narrow = rows_of(GOOD, **named("bn"))
    one = written(tmp_path, "one", narrow, config={"model": {"reparam": "bn", "width": 0.5}})
    wide = [r for w in ("0.5", "1.0") for r in rows_of(POOR, "b", **named("bn"), **width(w))]
    two = written(tmp_path, "two", wide, "model.reparam model.width")
    ((a, b),) = matched(one, two)
    assert (a.label, b.settings["model.width"]) == ("bn", "0.5")
    assert [(x.label, y.label) for x, y in matched(two, one)] == [(b.label, a.label)]


def width(value):
    return {"model.width": value}


def test_a_variant_of_which_a_swept_setting_is_unknown_has_no_match(tmp_path):
    one = written(tmp_path, "one", rows_of(GOOD, **named("bn")))  # no config says its width
    several = [r for w in ("0.5", "1.0") for r in rows_of(POOR, "b", **named("bn"), **width(w))]
    two = written(tmp_path, "two", several, "model.reparam model.width")
    assert matched(one, two) == []


def pair_of(tmp_path, first, second, **columns):
    one = written(tmp_path, "one", rows_of(first, **named("bn")))
    two = written(tmp_path, "two", changed(second, columns))
    return matched(one, two)[0]


def changed(scores, columns):
    return [row | columns for row in rows_of(scores, "b", **named("bn"))]


def test_a_difference_has_welchs_interval(tmp_path):
    text = difference_text(*pair_of(tmp_path, GOOD, POOR))
    ends = ttest_ind(GOOD, POOR, equal_var=False).confidence_interval(0.95)
    value = sum(GOOD) / 3 - sum(POOR) / 3
    assert text == f"{value:+.2f} [{ends.low:+.2f}, {ends.high:+.2f}]"


@pytest.mark.parametrize("scores", [(97.0,), (97.0, 97.0, 97.0)])
def test_a_difference_of_one_seed_or_of_no_spread_has_no_interval(tmp_path, scores):
    assert difference_text(*pair_of(tmp_path, (98.25,) * len(scores), scores)) == "+1.25"


def test_what_has_no_score_has_no_difference(tmp_path):
    a, b = pair_of(tmp_path, GOOD, POOR, **studies.UNSCORED, state="failed", error="x")
    assert (difference_text(a, b), difference_text(b, a)) == ("-", "-")


FACTORS = {
    "same graph": ({}, "1, same graph"),
    "another graph": ({"fingerprint": "e" * 40, "latency_ratio": 0.8}, "1.250"),
    "another device": ({"fingerprint": "e" * 40, "device": "pixel"}, "-"),
    "another protocol": ({"protocol": "paper"}, "-"),
    "not timed": (studies.UNTIMED, "-"),
}


@pytest.mark.parametrize(("columns", "expected"), FACTORS.values(), ids=FACTORS)
def test_a_factor_is_given_where_latencies_compare(tmp_path, columns, expected):
    one = written(tmp_path, "one", rows_of(GOOD, **named("bn")))
    two = written(tmp_path, "two", changed(POOR, columns))
    html = comparison_section(one, two)
    cells = re.findall(r"<td>(.*?)</td>", html)
    assert len(cells) == 7 and cells[-1] == expected


def test_the_section_says_what_else_sets_the_studies_apart(tmp_path):
    config = {"recipe": {"epochs": 8, "lr": 0.1}}
    rows = [r | {"commit": "aaa1111"} for n in ("bn", "id") for r in rows_of(GOOD, **named(n))]
    one = written(tmp_path, "one", rows, config=config)
    others = rows_of(POOR, "b", **named("bn"))
    two = written(tmp_path, "two", others, config={"recipe": {"epochs": 30, "lr": 0.1}})
    said = words(comparison_section(one, two))
    assert "recipe.epochs: 8 here, 30 in two" in said
    assert "recipe.lr" not in said and "model.reparam:" not in said
    assert "commit: aaa1111 here, 0123abc in two" in said
    assert "1 variants in both; 2 here, 1 in two." in said


def test_studies_that_share_nothing_say_so_without_a_table(tmp_path):
    one = written(tmp_path, "one", rows_of(GOOD, **named("bn")))
    two = written(tmp_path, "two", rows_of(POOR, "b", **named("id")))
    html = comparison_section(one, two)
    assert "No variant of one has the settings of one of two." in words(html)
    assert "<table" not in html


def test_names_from_configs_stay_text(tmp_path):
    bad = "<img src=x onerror=x()>"
    one = written(tmp_path, "one", rows_of(GOOD, **named(bad)), config={"a": bad})
    two = written(tmp_path, "two", rows_of(POOR, "b", **named(bad)), config={"a": "b"})
    html = comparison_section(one, two)
    assert "<img" not in html and html.count("&lt;img") == 2
