"""How runs are tracked, checked; no W&B is imported here."""

from dataclasses import dataclass, field

KINDS = ("wandb", "none")
TAG_LETTERS = 64  # W&B's own limit


@dataclass(frozen=True)
class TrackingSpec:
    """`kind=none` switches tracking off; `project` and `entity` are W&B's.

    Each run gets the `tags`, and with `artifact` its fused trained network as an artifact. Opening
    a run, and sending the rest of it at its end, may each take `patience_s`.
    """

    kind: str = "wandb"
    project: str = "repghost"
    entity: str | None = None
    tags: list[str] = field(default_factory=list)
    artifact: bool = False
    patience_s: float = 20.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"tracking.kind={self.kind}: allowed are {', '.join(KINDS)}")
        wrong = [tag for tag in self.tags if not 0 < len(tag) <= TAG_LETTERS]
        if wrong:
            raise ValueError(f"tracking.tags: {wrong[0]!r} must have 1 to {TAG_LETTERS} letters")
        if not self.patience_s > 0:
            raise ValueError(f"tracking.patience_s={self.patience_s}: must be greater than 0")
