"""Images a second and core of our loader beside timm's, on 500 x 375 JPEGs of real photographs.

    python -m benchmarks.loader                    about five minutes on one core
    python -m benchmarks.loader --color-jitter 0   without what costs timm most
    python -m benchmarks.loader --quick            few images, few rounds: only whether it runs

timm's `create_loader` and `data.decode=fast` on the same files, on them packed as JPEG and packed
as raw pixels (short side 256), with the augmentation of recipe=paper. `to uint8` is what the loader
itself does, on both sides: batches of uint8 pixels, ready for the device. `finished` has in it what
is left for the device (timm: normalisation and erasing; ours: flips and colour jitter as well),
here done by the same core. Seconds are of processor time, of this process and its workers together,
which somebody else's load lengthens less than the clock's; all of it is pinned to one core. The
contestants take turns, each a whole epoch, its first and last batch aside; ratios are taken within
a round, and their median is given with its 95 % interval. Goals, to uint8: 2x timm from files, 4x
from packed JPEGs, 10x from raw.
"""

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.pictures import AUGMENTED, write_pictures
from repghost.latency.statistics import Interval, median_interval
from repghost.provenance import commit

if TYPE_CHECKING:
    from torch import Tensor

GOALS = {"files": 2.0, "jpeg": 4.0, "raw": 10.0}
TIMM, SOURCES = "timm", ("timm", *GOALS)
SCOPES = ("to uint8", "finished")
WORKERS = (0, 1)
BATCH = 64
PROCESSOR_CLOCK = 2  # of another process, in the bits of a clock's number; see clock_gettime(3)
Row = tuple[str, str, int]  # source, scope, workers
Epoch = Callable[[int], Iterable["Tensor"]]  # from an epoch's number to its batches of images


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    images: int = 1024
    rounds: int = 9
    epochs: int = 10
    color_jitter: float = 0.4


def main() -> None:
    """Print the tables, then the figures as one JSON line."""
    scale = _scale()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="repghost-loader-") as folder:
        roots = _made(Path(folder), scale.images)
        rates = _rates(roots, scale)
        memory = {name: _memory(roots[name], scale) for name in GOALS}
        decode = _decode_only(roots["files"])
    console = Console(width=110)
    console.print(_table(rates, scale))
    console.print(f"decoding alone, the limit: {_in_words(decode)} images/s")
    growth = {name: round(max(held[1:]) - held[1], 1) for name, held in memory.items()}
    console.print(f"memory over {scale.epochs} epochs grew by {_in_words(growth)} MB")
    facts = {"images": scale.images, "rounds": scale.rounds, "color_jitter": scale.color_jitter}
    facts |= {"machine": platform.processor() or platform.machine(), "commit": commit()}
    figures = {
        f"{s}, {scope}, {w} workers": _figures(rates, (s, scope, w)) for s, scope, w in rates
    }
    print(json.dumps({"rows": figures, "decode": decode, "memory_growth_mb": growth} | facts))


def _scale() -> Scale:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1024, help="in an epoch")
    parser.add_argument("--rounds", type=int, default=9, help="epochs of each contestant")
    parser.add_argument("--color-jitter", type=float, default=0.4, help="the paper's is 0.4")
    parser.add_argument("--quick", action="store_true", help="256 images, 2 rounds")
    asked = parser.parse_args()
    if asked.quick:
        return Scale(256, 2, 3, asked.color_jitter)
    return Scale(asked.images, asked.rounds, color_jitter=asked.color_jitter)


def _made(folder: Path, images: int) -> dict[str, Path]:
    """Write an image folder of pieces of photographs and pack it; return the roots by name."""
    from repghost.training.pack import main as pack

    files = write_pictures(folder / "files", images)
    roots = {TIMM: files, "files": files}
    for encoding in ("jpeg", "raw"):
        roots[encoding] = folder / encoding
        words = ["data=folder", f"data.root={files}", f"encoding={encoding}"]
        with redirect_stdout(StringIO()) as said:
            code = pack([*words, f"out={roots[encoding]}"])
        assert code == 0, said.getvalue()
    return roots


def _rates(roots: dict[str, Path], scale: Scale) -> dict[Row, list[float]]:
    """Return images a second of each contestant, a number for each round."""
    rows: list[Row] = [*product(SOURCES, SCOPES, WORKERS)]
    epochs = {row: _contestant(row, roots[row[0]], scale) for row in rows}
    rates: dict[Row, list[float]] = {row: [] for row in rows}
    rng = np.random.default_rng(1)
    for number in range(-1, scale.rounds):  # the first warms up and is not counted
        for at in rng.permutation(len(rows)):
            rate = _rate(epochs[rows[at]](number + 1))
            if number >= 0:
                rates[rows[at]].append(rate)
    return rates


def _contestant(row: Row, root: Path, scale: Scale) -> Epoch:
    source, scope, workers = row
    make = _timms if source == TIMM else _ours
    return make(root, scope == "finished", workers, scale)


def _timms(root: Path, is_finished: bool, workers: int, scale: Scale) -> Epoch:
    import torch
    from timm.data import create_dataset, create_loader

    loader = create_loader(
        create_dataset("", str(root / "train"), search_split=False, is_training=True),
        (3, 224, 224),
        BATCH,
        is_training=True,
        scale=(AUGMENTED.scale_min, 1.0),
        hflip=AUGMENTED.hflip,
        color_jitter=scale.color_jitter,
        re_prob=AUGMENTED.random_erasing,
        re_mode="pixel",
        interpolation="random",
        num_workers=workers,
        persistent_workers=False,
        device=torch.device("cpu"),
    )
    batches = loader if is_finished else loader.loader
    return lambda epoch: (images for images, _ in batches)


def _ours(root: Path, is_finished: bool, workers: int, scale: Scale) -> Epoch:
    import torch

    source, cpu = _source(root, workers, scale), torch.device("cpu")
    return lambda epoch: (
        batch.on(cpu) if is_finished else batch.images for batch in source.train(epoch, 0)
    )


def _source(root: Path, workers: int, scale: Scale) -> Any:
    from repghost.training.data import open_source
    from repghost.training.spec import DataSpec

    recipe = replace(AUGMENTED, batch_size=BATCH, color_jitter=scale.color_jitter)
    data = DataSpec("folder", str(root), input_size=224, decode="fast", workers=workers)
    return open_source(data, recipe, seed=0)


def _rate(batches: Iterable["Tensor"]) -> float:
    """Return images a second between the first batch and the last but one.

    So a worker's start is not counted, nor that timm's loader holds a batch back: it gives the
    first when it has the second, and the last for nothing.
    """
    came, sizes = list[float](), list[int]()
    for batch in batches:
        came.append(_processor_s())
        sizes.append(len(batch))
    return sum(sizes[1:-1]) / (came[-2] - came[0])


def _processor_s() -> float:
    """Return the processor time of this process and its children, in seconds."""
    pids = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
    return sum(time.clock_gettime(~pid << 3 | PROCESSOR_CLOCK) for pid in pids if pid)


def _memory(root: Path, scale: Scale) -> list[float]:
    """Return the process's own memory in MB after each epoch; mapped files are not in it."""
    source, held = _source(root, 0, scale), []
    for epoch in range(scale.epochs):
        for _ in source.train(epoch, 0):
            pass
        status = Path("/proc/self/status").read_text()
        held.append(int(status.split("RssAnon:")[1].split()[0]) / 1024)
    return held


def _decode_only(root: Path) -> dict[str, int]:
    """Return images a second when the files are only decoded, whole."""
    import simplejpeg

    from repghost.training.crops import as_image

    contents = [path.read_bytes() for path in sorted((root / "train").rglob("*.jpg"))]
    ways: dict[str, Callable[[bytes], Any]] = {
        "simplejpeg": simplejpeg.decode_jpeg,
        "Pillow": as_image,
    }
    rates = {}
    for name, decode in ways.items():
        start = time.process_time()
        for content in contents:
            decode(content)
        rates[name] = round(len(contents) / (time.process_time() - start))
    return rates


def _ratio(rates: dict[Row, list[float]], row: Row) -> Interval:
    """Return how many times timm's rate a contestant has, round by round."""
    ratios = np.array(rates[row]) / np.array(rates[TIMM, row[1], row[2]])
    return median_interval(ratios, np.random.default_rng(0))


def _figures(rates: dict[Row, list[float]], row: Row) -> dict[str, Any]:
    ratio = [round(value, 2) for value in _ratio(rates, row)]
    return {"images_per_s": round(float(np.median(rates[row]))), "ratio": ratio}


def _table(rates: dict[Row, list[float]], scale: Scale) -> Table:
    title = (
        f"images a second and core, colour jitter {scale.color_jitter}, {scale.images} images,"
        f" {scale.rounds} rounds, commit {commit()}"
    )
    table = Table("source", "scope", "workers", "images/s", "times timm", "goal", title=title)
    for row in rates:
        source, scope, workers = row
        ratio = _ratio(rates, row)
        has_goal = source in GOALS and scope == SCOPES[0]
        goal = f"{GOALS[source]:.0f}x " if has_goal else ""
        table.add_row(
            source,
            scope,
            str(workers),
            f"{np.median(rates[row]):,.0f}",
            f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]",
            goal and goal + ("reached" if ratio.value >= GOALS[source] else "missed"),
        )
    return table


def _in_words(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


if __name__ == "__main__":
    main()
