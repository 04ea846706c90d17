"""The knobs of data and recipe, checked; no torch is imported here."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from repghost.training.pack_index import find_index

MACHINE = {"machine": True}  # metadata of fields that change speed, not results: not in the key
LATER = {"later": True}  # of fields that came later: at their default not in the key, which stays
DATA_KINDS = ("digits", "folder", "coco")
PADDED_TO = 32  # a detector's images are filled up to multiples of its largest stride
AMPS = ("none", "bf16", "fp16")
DECODES = ("timm", "fast")
SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "eval")}


@dataclass(frozen=True)
class DataSpec:
    """Images and labels: `kind=digits` is bundled, `kind=folder` reads `root` or timm's `name`.

    `kind=coco` are photographs with boxes and masks: their short side is scaled to `input_size`, or
    less where the long one would exceed `max_size`.
    `root` may be a folder that `repghost.training.pack` wrote. `decode=fast` draws other crops of
    the same distribution and interpolates a little differently: it is part of a run's key. A batch
    that `workers` processes have not brought after `timeout_s` ends the run; 0 waits on.
    """

    kind: str = "digits"
    root: str | None = None
    name: str | None = None
    num_classes: int | None = 10
    in_chs: int = 3
    input_size: int = 32
    max_size: int | None = field(default=None, metadata=LATER)
    crop_pct: float = 0.875
    decode: str = "timm"
    workers: int = field(default=0, metadata=MACHINE)
    timeout_s: float = field(default=600.0, metadata=MACHINE)

    def __post_init__(self) -> None:
        if self.kind not in DATA_KINDS:
            raise ValueError(f"data.kind={self.kind}: allowed are {', '.join(DATA_KINDS)}")
        if self.kind != "digits" and self.in_chs != 3:
            raise ValueError(f"data.in_chs={self.in_chs}: images of a folder are read as RGB, 3")
        if (self.max_size is None) == (self.kind == "coco"):
            raise ValueError(
                f"data.max_size={self.max_size}: data.kind=coco needs it, no other kind reads it"
            )
        if self.decode not in DECODES:
            raise ValueError(f"data.decode={self.decode}: allowed are {', '.join(DECODES)}")
        if not 0 < self.crop_pct <= 1:
            raise ValueError(f"data.crop_pct={self.crop_pct}: must be in (0, 1]")
        _require_positive("data", self, "num_classes", "in_chs", "input_size", "max_size")
        if self.max_size is not None and self.max_size < self.input_size:
            raise ValueError(
                f"data.max_size={self.max_size}: must be at least data.input_size={self.input_size}"
            )
        _require_at_least_zero("data", self, "workers", "timeout_s")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The input (C, H, W) that a trained network is deployed for."""
        if self.max_size is None:
            return self.in_chs, self.input_size, self.input_size
        sides = (self.input_size, self.max_size)
        height, width = (-(-side // PADDED_TO) * PADDED_TO for side in sides)
        return self.in_chs, height, width

    def counted(self, split: str = "train", needed: bool = True) -> Self:
        """Return self with `num_classes` known: where it is None, those of the folder or the pack.

        Where no image is `needed` and the number of classes is given, no folder is looked for. For
        `split="val"` alone the training images may be missing; then the classes are its own.

        Raises:
            ValueError: a folder that should hold images is missing or has no class folders.
        """
        if self.kind == "coco":
            return self._counted_in_file(split, needed)
        if self.kind != "folder" or not (needed or self.num_classes is None):
            return self
        if self.name:
            if self.num_classes is None:
                raise ValueError(f"data.name={self.name}: give data.num_classes as well")
            return self
        if self.root and (index := find_index(self.root)):
            return self if self.num_classes else replace(self, num_classes=index.num_classes)
        if split == "train":
            split_folder(self.root, "train")
            split_folder(self.root, "val")
        classes = len(val_classes(self.root))
        return self if self.num_classes else replace(self, num_classes=classes)

    def _counted_in_file(self, split: str, needed: bool) -> Self:
        from repghost.detection.annotations import annotation_file, category_count

        if needed:
            annotation_file(self.root, split)
        if self.num_classes and not needed:
            return self
        file = annotation_file(self.root, "val")
        return self if self.num_classes else replace(self, num_classes=category_count(file))


def _parse_milestones(text: str | None) -> tuple[int, ...]:
    words = [] if text is None else text.split("+")
    epochs = tuple(int(word) for word in words if word.isdecimal())
    if len(epochs) != len(words) or list(epochs) != sorted(set(epochs)) or 0 in epochs:
        raise ValueError(
            f"recipe.milestones={text}: must be rising epochs joined by +, such as 8+11, or null"
        )
    return epochs


def val_folder(root: str | None) -> Path:
    """Return the folder of validation images: a split's, or `root` itself where it has no splits.

    Raises:
        ValueError: `root` is missing, or holds training images only.
    """
    if root and Path(root).is_dir() and not _splits(root, "train") and not _splits(root, "val"):
        return Path(root)
    return split_folder(root, "val")


def val_classes(root: str | None) -> list[str]:
    """Return the names of the classes that validation is scored over: those of training.

    Raises:
        ValueError: a folder has no class folders, or validation has a class of its own.
    """
    found = class_folders(val_folder(root))
    if not root or not _splits(root, "train"):
        return found
    known = class_folders(split_folder(root, "train"))
    if unknown := sorted(set(found) - set(known)):
        raise ValueError(
            f"data.root={root}: validation has a class that training has not: {unknown[0]}"
        )
    return known


def split_folder(root: str | None, split: str) -> Path:
    """Return the folder of `split` ("train" or "val", or a usual synonym) below `root`."""
    if not root:
        raise ValueError(
            "data.root=null: give the folder that holds train/ and val/"
            " (data=imagenet takes it from the environment's IMAGENET_DIR too)"
        )
    if not Path(root).is_dir():
        raise ValueError(f"data.root={root}: no such folder")
    found = _splits(root, split)
    if not found:
        raise ValueError(f"data.root={root}: has no folder {' or '.join(SPLITS[split])}")
    return found[0]


def _splits(root: str, split: str) -> list[Path]:
    return [Path(root, name) for name in SPLITS[split] if Path(root, name).is_dir()]


def class_folders(folder: Path) -> list[str]:
    """Return the names of the folders in `folder`, one a class, sorted."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if not names:
        raise ValueError(f"{folder}: empty; expected a folder of images for each class")
    return names


OF_STEPS = {  # of the recipe: what a network does with its batches
    *("epochs", "lr", "lr_batch", "min_lr", "warmup_epochs", "warmup_lr", "schedule_per_step"),
    *(
        "milestones",
        "momentum",
        "nesterov",
        "weight_decay",
        "label_smoothing",
        "dropout",
        "ema_decay",
    ),
    *("amp", "sync_bn", "freeze_bn", "compile", "checkpoint_every_s"),
}


@dataclass(frozen=True)
class RecipeSpec:
    """How a network is trained: SGD with momentum, cosine with warm-up, EMA, label smoothing.

    `lr` and `ema_decay`, the average's decay in a step, are meant for a batch of `lr_batch` images:
    see `scaled_lr`, `step_decay`. `ema_decay=0` switches the average off; else it is what is scored
    and deployed.
    With `milestones`, such as "8+11", the rate is divided by 10 after these epochs instead of the
    cosine.
    `epochs=0` trains nothing: latency and cost alone are scored.
    `amp` is the format of a step: float32 ("none"), bf16 or fp16. With several processes each one's
    BatchNorm sees its own images, with `sync_bn` those of all; `freeze_bn` keeps the statistics
    that the network starts with, and trains scale and shift.
    Source of the defaults of `conf/recipe/paper.yaml`: the paper's released arguments.
    """

    epochs: int = 8
    batch_size: int = 64
    lr: float = 0.05
    lr_batch: int = 64
    min_lr: float = 1e-5
    warmup_epochs: float = 1.0
    warmup_lr: float = 1e-4
    schedule_per_step: bool = True
    momentum: float = 0.9
    weight_decay: float = 1e-5
    label_smoothing: float = 0.1
    dropout: float = 0.2
    ema_decay: float = 0.9
    hflip: float = 0.0
    scale_min: float = 0.35
    color_jitter: float = 0.0
    auto_augment: str | None = None
    random_erasing: float = 0.0
    shift_px: int = 2
    scale_jitter: float = field(default=0.0, metadata=LATER)
    milestones: str | None = field(default=None, metadata=LATER)
    nesterov: bool = field(default=True, metadata=LATER)
    amp: str = "none"
    sync_bn: bool = False
    freeze_bn: bool = False
    compile: bool = field(default=False, metadata=MACHINE)
    checkpoint_every_s: float = field(default=60.0, metadata=MACHINE)

    def __post_init__(self) -> None:
        _require_positive("recipe", self, "batch_size", "lr", "lr_batch", "scale_min")
        _require_positive("recipe", self, "checkpoint_every_s")
        _require_at_least_zero("recipe", self, "epochs", "min_lr", "warmup_lr", "shift_px")
        _require_at_least_zero("recipe", self, "warmup_epochs")
        _parse_milestones(self.milestones)
        _require_at_least_zero("recipe", self, "momentum", "weight_decay", "color_jitter")
        _require_at_least_zero("recipe", self, "scale_jitter")
        for name in ("label_smoothing", "dropout", "ema_decay", "hflip", "random_erasing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"recipe.{name}={getattr(self, name)}: must be in [0, 1]")
        if self.amp not in AMPS:
            raise ValueError(f"recipe.amp={self.amp}: allowed are {', '.join(AMPS)}")
        if self.sync_bn and self.freeze_bn:
            raise ValueError("recipe.sync_bn, recipe.freeze_bn: frozen statistics need no syncing")
        if self.warmup_epochs >= self.epochs and self.epochs > 1:
            raise ValueError(
                f"recipe.warmup_epochs={self.warmup_epochs}: must be fewer than"
                f" recipe.epochs={self.epochs}"
            )

    @property
    def falls_after(self) -> tuple[int, ...]:
        """The epochs of `milestones`."""
        return _parse_milestones(self.milestones)

    @property
    def scaled_lr(self) -> float:
        """`lr` for `batch_size` images, linearly as in timm's `--lr-base`."""
        return self.lr * self.batch_size / self.lr_batch

    @property
    def step_decay(self) -> float:
        """The average's decay in a step of `batch_size` images: after as many images, the same."""
        return float(self.ema_decay ** (self.batch_size / self.lr_batch))

    def of_batches(self) -> dict[str, Any]:
        """Return what decides the batches, epoch by epoch; the rest is done with them."""
        return {name: value for name, value in vars(self).items() if name not in OF_STEPS}

    @property
    def trains(self) -> bool:
        """Whether there is anything to train."""
        return self.epochs > 0


def _require_positive(group: str, spec: Any, *names: str) -> None:
    for name in names:
        value = getattr(spec, name)
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{group}.{name}={value}: must be a number greater than 0")


def _require_at_least_zero(group: str, spec: Any, *names: str) -> None:
    for name in names:
        value = getattr(spec, name)
        if not 0 <= value < float("inf"):
            raise ValueError(f"{group}.{name}={value}: must be a number of at least 0")
