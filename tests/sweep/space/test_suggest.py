"""Optuna's samplers as we ask them: values in range, limits kept, bounded in what they see."""

import math
import random
import statistics
import time
from dataclasses import replace

import pytest

from repghost.sweep.space.dimensions import Choice, Interval
from repghost.sweep.space.points import SAMPLERS, SamplerSpec
from repghost.sweep.space.suggest import Score, Suggester, Suggestion

CHOICES = [("bn", "bn"), ("id", "id"), (1, "1"), (True, "true"), (None, "null")]
SPACE = (
    Choice("model.reparam", CHOICES),
    Interval("model.width", 0.25, 2.0),
    Interval("+recipe.lr", 1e-4, 1.0, log=True),
    Interval("recipe.epochs", 1, 64, log=True, integer=True),
    Interval("model.kernel", 3, 9, integer=True, step=2),
    Interval("model.dropout", 0.1, 0.7, step=0.2),
)


def suggester(sampler: str = "tpe", seed: int = 0, space=SPACE) -> Suggester:
    return Suggester(space, SamplerSpec(sampler, seed))


def measured(suggestion: Suggestion) -> Score:
    """A wide network is slow and good; of the rest one setting is best, at every width."""
    branch, width, lr, epochs, kernel, dropout = suggestion.values.values()
    lost = 4 * (math.log10(lr) + 2) ** 2 + 3 * (math.log2(epochs) - 4) ** 2
    lost += (kernel - 5) ** 2 + 20 * (dropout - 0.3) ** 2 + (0 if branch == "id" else 5)
    return Score(max(0.0, 100 * (1 - math.exp(-2 * width)) - lost), width**2)


def run(asked: Suggester, trials: int, score=measured) -> list[tuple[Suggestion, Score]]:
    results = []
    for _ in range(trials):
        suggestion = asked.ask()
        results.append((suggestion, score(suggestion)))
        asked.tell(*results[-1])
    return results


def hypervolume(scores: list[Score]) -> float:
    """The area that is dominated, against 0 % and 4 ms."""
    area, best = 0.0, 0.0
    for score in sorted(scores, key=lambda score: score.latency_ms):
        area += max(0.0, score.score - best) * (4.0 - score.latency_ms)
        best = max(best, score.score)
    return area


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_values_stay_in_their_ranges_and_keep_their_types(sampler):
    for suggestion, _ in run(suggester(sampler), 150):
        branch, width, lr, epochs, kernel, dropout = suggestion.values.values()
        assert any(branch is value for value, _ in CHOICES)
        assert type(width) is float and 0.25 <= width <= 2.0
        assert type(lr) is float and 1e-4 <= lr <= 1.0
        assert type(epochs) is int and 1 <= epochs <= 64
        assert type(kernel) is int and kernel in (3, 5, 7, 9)
        assert dropout in (0.1, 0.3, 0.5, 0.7)


def test_a_logarithmic_interval_is_sampled_evenly_in_the_logarithm():
    rates = [s.values["+recipe.lr"] for s, _ in run(suggester("random"), 200)]
    assert 1e-3 < statistics.median(rates) < 1e-1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_equal_seed_and_history_give_equal_suggestions(sampler):
    def values(seed: int) -> list[dict]:
        return [s.values for s, _ in run(suggester(sampler, seed), 120)]

    assert values(1) == values(1) != values(2)


def test_a_sampler_that_goes_on_does_not_begin_as_it_did_before():
    first = suggester("random")
    earlier = run(first, 20)
    second = suggester("random")
    for suggestion, score in earlier:
        second.tell(second.adopt(suggestion.values), score)
    assert second.ask().values not in [suggestion.values for suggestion, _ in earlier]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_the_front_found_is_better_than_by_chance(sampler):
    def volumes(name: str) -> list[float]:
        runs = (run(suggester(name, seed), 150) for seed in range(3))
        return [hypervolume([score for _, score in results]) for results in runs]

    assert statistics.mean(volumes(sampler)) > statistics.mean(volumes("random"))


def teach(asked: Suggester, trials: int, rates: tuple[float, float]) -> None:
    """Tell of networks of all widths, trained at learning rates of 10 ** `rates`."""
    rng = random.Random(0)
    for _ in range(trials):
        values = {"model.reparam": "id", "model.width": rng.uniform(0.25, 2)}
        values |= {"recipe.lr": 10 ** rng.uniform(*rates), "recipe.epochs": 16}
        suggestion = asked.adopt(values | {"model.kernel": 5, "model.dropout": 0.3})
        asked.tell(suggestion, measured(suggestion))


def miss(asked: Suggester) -> float:
    """How far from the best learning rate the next suggestions are, in powers of ten."""
    rates = [suggestion.values["+recipe.lr"] for suggestion, _ in run(asked, 30)]
    return statistics.mean(abs(math.log10(rate) + 2) for rate in rates)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_history_is_learnt_from_as_if_it_had_been_asked_for(sampler):
    fresh, learned = suggester(sampler), suggester(sampler)
    teach(learned, 300, (-2.5, -1.5))
    assert miss(learned) < 0.7 * miss(fresh)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_front_is_not_forgotten_for_what_came_later(sampler):
    worse, learned = suggester(sampler), suggester(sampler)
    teach(learned, 100, (-2.1, -1.9))
    for asked in (worse, learned):
        teach(asked, 1000, (-4.0, -3.0))
    assert miss(learned) < 0.7 * miss(worse)


def test_time_does_not_grow_with_the_history():
    few, many = suggester(), suggester()
    for asked, trials in ((few, 600), (many, 5000)):
        asked.drop(asked.ask())  # what is learnt in between counts as well
        teach(asked, trials, (-4.0, 0.0))
    seconds: dict[Suggester, list[float]] = {few: [], many: []}
    for asked in [few, many] * 25:
        start = time.process_time()
        run(asked, 1)
        seconds[asked].append(time.process_time() - start)
    assert statistics.median(seconds[many]) < 2 * statistics.median(seconds[few])


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_points_that_break_a_limit_are_left_for_those_that_keep_it(sampler):
    def limited(suggestion: Suggestion) -> Score:
        scored = measured(suggestion)
        return replace(scored, violation=max(0.0, scored.latency_ms / 0.5 - 1))

    kept = [not score.violation for _, score in run(suggester(sampler), 200, limited)]
    assert sum(kept[:24]) < 12 and sum(kept[-48:]) > 36


def test_points_at_work_keep_further_suggestions_away():
    widths = Choice("model.width", [(width, str(width)) for width in range(1, 13)])
    space = (widths, Choice("seed", [(seed, str(seed)) for seed in range(3)]))

    def asked(then) -> int:
        """How many different points twelve suggestions are."""
        source = suggester(space=space)
        run(source, 60, lambda suggestion: Score(90 - suggestion.values["model.width"], 1.0))
        points = []
        for _ in range(12):
            suggestion = source.ask()
            points.append(tuple(suggestion.values.values()))
            then(source, suggestion)
        return len(set(points))

    assert asked(lambda source, suggestion: None) > 1.3 * asked(Suggester.drop)


def test_a_dropped_point_is_nowhere_any_more():
    asked = suggester("random")
    suggestion = asked.ask()
    asked.drop(suggestion)
    with pytest.raises(KeyError):
        asked.tell(suggestion, Score())


def test_a_point_of_this_space_is_adopted_with_or_without_the_plus_of_its_keys():
    asked = suggester()
    known = asked.ask().values
    plain = {key.lstrip("+"): value for key, value in known.items()}
    assert asked.adopt(known).values == asked.adopt(plain).values == known


@pytest.mark.parametrize(
    "other",
    [
        {"model.reparam": "dconv"},
        {"model.reparam": False},
        {"model.width": 2.5},
        {"model.width": "wide"},
        {"model.width": None},
        {"recipe.epochs": 2.5},
        {"model.kernel": 4},
        {"model.dropout": 0.2},
    ],
)
def test_a_point_of_another_space_is_not_adopted(other):
    asked = suggester()
    known = asked.ask().values
    assert asked.adopt(known | other) is None
    assert asked.adopt({key: known[key] for key in known.keys() - other.keys()}) is None
