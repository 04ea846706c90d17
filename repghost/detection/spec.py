"""What is made of a network: a classifier, or a detector that stands on it; no torch here."""

from collections.abc import Container, Hashable
from dataclasses import dataclass
from typing import Any

from repghost.models.spec import ModelSpec

DETECTORS = {"retinanet": "RetinaNet", "maskrcnn": "Mask R-CNN"}
STRIDES = {"retinanet": (8, 16, 32), "maskrcnn": (4, 8, 16, 32)}  # of the backbone's features
NORMS = ("none", "batch")
MARKS = {  # a weight that each of them has, and nothing else
    "retinanet": "head.classification_head.cls_logits.bias",
    "maskrcnn": "roi_heads.box_predictor.cls_score.bias",
}
KINDS = ("train", "validate", *DETECTORS)


def detector_in(weights: Container[str]) -> str:
    """Return the detector whose weights have these names, "" for anything else."""
    return next((kind for kind, name in MARKS.items() if name in weights), "")


@dataclass(frozen=True)
class TaskSpec:
    """`kind` is train or validate (a classifier), or the detector that is trained on the network.

    The others are the detector's: channels of the pyramid and of Mask R-CNN's linear layers, an
    anchor's side in strides of its level, what normalises the convs of pyramid and heads, the
    standard deviation of the weights that the convs of RetinaNet's heads begin with, and how many
    detections of which score are kept.
    """

    kind: str = "train"
    fpn_chs: int = 256
    head_chs: int = 1024
    anchor_scale: float = 4.0
    norm: str = "none"
    head_std: float = 0.01
    score_threshold: float = 0.05
    detections: int = 100

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"task={self.kind}: allowed are {', '.join(KINDS)}")
        for name in ("fpn_chs", "head_chs", "anchor_scale", "head_std", "detections"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ValueError(f"task.{name}={value}: must be a number greater than 0")
        if self.norm not in NORMS:
            raise ValueError(f"task.norm={self.norm}: allowed are {', '.join(NORMS)}")
        if not 0 <= self.score_threshold < 1:
            raise ValueError(f"task.score_threshold={self.score_threshold}: must be in [0, 1)")

    @property
    def detects(self) -> bool:
        """Whether a detector is trained, and not a classifier."""
        return self.kind in DETECTORS

    @property
    def masks(self) -> bool:
        """Whether masks are learnt and scored beside boxes."""
        return self.kind == "maskrcnn"

    @property
    def deciding(self) -> dict[str, Any]:
        """Return what a result depends on, {} for a classifier: its keys know of no task."""
        if not self.detects:
            return {}
        others = "head_std" if self.masks else "head_chs"
        return {k: v for k, v in vars(self).items() if k != others}


@dataclass(frozen=True)
class DetectorSpec:
    """A detector on a network of the registry, at one place where both are asked for."""

    task: TaskSpec
    backbone: ModelSpec

    def describe(self) -> str:
        """Return one short line that says what this is."""
        return f"{DETECTORS[self.task.kind]} on {self.backbone.describe()}"

    @property
    def trains_as(self) -> Hashable:
        """What is trained, see `ModelSpec.trains_as`."""
        return tuple(self.task.deciding.items()), self.backbone.trains_as

    @property
    def deploys_as(self) -> Hashable:
        """What the device runs, see `ModelSpec.deploys_as`."""
        drawn = ("kind", "fpn_chs")
        return tuple(getattr(self.task, name) for name in drawn), self.backbone.deploys_as


NetworkSpec = ModelSpec | DetectorSpec
