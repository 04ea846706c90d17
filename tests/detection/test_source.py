"""Batches of boxes and masks: decided by (seed, epoch, step), flipped rightly, bad files said."""

from dataclasses import replace

import pytest
import torch

from repghost.detection.source import CocoSource, flipped
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
