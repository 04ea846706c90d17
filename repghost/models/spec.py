"""What a network is asked to be: one checked dataclass a family; no torch is imported here."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

SMALLEST_INPUT = 32  # five strides of 2: below it the last stages see padding alone


@dataclass(frozen=True)
class Idle:
    """A switch (a field) that cannot act, given the others: what it is set to acts as `acts_as`.

    `where` are the others, "reparam=none", and `why` is the reason in a few words.
    """

    switch: str
    acts_as: Any
    where: str
    why: str


@dataclass(frozen=True)
class ModelSpec:
    """What every network has: images `(N, in_chs, H, W)` in, logits `(N, num_classes)` out.

    `weights` is a checkpoint to start from. Its content decides the result, as `weights_digest`;
    where it lies does not. `from_run` names a finished run whose checkpoint it is.
    """

    family: str = ""
    num_classes: int = 1000
    in_chs: int = 3
    weights: str | None = field(default=None, metadata={"machine": True})
    weights_digest: str | None = None
    from_run: str | None = field(default=None, metadata={"machine": True})

    NAME: ClassVar[str] = ""  # of the family, as the paper prints it

    def __post_init__(self) -> None:
        self.require_positive("num_classes", "in_chs")

    def describe(self) -> str:
        """Return one short line that says what this is, such as "GhostNet 0.5x"."""
        return self.NAME

    @property
    def counterpart(self) -> "ModelSpec | None":
        """The network whose operators this one's are compared with, if there is one."""
        return None

    @property
    def idle(self) -> tuple[Idle, ...]:
        """The switches that are set to something that cannot act, given the others."""
        return ()

    @property
    def trains_as(self) -> Hashable:
        """What is trained: specs of one value build one network, with the same weights for a seed.

        A library's own rounding of channels is not looked through: two of its widths may be equal.
        """
        return self.settled()

    @property
    def deploys_as(self) -> Hashable:
        """What the device runs: specs of one value deploy to one graph, its weights aside."""
        return replace(self.settled(), weights_digest=None)

    def settled(self) -> Self:
        """Return self with each switch that cannot act set to what it acts as."""
        acting = {idle.switch: idle.acts_as for idle in self.idle}
        return replace(self, weights=None, from_run=None, **acting)

    def check_input(self, size: int) -> None:
        """Refuse images of `size` pixels a side that the network cannot take.

        Raises:
            ValueError: they are smaller than the product of the network's strides.
        """
        if size < SMALLEST_INPUT:
            raise ValueError(
                f"input_size={size}: {self.describe()} needs at least {SMALLEST_INPUT} pixels:"
                " its strides multiply to that, below it the last stages see padding alone"
            )

    def require_positive(self, *names: str) -> None:
        """Raise ValueError for the first of these fields that is not a number above 0."""
        for name in names:
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ValueError(f"model.{name}={value}: must be a number greater than 0")

    def require_one_of(self, name: str, allowed: tuple[object, ...]) -> None:
        """Raise ValueError if this field is none of the allowed values."""
        value = getattr(self, name)
        if value not in allowed:
            words = ", ".join(map(str, allowed))
            raise ValueError(f"model.{name}={value}: {self.NAME} allows {words}")


@dataclass(frozen=True)
class WidthSpec(ModelSpec):
    """A family that is scaled by a width multiplier; `WIDTHS` are those allowed, () for any."""

    width: float = 1.0

    WIDTHS: ClassVar[tuple[float, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("width")
        if self.WIDTHS:
            self.require_one_of("width", self.WIDTHS)

    def describe(self) -> str:
        return f"{self.NAME} {self.width:g}x"
