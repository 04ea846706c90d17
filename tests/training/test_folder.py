"""Image folders: what cannot be read is skipped, counted, named; seeds alone decide order."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from repghost.training.data import open_source
from repghost.training.evaluate import evaluate
from repghost.training.pictures import Listed
from repghost.training.rows import Rows
from repghost.training.spec import DataSpec, RecipeSpec

RECIPE = RecipeSpec(
    epochs=2, batch_size=4, warmup_epochs=0, color_jitter=0.4, random_erasing=0.5, hflip=0.5
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes; in training a text file that claims to be a JPEG and one cut in half."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for name in ("cat", "dog"):
            home = tmp_path / split / name
            home.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)
                mode = ["RGB", "L", "CMYK"][index % 3]
                Image.fromarray(pixels).convert(mode).save(home / f"{index}.jpg")
    (tmp_path / "train/cat/0.jpg").write_text("not an image")
    half = (tmp_path / "train/dog/1.jpg").read_bytes()
    (tmp_path / "train/dog/1.jpg").write_bytes(half[: len(half) // 2])
    return tmp_path


def spec(folder: Path, workers: int = 0) -> DataSpec:
    return DataSpec("folder", str(folder), num_classes=None, input_size=32, workers=workers)


def test_classes_are_counted_from_the_folders(folder):
    assert spec(folder).counted().num_classes == 2


def test_corrupt_images_are_skipped_and_named(folder):
    batches = list(open_source(spec(folder), RECIPE, 0).train(0, 0))
    skipped = sorted(name for batch in batches for name in batch.skipped)
    assert [name.split("train/")[1] for name in skipped] == ["cat/0.jpg", "dog/1.jpg"]
    assert sum(len(batch.targets) for batch in batches) == 10


def test_batches_are_the_same_with_any_number_of_workers_and_from_any_step(folder):
    alone = list(open_source(spec(folder), RECIPE, 0).train(1, 0))
    helped = list(open_source(spec(folder, workers=2), RECIPE, 0).train(1, 1))
    assert len(alone) == 3
    for one, other in zip(alone[1:], helped, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)


def test_another_seed_or_epoch_gives_other_batches(folder):
    first = next(open_source(spec(folder), RECIPE, 0).train(0, 0)).images
    for seed, epoch in ((1, 0), (0, 1)):
        other = next(open_source(spec(folder), RECIPE, seed).train(epoch, 0)).images
        assert other.shape != first.shape or not torch.equal(first, other)


def test_validation_is_scored_over_every_image_that_can_be_read(folder):
    (folder / "val/cat/0.jpg").write_bytes(b"")

    class Cat(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)

    source = open_source(spec(folder), RECIPE, 0)
    scores = evaluate(Cat(), source.val(), torch.device("cpu"))
    assert scores.images == 5
    assert scores.top1 == pytest.approx(40.0)
    assert [name[-9:] for name in scores.skipped] == ["cat/0.jpg"]


def test_a_data_set_by_name_is_read_through_timm(folder):
    for broken in ("train/cat/0.jpg", "train/dog/1.jpg"):
        (folder / broken).unlink()
    named = DataSpec("folder", str(folder), "torch/image_folder", num_classes=2, input_size=32)
    batches = list(open_source(named.counted(), RECIPE, 0).train(0, 0))
    assert sum(len(batch.targets) for batch in batches) == 8
    assert {int(target) for batch in batches for target in batch.targets} == {0, 1}


@pytest.mark.parametrize("missing", ["", "train", "val"])
def test_a_missing_folder_is_one_clear_line(folder, missing):
    root = folder if missing else folder / "nowhere"
    if missing:
        shutil.rmtree(folder / missing)
    with pytest.raises(ValueError, match=r"data\.root=.*(no such folder|has no folder)"):
        spec(root).counted()


def test_an_empty_folder_is_one_clear_line(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    with pytest.raises(ValueError, match="empty; expected a folder of images for each class"):
        spec(tmp_path).counted()


def test_a_worker_that_hangs_ends_the_run_in_the_time_that_was_set(folder, monkeypatch):
    monkeypatch.setattr(Listed, "content", lambda self, index: time.sleep(60))
    hanging = replace(spec(folder, workers=1), timeout_s=1)
    with pytest.raises(ValueError, match=r"data\.timeout_s=1: no worker brought a batch"):
        list(open_source(hanging, RECIPE, 0).train(0, 0))


@pytest.mark.parametrize("world", [2, 3])
def test_the_rows_of_all_processes_are_the_batches_of_one(folder, world):
    parts = [open_source(spec(folder), RECIPE, 0, Rows(rank, world)) for rank in range(world)]
    alone = open_source(spec(folder), RECIPE, 0)
    for whole, *rows in zip(alone.train(1, 0), *(one.train(1, 0) for one in parts), strict=True):
        found = [batch.images for batch in rows if len(batch.targets)]
        assert torch.equal(torch.cat(found), whole.images)
    images = [batch.images for one in parts for batch in one.val() if len(batch.targets)]
    assert sum(map(len, images)) == 6
