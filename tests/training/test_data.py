"""The bundled digits and the checks of data and recipe."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repghost.training.batches import mix
from repghost.training.digits import Digits
from repghost.training.rows import Rows
from repghost.training.spec import DataSpec, RecipeSpec

RECIPE = RecipeSpec(batch_size=64, warmup_epochs=0)


def test_digits_are_split_1437_to_360_with_every_class_in_both():
    digits = Digits(DataSpec(), RecipeSpec(batch_size=1437), 0)
    train = next(digits.train(0, 0)).targets
    val = torch.cat([batch.targets for batch in digits.val()])
    assert (len(train), len(val)) == (1437, 360)
    assert val.bincount().min() >= 34
    assert train.bincount().min() >= 138


def test_the_split_does_not_depend_on_the_seed():
    one, other = (
        torch.cat([b.images for b in Digits(DataSpec(), RECIPE, s).val()]) for s in (0, 7)
    )
    assert torch.equal(one, other)


def test_an_epoch_entered_in_its_middle_gives_the_same_batches():
    whole = list(Digits(DataSpec(), RECIPE, 5).train(2, 0))
    rest = list(Digits(DataSpec(), RECIPE, 5).train(2, 20))
    assert len(whole) == 22
    for one, other in zip(whole[20:], rest, strict=True):
        assert torch.equal(one.images, other.images)


@given(st.integers(0, 300), st.integers(1, 9))
def test_the_rows_of_all_processes_are_the_batch_in_its_order(count: int, world: int):
    parts = [range(count)[Rows(rank, world).of(count)] for rank in range(world)]
    assert [row for part in parts for row in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_two_processes_get_the_images_and_augmentations_of_one():
    recipe = RecipeSpec(batch_size=63, hflip=0.5, random_erasing=0.5)
    parts = [Digits(DataSpec(), recipe, 5, Rows(rank, 2)) for rank in range(2)]
    alone = Digits(DataSpec(), recipe, 5)
    for way in (lambda source: source.train(1, 20), lambda source: source.val()):
        for whole, *rows in zip(way(alone), *map(way, parts), strict=True):
            assert torch.equal(torch.cat([batch.images for batch in rows]), whole.images)
            assert torch.equal(torch.cat([batch.targets for batch in rows]), whole.targets)


def test_shifting_moves_images_by_at_most_the_pixels_asked_for():
    still = Digits(DataSpec(), RecipeSpec(batch_size=64, shift_px=0), 0)
    moved = Digits(DataSpec(), RecipeSpec(batch_size=64, shift_px=2), 0)
    before, after = next(still.train(0, 0)).images, next(moved.train(0, 0)).images
    for one, other in zip(before, after, strict=True):
        rolls = [one.roll((dy, dx), (1, 2)) for dy in range(-2, 3) for dx in range(-2, 3)]
        inner = (slice(None), slice(2, -2), slice(2, -2))
        assert any(torch.equal(roll[inner], other[inner]) for roll in rolls)


def test_mixed_seeds_differ_for_neighbouring_numbers():
    seeds = {mix(a, b, c) for a in range(8) for b in range(8) for c in range(8)}
    assert len(seeds) == 512


@pytest.mark.parametrize(
    ("knob", "value"),
    [("epochs", -1), ("lr", -1.0), ("dropout", 1.5), ("batch_size", 0), ("momentum", float("nan"))],
)
def test_recipe_names_the_knob_that_is_wrong(knob, value):
    with pytest.raises(ValueError, match=rf"recipe\.{knob}={value}"):
        RecipeSpec(**{knob: value})


def test_warm_up_longer_than_the_run_is_refused():
    with pytest.raises(ValueError, match="warmup_epochs"):
        RecipeSpec(epochs=2, warmup_epochs=2)
