"""Batches of loader workers lie in memory that is used again once nobody holds it."""

import gc
import os

import pytest
import torch

from repghost.training.batches import Batch
from repghost.training.data import open_source
from repghost.training.pool import SLOTS, Pool
from repghost.training.spec import DataSpec, RecipeSpec

RECIPE = RecipeSpec(batch_size=16, warmup_epochs=0, random_erasing=0.2)
BYTES = 64


@pytest.fixture(params=["fast", "timm"])
def data(image_folder, request) -> DataSpec:
    words = {"input_size": 32, "decode": request.param, "workers": 1}
    return DataSpec("folder", str(image_folder), **words)


def place_of(batch: Batch) -> int:
    return batch.images.untyped_storage().data_ptr()


def test_memory_of_batches_that_are_let_go_is_used_again(data):
    places = [place_of(batch) for batch in open_source(data, RECIPE, 0).train(0, 0)]
    assert len(places) > 2 * SLOTS
    assert len(set(places)) <= SLOTS


def test_batches_that_are_held_keep_their_pixels_and_small_tensors_come_by_value(data):
    held = list(open_source(data, RECIPE, 0).train(0, 0))
    assert len({place_of(batch) for batch in held}) == len(held)
    alone = DataSpec(**(vars(data) | {"workers": 0}))
    for one, other in zip(held, open_source(alone, RECIPE, 0).train(0, 0), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)
        assert not one.targets.is_shared()


def taken(pool: Pool) -> list[torch.Tensor]:
    """Take slots of the first of two workers until none is free."""
    found = []
    while (tensor := pool.blank(0, (BYTES // 4,), torch.float32)) is not None:
        found.append(tensor)
    return found


def test_a_slot_is_free_again_when_every_view_of_it_is_gone():
    pool = Pool(2, BYTES)
    slots = taken(pool)
    assert len(slots) == SLOTS
    slots[1].fill_(2.5)
    place = pool.place(slots[1])
    assert place == BYTES
    view = pool.at(place, BYTES // 4, torch.float32)[3:]
    gc.collect()
    assert taken(pool) == []
    assert view.eq(2.5).all()
    del view
    (again,) = taken(pool)
    assert pool.place(again) == place
    assert pool.blank(1, (BYTES,), torch.uint8) is not None, "the other worker has its own"


def test_a_worker_that_lets_go_what_it_inherited_frees_nothing():
    pool = Pool(1, BYTES)
    taken(pool)
    held = pool.at(0, BYTES, torch.uint8)
    if (child := os.fork()) == 0:
        del held
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert taken(pool) == []
    assert held.numel() == BYTES


def test_what_does_not_fit_gets_no_slot():
    pool = Pool(1, BYTES)
    assert pool.blank(0, (BYTES + 1,), torch.uint8) is None
    assert pool.blank(0, (0, 3), torch.uint8) is None
    assert pool.place(torch.zeros(3)) is None


def test_there_is_no_pool_without_workers_or_a_size_or_the_memory():
    assert Pool.fitting(0, BYTES) is None
    assert Pool.fitting(2, 0) is None
    assert Pool.fitting(2, 1 << 50) is None
