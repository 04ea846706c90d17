"""How long trainings take: from runs on the same data that were timed, or by a stated rate."""

import math
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import yaml

from repghost.detection.annotations import annotation_file, picture_count
from repghost.run import Run
from repghost.settings import Settings
from repghost.training.spec import DataSpec, RecipeSpec, split_folder
from repghost.variant import Variant

LOOKED_AT = 200  # of all finished runs the newest, where a sweep has none of its own
DIGITS = 1437  # training images of data=digits
RATE_FORM = "write images a second, such as 4600, or with their network's MMACs, such as 4600@43"


@dataclass(frozen=True)
class Timed:
    """A training that was timed: seconds of one epoch, on "cpu, 2 threads" or "cuda"."""

    macs: int
    epoch_s: float
    place: str


@dataclass(frozen=True)
class Pace:
    """Seconds of one epoch as a line over a network's multiply-adds; `source` says where from."""

    base_s: float
    s_per_mmac: float
    place: str
    source: str

    def epoch_s(self, macs: int) -> float:
        """Return the seconds of one epoch of a network of `macs` multiply-adds."""
        return self.base_s + self.s_per_mmac * macs / 1e6


def alike(data: DataSpec, recipe: RecipeSpec) -> Hashable:
    """What an epoch's time depends on beside the network: trainings of one value are compared."""
    images = replace(data, workers=0, timeout_s=0), recipe.auto_augment
    return *images, recipe.batch_size, recipe.amp, recipe.compile


def timed(run: Run, macs: int) -> Timed | None:
    """Return how long an epoch of a run took, of an unfinished one if it got through any."""
    result = run.result() or {}
    if result.get("epochs") and result.get("seconds"):
        device, threads = result.get("train_device", "cpu"), result.get("threads")
        processes = result.get("processes", 1)
        place = f"cpu, {threads} threads" if device == "cpu" else str(device)
        place += f" in {processes} processes" if processes > 1 else ""
        return Timed(macs, result["seconds"] / result["epochs"], place)
    seconds = [record["seconds"] for record in run.history() if record.get("seconds")]
    return Timed(macs, fmean(seconds), "so far") if seconds else None


def fitted(found: Sequence[Timed], settings: Settings) -> Pace | None:
    """Return the line through timed trainings on data like that of `settings`; None for none.

    Finished ones count, and of these the place with most of them. Where one cost alone was timed,
    or the line would give times below zero, an epoch is taken in proportion to the multiply-adds.
    """
    finished = [one for one in found if one.place != "so far"] or list(found)
    if not finished:
        return None
    place = Counter(one.place for one in finished).most_common(1)[0][0]
    used = [one for one in finished if one.place == place]
    base_s, slope = _line([one.macs / 1e6 for one in used], [one.epoch_s for one in used])
    pace = Pace(base_s, slope, place, "")
    off = median(abs(pace.epoch_s(one.macs) / one.epoch_s - 1) for one in used)
    runs = f"{len(used)} run{'s' if len(used) > 1 else ''} ({place})"
    fit = f", {off:.0%} off in the median" if len(used) > 2 else ""
    kind, batch = settings.data.kind, settings.recipe.batch_size
    return replace(pace, source=f"{_words(pace)}, from {runs} on {kind}, batch {batch}{fit}")


def stated(rate: str, images: int) -> Pace:
    """Return the pace that the user states: "4600" images a second, or "4600@43" with the MMACs.

    Without MMACs all networks have one speed (the loader's), with them those of others follow in
    proportion.

    Raises:
        ValueError: it has another form.
    """
    speed, at, mmacs = rate.partition("@")
    try:
        epoch_s, cost = images / float(speed), float(mmacs) if at else 1.0
    except (ValueError, ZeroDivisionError):
        epoch_s = cost = math.nan
    if not (0 < epoch_s < math.inf and 0 < cost < math.inf):
        raise ValueError(f"images_per_s={rate}: {RATE_FORM}")
    base_s, slope = (0.0, epoch_s / cost) if at else (epoch_s, 0.0)
    return Pace(base_s, slope, "as stated", f"as stated, {rate} images a second")


def training_images(data: DataSpec) -> int | None:
    """Return the number of training images; files of a folder are counted, None for timm's data."""
    if data.kind == "digits":
        return DIGITS
    if data.kind == "coco":
        return picture_count(annotation_file(data.root, "train"))
    if data.name:
        return None
    folders = os.walk(split_folder(data.root, "train"))
    return sum(len(files) for _, _, files in folders)


def other_runs(
    outputs: str | Path, keys: set[str], wanted: Callable[[Hashable], bool]
) -> Iterator[tuple[Run, Variant]]:
    """Yield finished runs on data that is wanted, the newest first; those named by `keys` not."""
    results = sorted(Path(outputs, "runs").glob("*/result.json"), key=_age)
    for path in [path for path in results if path.parent.name not in keys][:LOOKED_AT]:
        variant = _variant(path.with_name("config.yaml"))
        if variant is not None and wanted(alike(variant.data, variant.recipe)):
            yield Run(outputs, path.parent.name), variant


def _line(mmacs: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Return base and slope of the least-squares line, neither of them below zero."""
    x, y = fmean(mmacs), fmean(seconds)
    spread = sum((value - x) ** 2 for value in mmacs)
    if not spread:
        return 0.0, y / x
    both = zip(mmacs, seconds, strict=True)
    slope = sum((value - x) * (time - y) for value, time in both) / spread
    if slope <= 0:
        return y, 0.0
    return (y - slope * x, slope) if y > slope * x else (0.0, y / x)


def _words(pace: Pace) -> str:
    parts = [f"{pace.base_s:.3g} s"] if pace.base_s else []
    parts += [f"{pace.s_per_mmac:.3g} s a MMAC"] if pace.s_per_mmac else []
    return f"an epoch takes {' + '.join(parts)}"


def _variant(path: Path) -> Variant | None:
    """Return the variant of a run's `config.yaml`; None where this version cannot read it."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with suppress(OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return Variant.from_config(yaml.load(path.read_text(), Loader=loader))
    return None


def _age(path: Path) -> float:
    with suppress(OSError):
        return -path.stat().st_mtime
    return 0.0
