"""What a study maximises: the first of a task's scores, by name; no torch is imported here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Objective:
    """A score in percent, more is better: its `name` in files, its `label` for the user.

    `beside` are the other scores that a run's result holds, those of `shown` also in tables,
    by their labels.
    """

    name: str
    label: str
    beside: tuple[str, ...]
    shown: tuple[tuple[str, str], ...] = ()

    @property
    def scores(self) -> tuple[str, ...]:
        """Return the names of all scores, this one first."""
        return self.name, *self.beside

    def words(self, scores: Mapping[str, Any], digits: int) -> str:
        """Return the scores that a user looks at first; "-" where there was nothing to find."""
        named = [(self.name, self.label), *self.shown]
        known = [(label, scores[name]) for name, label in named if name in scores]
        return "  ".join(
            f"{label} {'-' if value is None else f'{value:.{digits}f} %'}" for label, value in known
        )


_OF_BOXES = ("ap50", "ap75", "map_small", "map_medium", "map_large")
_OF_MASKS = tuple(f"mask_{name}" for name in ("map", *_OF_BOXES))
TOP1 = Objective("top1", "top-1", ("top5",), (("top5", "top-5"),))
BOX_MAP = Objective(
    "map",
    "box mAP",
    (*_OF_BOXES, *_OF_MASKS),
    (("ap50", "AP50"), ("ap75", "AP75"), ("mask_map", "mask mAP")),
)
EITHER = Objective("score", "top-1 or box mAP", (), (*TOP1.shown, *BOX_MAP.shown))


def objective_of(detector: str) -> Objective:
    """Return what is maximised of a detector; of a classifier, whose `detector` is ""."""
    return BOX_MAP if detector else TOP1


def in_common(objectives: Iterable[Objective]) -> Objective:
    """Return the objective of all these, `EITHER` where classifiers and detectors are mixed.

    It names columns and axes alone: scores of different tasks are never compared.
    """
    found = set(objectives)
    return EITHER if len(found) > 1 else next(iter(found), TOP1)
