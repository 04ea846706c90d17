import math
import random
from dataclasses import replace
from fractions import Fraction
from statistics import variance

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from repghost.sweep.rungs import Curve, StopSpec, verdict

SCORES = st.sampled_from([90.0, 90.5, 91.0, 91.0, 93.0, 97.5, math.nan, math.inf, -math.inf])
LATENCIES = st.sampled_from([1.0, 1.0, 1.5, 2.0, math.inf, math.nan])
SPECS = st.builds(
    StopSpec,
    rungs=st.sampled_from([[0.1], [0.3], [0.1, 0.3], [0.25, 0.5, 0.7]]),
    enough=st.integers(1, 3),
    noise=st.sampled_from([0.0, 0.37, 2.0]),
    points=st.sampled_from([0.0, 0.31, 1.7]),
)
SPEC = StopSpec(rungs=[0.3], enough=2, noise=2.0, points=0.5)


@st.composite
def curves(draw, rows="abcdefghijkl"):
    """Variants at all stages of their training, in few groups and with few different values."""
    found = []
    for row in rows[: draw(st.integers(1, len(rows)))]:
        epochs = draw(st.sampled_from([1, 4, 10]))
        scores = tuple(draw(st.lists(SCORES, max_size=epochs)))
        found.append(Curve(row, draw(st.sampled_from("ABCDEFG")), draw(LATENCIES), epochs, scores))
    return found


def curve(row, latency_ms, *scores, epochs=10, group=None):
    return Curve(row, group or row, latency_ms, epochs, tuple(map(float, scores)))


def held(row, latency_ms, top1, group=None):
    """A variant that had the same score after each of its first three epochs."""
    return curve(row, latency_ms, top1, top1, top1, group=group)


def at(one, rung):
    epoch = next(e for e in range(1, 11) if e >= Fraction(str(rung)) * one.epochs)
    passed = epoch <= len(one.scores) and math.isfinite(one.scores[epoch - 1])
    return Fraction(one.scores[epoch - 1]) if passed else None


def brute_force(one, others, spec):
    """Return rung and names of those that stop `one`, from the definition; None if it goes on."""
    passed = [r for r in spec.rungs if len(one.scores) >= Fraction(str(r)) * one.epochs]
    if not one.scores or not passed or len(one.scores) == one.epochs or at(one, passed[-1]) is None:
        return None
    rung, rows = passed[-1], {other.row: other for other in [*others, one]}
    groups = {}
    for other in rows.values():
        if at(other, rung) is not None:
            groups.setdefault(other.group, []).append(other)
    squares, degrees = 2 * spec.points**2, 2
    for group in groups.values():
        if len(group) > 1:
            squares += variance([float(at(o, rung)) for o in group]) * (len(group) - 1)
            degrees += len(group) - 1
    better = set()
    for name, group in groups.items():
        fast = [at(o, rung) for o in group if o.latency_ms <= one.latency_ms < math.inf]
        if fast and name != one.group:
            lead = float(sum(fast) / len(fast) - at(one, rung))
            if lead > spec.noise * math.sqrt((1 + 1 / len(fast)) * squares / degrees):
                better.add(name)
    return (rung, better) if len(better) >= spec.enough else None


@settings(max_examples=500)
@given(curves(), SPECS, st.randoms(use_true_random=False))
def test_a_verdict_equals_brute_force_on_shuffled_tied_doubled_and_infinite_data(
    found, spec, shuffler
):
    others = found[1:] + found[: len(found) // 2]
    shuffler.shuffle(others)
    halt = verdict(found[0], others, spec)
    said = halt and (halt.rung, {rival.group for rival in halt.rivals})
    assert said == brute_force(found[0], others, spec)


def test_verdicts_of_a_large_sweep_equal_brute_force_and_stop_some():
    source = random.Random(3)
    found = []
    for number in range(120):
        quality, latency_ms = source.choice([80, 85, 90]), source.choice([1.0, 2.0, 3.0])
        scores = [quality + source.gauss(0, 1) for _ in range(source.randint(0, 10))]
        found.append(curve(str(number), latency_ms, *scores, group=str(number // 2)))
    spec = StopSpec(rungs=[0.1, 0.3, 0.5])
    halts = [verdict(one, found, spec) for one in found]
    said = [halt and (halt.rung, {rival.group for rival in halt.rivals}) for halt in halts]
    assert said == [brute_force(one, found, spec) for one in found]
    assert 10 < sum(halt is not None for halt in halts) < 110


@given(curves(), SPECS, st.randoms(use_true_random=False))
def test_the_order_of_the_others_does_not_matter(found, spec, shuffler):
    others = found[1:]
    expected = verdict(found[0], others, spec)
    shuffler.shuffle(others)
    assert verdict(found[0], others, spec) == expected


@given(curves(), SPECS, st.lists(SCORES, max_size=10))
def test_a_slower_configuration_changes_nothing(found, spec, scores):
    slower = curve("z", found[0].latency_ms + 0.1, *scores, group="Z")
    assert verdict(found[0], [*found[1:], slower], spec) == verdict(found[0], found[1:], spec)


@given(curves(), SPECS, st.integers(0, 9))
def test_a_variant_that_none_beats_at_its_latency_is_never_stopped(found, spec, epochs):
    best = curve("z", 1.0, *[91.0] * epochs)
    others = [
        replace(one, scores=tuple(s if s <= 91 else 91.0 for s in one.scores))
        if one.latency_ms <= 1.0
        else one
        for one in found
    ]
    assert verdict(best, others, spec) is None


@given(curves())
def test_nobody_is_stopped_by_default_nor_while_stopped_ones_are_resumed(found):
    resuming = StopSpec(rungs=[0.1, 0.3], enough=1, noise=0.0, resume=True)
    for spec in (StopSpec(), resuming):
        assert all(verdict(one, found, spec) is None for one in found)


def test_clearly_beaten_by_enough_that_are_not_slower_is_a_halt():
    halt = verdict(held("x", 2, 80), [held("a", 2, 90), held("b", 1, 95), held("c", 3, 99)], SPEC)
    assert halt is not None
    assert (halt.rung, halt.epoch, halt.score) == (0.3, 3, 80.0)
    assert [rival.group for rival in halt.rivals] == ["b", "a"]
    assert halt.margin == pytest.approx(2.0 * 0.5 * math.sqrt(2))
    assert str(halt) == (
        "at rung 0.3 (epoch 3 of 10) top-1 80.00 % was behind 2 that are not slower, by 10.00"
        " points or more where noise explains 1.41: b, a"
    )


@pytest.mark.parametrize("rivals", [[], [held("a", 1, 95)], [held("a", 1, 95), held("b", 3, 95)]])
def test_too_few_better_ones_are_no_halt(rivals):
    assert verdict(held("x", 2, 80), rivals, SPEC) is None


def test_a_variant_is_judged_at_the_last_rung_that_it_has_passed_and_nowhere_else():
    spec = replace(SPEC, rungs=[0.3, 0.5])
    rivals = [curve(name, 1, 0, 0, 90, 0, 90, 0) for name in "ab"]
    assert verdict(curve("x", 1, 0, 0), rivals, spec) is None  # before the first rung
    assert verdict(curve("x", 1, 0, 0, 89.9), rivals, spec) is None
    behind = verdict(curve("x", 1, 0, 0, 50), rivals, spec)
    assert behind is not None and behind.rung == 0.3
    assert verdict(curve("x", 1, 99, 99, 50, 99), rivals, spec) == behind
    assert verdict(curve("x", 1, 0, 0, 50, 0, 90), rivals, spec) is None  # it caught up
    late = verdict(curve("x", 1, 0, 0, 90, 0, 50), rivals, spec)
    assert late is not None and late.rung == 0.5
    assert verdict(curve("x", 1, *[50] * 10), rivals, spec) is None  # nothing is left to save


def test_those_that_have_not_come_to_the_rung_are_not_compared():
    early = [curve(name, 1, 99, 99) for name in "ab"]
    assert verdict(held("x", 1, 50), early, SPEC) is None
    assert verdict(held("x", 1, 50), [*early, held("c", 1, 99), held("d", 1, 99)], SPEC)


def test_trainings_of_other_lengths_are_compared_at_the_same_share_of_their_epochs():
    longer = [Curve(name, name, 1.0, 20, (50.0,) * 5 + (90.0,)) for name in "ab"]
    assert verdict(held("x", 1, 80), longer, SPEC)
    assert (
        verdict(held("x", 1, 80), [replace(o, scores=o.scores[:5]) for o in longer], SPEC) is None
    )


def test_seeds_of_one_configuration_count_once():
    seeds = [held(f"a{seed}", 1, 95 + seed, group="a") for seed in range(5)]
    assert verdict(held("x", 1, 80), seeds, SPEC) is None
    assert verdict(held("x", 1, 80), [*seeds, held("b", 1, 95)], SPEC)


def test_a_variants_own_seeds_never_count_against_it():
    own = [held(f"x{seed}", 1, 95, group="x") for seed in range(5)]
    assert verdict(held("x", 1, 80, group="x"), [*own, held("a", 1, 99)], SPEC) is None


def test_a_rival_with_more_seeds_needs_a_smaller_lead():
    spec = replace(SPEC, enough=1)
    lead = 2.0 * 0.5 * math.sqrt(1.5) + 0.01  # over the margin of two equal seeds, under one's
    assert verdict(held("x", 1, 80), [held("a0", 1, 80 + lead, group="a")], spec) is None
    two = [held(f"a{seed}", 1, 80 + lead, group="a") for seed in range(2)]
    assert verdict(held("x", 1, 80), two, spec)
    assert verdict(held("x", 1, 80), [two[0], two[0]], spec) is None  # one seed, seen twice


def test_seeds_that_differ_widen_the_margin_and_seeds_that_agree_narrow_it():
    rivals = [held("a", 1, 83), held("b", 1, 83)]
    assert verdict(held("x", 1, 80), rivals, SPEC)
    apart = [held(f"n{seed}", 9, 70 + 10 * seed, group="n") for seed in range(2)]
    assert verdict(held("x", 1, 80), [*rivals, *apart], SPEC) is None
    cautious = replace(SPEC, points=1.5)
    assert verdict(held("x", 1, 80), rivals, cautious) is None
    alike = [held(f"n{seed}", 9, 70, group="n") for seed in range(9)]
    assert verdict(held("x", 1, 80), [*rivals, *alike], cautious)


def test_a_variants_own_seeds_say_how_large_the_noise_is():
    rivals = [held("a", 1, 83), held("b", 1, 83)]
    assert verdict(held("x", 1, 80), rivals, SPEC)
    assert verdict(held("x", 1, 80), [*rivals, held("x1", 1, 95, group="x")], SPEC) is None


def test_of_two_looks_at_a_variant_the_later_one_counts():
    early, late = curve("a", 1, 99), held("a", 1, 99)
    for others in ([early, late], [late, early]):
        assert verdict(held("x", 1, 80), [*others, held("b", 1, 99)], SPEC)


def test_two_seeds_that_are_equal_by_chance_do_not_make_every_difference_a_clear_one():
    rivals = [held(f"a{n}", 1, 80.2, group="a") for n in range(2)] + [held("b", 1, 80.2)]
    assert verdict(held("x", 1, 80), rivals, replace(SPEC, points=1.0)) is None


@pytest.mark.parametrize(("share", "epochs", "epoch"), [(0.07, 100, 7), (0.3, 8, 3), (0.01, 5, 1)])
def test_a_rung_is_passed_with_the_first_epoch_that_reaches_its_share(share, epochs, epoch):
    assert Curve("x", "x", 1.0, epochs, ()).epoch_at(share) == epoch


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rungs", [0.0]),
        ("rungs", [1.0]),
        ("rungs", [0.3, 0.1]),
        ("rungs", [0.3, 0.3]),
        ("rungs", [math.nan]),
        ("rungs", ["0.3"]),
        ("rungs", [True]),
        ("enough", 0),
        ("enough", 1.5),
        ("enough", True),
        ("noise", -1.0),
        ("noise", math.inf),
        ("points", math.nan),
        ("points", None),
    ],
)
def test_a_value_that_cannot_be_is_an_error_that_names_key_and_value(name, value):
    with pytest.raises(ValueError) as error:
        StopSpec(**{name: value})
    assert f"stop.{name}={value}" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_spec_is_a_schema_of_the_config():
    schema = OmegaConf.structured(StopSpec)
    OmegaConf.set_readonly(schema, False)
    merged = OmegaConf.to_object(OmegaConf.merge(schema, {"rungs": [0.1, 0.3], "enough": 2}))
    assert merged == StopSpec(rungs=[0.1, 0.3], enough=2)
