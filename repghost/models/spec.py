"""The knobs of a network, checked; no torch is imported here."""

from dataclasses import dataclass

BRANCH_NAMES = ("bn", "id", "dconv")
RELU_POSITIONS = ("after_add", "after_dconv", "both")


def parse_branches(reparam: str) -> tuple[str, ...]:
    """Return the branches named by `reparam` ("none" or any "+"-joined subset) in canonical order.

    Raises:
        ValueError: a branch is unknown, empty or named twice.
    """
    if reparam == "none":
        return ()
    names = reparam.split("+")
    unknown = [name for name in names if name not in BRANCH_NAMES]
    if unknown or len(set(names)) != len(names):
        raise ValueError(
            f"model.reparam={reparam}: allowed are none or any of {', '.join(BRANCH_NAMES)}"
            " joined by +, each at most once"
        )
    return tuple(name for name in BRANCH_NAMES if name in names)


@dataclass(frozen=True)
class ModelSpec:
    """RepGhostNet with every ablation of the paper as data (arXiv:2211.06088, Tables 2, 6, 7).

    `ratio` is s: the middle channels are the expansion over s. `shortcut=False` removes the 11
    identity shortcuts and keeps the 5 that change shape.
    """

    name: str = "repghostnet"
    width: float = 0.5
    reparam: str = "bn"
    relu: str = "after_add"
    shortcut: bool = True
    ratio: float = 2.0
    se: bool = True
    num_classes: int = 1000
    in_chs: int = 3

    def __post_init__(self) -> None:
        # "dconv+bn" and "bn+dconv" are one network: one spelling, so that they share one key.
        object.__setattr__(self, "reparam", "+".join(parse_branches(self.reparam)) or "none")
        if self.relu not in RELU_POSITIONS:
            raise ValueError(f"model.relu={self.relu}: allowed are {', '.join(RELU_POSITIONS)}")
        for name in ("width", "ratio", "num_classes", "in_chs"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ValueError(f"model.{name}={value}: must be a number greater than 0")
