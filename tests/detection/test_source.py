"""Batches of boxes and masks: decided by (seed, epoch, step), flipped rightly, bad files said."""

from dataclasses import replace

import pytest
import torch

from repghost.detection.augment import flipped, scaled
from repghost.detection.source import CocoSource
from repghost.training.rows import Rows
from repghost.training.spec import DataSpec, RecipeSpec

RECIPE = RecipeSpec(batch_size=4, hflip=0.5)


def data(root, **other) -> DataSpec:
    return DataSpec(
        kind="coco", root=str(root), num_classes=10, input_size=64, max_size=64, **other
    )


def equal(a, b) -> bool:
    same = all(torch.equal(x, y) for x, y in zip(a.images, b.images, strict=True))
    pairs = zip(a.targets, b.targets, strict=True)
    return same and all(torch.equal(x[name], y[name]) for x, y in pairs for name in x)


def test_an_epoch_that_is_entered_in_its_middle_gives_the_same_batches(tiny):
    source = CocoSource(data(tiny), RECIPE, 1, masks=True)
    whole = list(source.train(2, 0))
    rest = list(CocoSource(data(tiny, workers=1), RECIPE, 1, masks=True).train(2, 1))
    assert len(whole) == source.steps == 3
    assert all(equal(a, b) for a, b in zip(whole[1:], rest, strict=True))
    other = list(source.train(3, 0))
    assert not equal(whole[0], other[0])


def test_the_parts_of_two_processes_are_the_batch_of_one(tiny):
    whole = list(CocoSource(data(tiny), RECIPE, 1, masks=False).train(0, 0))
    parts = [
        list(CocoSource(data(tiny), RECIPE, 1, False, Rows(rank, 2)).train(0, 0)) for rank in (0, 1)
    ]
    for one, first, second in zip(whole, *parts, strict=True):
        assert len(first.images) == len(second.images) == 2
        assert all(
            torch.equal(a, b) for a, b in zip(one.images, first.images + second.images, strict=True)
        )


def test_boxes_hold_their_masks_before_and_after_a_flip(tiny):
    source = CocoSource(data(tiny), replace(RECIPE, hflip=0.0), 1, masks=True)
    for batch in source.train(0, 0):
        for image, target in zip(batch.images, batch.targets, strict=True):
            for turned in (target, flipped(image, target)[1]):
                for box, mask in zip(turned["boxes"].int().tolist(), turned["masks"], strict=True):
                    rows, columns = mask.nonzero(as_tuple=True)
                    edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                    assert [int(edge) for edge in edges] == box
            twice = flipped(*flipped(image, target))
            assert torch.equal(twice[0], image) and torch.equal(twice[1]["boxes"], target["boxes"])


def test_boxes_hold_their_masks_at_another_size(tiny):
    source = CocoSource(data(tiny), replace(RECIPE, hflip=0.0), 1, masks=True)
    images = [pair for b in source.train(0, 0) for pair in zip(b.images, b.targets, strict=True)]
    torch.manual_seed(0)
    for factor in (0.6, 1.0, 1.7):
        kept = 0
        for image, target in images:
            larger, found = scaled(image, target, factor)
            assert larger.shape == image.shape and larger.dtype == torch.uint8
            assert len(found["boxes"]) == len(found["labels"]) == len(found["masks"])
            kept += len(found["boxes"])
            for box, mask in zip(found["boxes"], found["masks"], strict=True):
                rows, columns = mask.nonzero(as_tuple=True)
                edges = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
                assert (edges - box).abs().max() <= 1.5  # of a pixel: masks are resized to nearest
        objects = sum(len(target["boxes"]) for _, target in images)
        assert kept == objects if factor <= 1 else 0 < kept < objects


def test_at_its_own_size_an_image_stays_as_it_is(tiny):
    image, target = (one[0] for one in _first(tiny))
    same, found = scaled(image, target, 1.0)
    assert torch.equal(same, image) and torch.equal(found["boxes"], target["boxes"])


def test_a_smaller_image_stands_on_its_mean_colour(tiny):
    image, target = (one[0] for one in _first(tiny))
    torch.manual_seed(1)
    smaller, _ = scaled(image, target, 0.5)
    mean = image.float().mean((1, 2)).round().to(torch.uint8)
    ground = (smaller == mean[:, None, None]).all(0)
    assert ground.float().mean() >= 0.74


def test_what_is_drawn_depends_on_the_place_alone(tiny):
    recipe = replace(RECIPE, scale_jitter=0.5, color_jitter=0.4)
    first, again = (next(CocoSource(data(tiny), recipe, 1, False).train(0, 0)) for _ in range(2))
    assert equal(first, again)
    plain = next(CocoSource(data(tiny), RECIPE, 1, masks=False).train(0, 0))
    assert not equal(first, plain)
    images = next(CocoSource(data(tiny), recipe, 1, masks=False).val()).images
    assert torch.equal(images[0], next(CocoSource(data(tiny), RECIPE, 1, False).val()).images[0])


def test_an_object_of_which_little_is_left_is_not_learnt_from():
    image = torch.zeros(3, 100, 100, dtype=torch.uint8)
    target = {"boxes": torch.tensor([[0.0, 0, 20, 20]]), "labels": torch.tensor([3])}
    kept = []
    for seed in range(40):
        torch.manual_seed(seed)
        boxes = scaled(image, target, 1.5)[1]["boxes"]
        kept.append(len(boxes))
        if len(boxes):
            assert (boxes[0, 2:] - boxes[0, :2]).prod() >= 0.5 * 30 * 30
    assert 0 < sum(kept) < 40


def _first(tiny):
    batch = next(CocoSource(data(tiny), replace(RECIPE, hflip=0.0), 1, masks=False).train(0, 0))
    return batch.images, batch.targets


def test_an_image_without_objects_is_not_trained_on_but_scored(spoiled, tiny):
    def clear(content):
        content["annotations"] = [row for row in content["annotations"] if row["image_id"] != 3]

    root = spoiled(clear)
    for name in ("val2017", "annotations/instances_val2017.json"):
        (root / name).symlink_to(tiny / name)
    source = CocoSource(data(root), replace(RECIPE, batch_size=1), 0, masks=False)
    assert source.steps == 11
    assert sum(len(batch.images) for batch in source.val()) == 6


def test_an_unreadable_file_is_skipped_and_named_and_a_wrong_size_refused(spoiled, tiny):
    root = spoiled(lambda content: content["images"][1].update(width=95))
    for name in ("val2017", "annotations/instances_val2017.json"):
        (root / name).symlink_to(tiny / name)
    source = CocoSource(data(root), RECIPE, 0, masks=False)
    with pytest.raises(ValueError, match=r"image 2: said to be 95 x 96, .*000002\.jpg is 96 x 96"):
        list(source.train(0, 0))
    (root / "train2017").unlink()
    (root / "train2017").mkdir()
    for path in (tiny / "train2017").iterdir():
        (root / "train2017" / path.name).write_bytes(path.read_bytes())
    (root / "train2017" / "000002.jpg").write_bytes(b"no image")
    batches = list(CocoSource(data(root), RECIPE, 0, masks=False).train(0, 0))
    skipped = [name for batch in batches for name in batch.skipped]
    assert skipped == [str(root / "train2017" / "000002.jpg")]
    assert sum(len(batch.images) for batch in batches) == 11


def test_other_categories_than_asked_for_are_refused(tiny):
    with pytest.raises(ValueError, match=r"10 categories, data\.num_classes=80; null takes"):
        CocoSource(replace(data(tiny), num_classes=80), RECIPE, 0, masks=False)
    assert replace(data(tiny), num_classes=None).counted().num_classes == 10
