"""What share of a training's time its steps wait for photographs, see `benchmarks.train`."""

import os
import time
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.pictures import AUGMENTED, CLASSES, write_pictures
from benchmarks.train_contest import synchronize
from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.training.data import open_source
from repghost.training.engine import Training
from repghost.training.pack import main as pack
from repghost.training.spec import DataSpec

SIZE = 224
STEPS = 24  # of an epoch


def waited_for_data(device: torch.device, batch: int, amp: str) -> dict[str, float]:
    """Train RepGhostNet 0.5x on packed raw shards; return what its steps waited for images.

    `share` is of the time behind the epoch's first batch, which took `first_s`: an epoch of
    ImageNet has 1,251 steps and more, this one 24. Images are augmented as with recipe=paper, at
    224 pixels, by data.decode=fast, in one process for each core but one.
    """
    workers = max(1, len(os.sched_getaffinity(0)) - 1)
    with TemporaryDirectory(prefix="repghost-feed-") as folder:
        root = _packed(Path(folder), batch)
        data = DataSpec(
            "folder",
            str(root),
            num_classes=CLASSES,
            input_size=SIZE,
            in_chs=3,
            workers=workers,
            decode="fast",
        )
        recipe = replace(AUGMENTED, batch_size=batch, amp=amp)
        source = open_source(data, recipe, 0)
        model = build(RepGhostNetSpec(width=0.5, num_classes=CLASSES), dropout=0.2)
        training = Training(model, source, recipe, 0, device)
        return _waited(training, device) | {"workers": workers}


def _packed(folder: Path, batch: int) -> Path:
    """Write a few batches of photographs and pack them raw; an epoch goes over them."""
    files, out = write_pictures(folder / "files", STEPS * batch), folder / "packed"
    words = ["data=folder", f"data.root={files}", "encoding=raw", f"out={out}"]
    with redirect_stdout(StringIO()) as said:
        code = pack(words)
    assert code == 0, said.getvalue()
    return out


def _waited(training: Training, device: torch.device) -> dict[str, float]:
    batches = training.source.train(0, 0)
    start = time.perf_counter()
    batch = next(batches)
    began, waited = time.perf_counter(), 0.0
    for _ in range(STEPS - 1):
        training.train_step(batch)
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
    training.train_step(batch)
    synchronize(device)
    took = time.perf_counter() - began
    rate = STEPS * training.recipe.batch_size / took
    return {"share": waited / took, "first_s": began - start, "images_per_s": rate}
