"""The knobs of RepGhostNet and of Ghost modules; no torch is imported here."""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import ClassVar

from repghost.models.architecture import (
    LAST_CHS,
    BottleneckShape,
    bottleneck_shapes,
    ghostnet_shapes,
    scaled,
)
from repghost.models.spec import Idle, ModelSpec, WidthSpec

BRANCH_NAMES = ("bn", "id", "dconv")
RELU_POSITIONS = ("after_add", "after_dconv", "both")
# Figure 3's modules as branches and position of the ReLU; a, the Ghost module, has neither.
MODULES = {
    "a": ("none", "after_add"),
    "b": ("id", "after_dconv"),
    "c": ("id", "after_add"),
    "d": ("bn", "after_add"),
    "e": ("none", "after_add"),
}
REUSES = ("concat", "add")


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
class RepGhostNetSpec(WidthSpec):
    """RepGhostNet with every ablation of the paper as data (arXiv:2211.06088, Tables 2, 6, 7).

    `ratio` is s: the middle channels are the expansion over s. `shortcut=False` removes the 11
    identity shortcuts and keeps the 5 that change shape. `module` is Figure 3's letter: b to e are
    other words for `reparam` and `relu`, and are replaced by these; a is the Ghost module, whose
    concatenation gives the whole expansion, so that input and output of each bottleneck stay.
    """

    family: str = "repghostnet"
    width: float = 0.5
    reparam: str = "bn"
    relu: str = "after_add"
    module: str | None = None
    shortcut: bool = True
    ratio: float = 2.0
    se: bool = True

    NAME: ClassVar[str] = "RepGhostNet"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("ratio")
        self.require_one_of("relu", RELU_POSITIONS)
        # "dconv+bn" and "bn+dconv" are one network: one spelling, so that they share one key.
        object.__setattr__(self, "reparam", "+".join(parse_branches(self.reparam)) or "none")
        if self.module is not None:
            self._resolve_module()

    def _resolve_module(self) -> None:
        """Replace Figure 3's letter by what it stands for, so that equal networks share one key."""
        self.require_one_of("module", tuple(MODULES))
        reparam, relu = MODULES[str(self.module)]
        for name, meant, default in (("reparam", reparam, "bn"), ("relu", relu, "after_add")):
            if getattr(self, name) not in (meant, default):
                raise ValueError(
                    f"model.{name}={getattr(self, name)}: model.module={self.module} stands for"
                    f" reparam={reparam}, relu={relu}; give one or the other"
                )
            object.__setattr__(self, name, meant)
        if self.module != "a":
            object.__setattr__(self, "module", None)
        elif self.ratio < 2 or self.ratio != int(self.ratio):
            raise ValueError(
                f"model.ratio={self.ratio:g}: a Ghost module (model.module=a) makes whole copies:"
                " a whole number of at least 2"
            )

    @property
    def idle(self) -> tuple[Idle, ...]:
        where = f"reparam={self.reparam}"
        if self.reparam == "none" and self.relu != "after_add":
            why = "without branches there is no add that it could stand before"
            return (Idle("relu", "after_add", where, why),)
        if self.reparam == "id" and self.relu == "both":
            why = "its second ReLU reads a sum of two ReLUs' outputs"
            return (Idle("relu", "after_dconv", where, why),)
        return ()

    @property
    def trains_as(self) -> Hashable:
        """Width and ratio count by the channels that they come to."""
        return self._by_channels(self.settled())

    @property
    def deploys_as(self) -> Hashable:
        """Branches that are folded away do not count, what is kept of them by its operators."""
        reparam, relu = self.reparam, self.relu
        if relu == "after_add" or reparam == "none":
            reparam, relu = "none", "after_add"
        elif reparam != "id":
            reparam = "bn"  # one depthwise conv beside the main one
        form = replace(self, weights=None, weights_digest=None, reparam=reparam, relu=relu)
        return self._by_channels(form)

    def _by_channels(self, spec: "RepGhostNetSpec") -> Hashable:
        ratio = self.ratio if self.module == "a" else 2.0  # a Ghost module's is its own
        bare = replace(spec, width=1.0, ratio=ratio)
        return bare, tuple(self._shapes()), scaled(LAST_CHS, self.width)

    def _shapes(self) -> list[BottleneckShape]:
        return bottleneck_shapes(self.width, 1.0 if self.module == "a" else self.ratio, self.se)

    def describe(self) -> str:
        shapes = self._shapes()
        identities = sum(shape.keeps_shape for shape in shapes)
        ghost = self.module == "a"
        parts = [super().describe()]
        parts.append("Ghost modules with concat" if ghost else f"branches {self.reparam}")
        if self.ratio != 2:
            parts.append(f"s={self.ratio:g}")
        if not self.se:
            parts.append("no SE")
        if not self.shortcut:
            kept = len(shapes) - identities
            parts.append(f"{identities} identity shortcuts removed, {kept} that change shape kept")
        if self.relu != "after_add":
            parts.append(f"ReLU {self._relu_note()}")
        return ", ".join(parts)

    def _relu_note(self) -> str:
        if not parse_branches(self.reparam):
            return f"{self.relu} (no branches: as after_add)"
        return f"{self.relu} (before the add: the sum stays unfused)"


@dataclass(frozen=True)
class GhostNetSpec(WidthSpec):
    """GhostNet (arXiv:1911.11907); `reuse=add` adds what its 32 modules would concatenate.

    The two tensors of each operator are the same; an add gives half the channels, so what lies
    between the modules is half as wide (arXiv:2211.06088, Table 1 and Figure 2).
    """

    family: str = "ghostnet"
    reuse: str = "concat"

    NAME: ClassVar[str] = "GhostNet"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_one_of("reuse", REUSES)

    def describe(self) -> str:
        return super().describe() + (", add for concat" if self.reuse == "add" else "")

    @property
    def trains_as(self) -> Hashable:
        """Width counts by the channels that it comes to."""
        return self._by_channels(self.settled())

    @property
    def deploys_as(self) -> Hashable:
        return self._by_channels(replace(self.settled(), weights_digest=None))

    def _by_channels(self, spec: "GhostNetSpec") -> Hashable:
        shapes = tuple(ghostnet_shapes(self.width))
        return replace(spec, width=1.0), shapes, scaled(LAST_CHS, self.width)

    @property
    def counterpart(self) -> ModelSpec | None:
        """With adds: the same network with concatenations, which cannot take its weights."""
        if self.reuse != "add":
            return None
        return replace(self, reuse="concat", weights=None, weights_digest=None, from_run=None)


@dataclass(frozen=True)
class GhostRes50Spec(ModelSpec):
    """ResNet-50 with Ghost modules for its convs; `ratio` is s (arXiv:2211.06088, Table 5)."""

    family: str = "ghost_res50"
    ratio: int = 2

    NAME: ClassVar[str] = "Ghost-Res50"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ratio < 2:
            raise ValueError(f"model.ratio={self.ratio}: must be a whole number of at least 2")

    def describe(self) -> str:
        return f"{self.NAME} s={self.ratio}"


@dataclass(frozen=True)
class RepGhostRes50Spec(ModelSpec):
    """ResNet-50 with RepGhost modules; all channels of its stages over `ratio` (Table 5)."""

    family: str = "repghost_res50"
    ratio: float = 2.0
    reparam: str = "bn"

    NAME: ClassVar[str] = "RepGhost-Res50"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "reparam", "+".join(parse_branches(self.reparam)) or "none")
        if not 1 <= self.ratio <= 16:
            raise ValueError(f"model.ratio={self.ratio:g}: must be between 1 and 16")

    @property
    def deploys_as(self) -> Hashable:
        """Branches are always folded away."""
        return replace(self.settled(), weights_digest=None, reparam="none")

    def describe(self) -> str:
        return f"{self.NAME} s={self.ratio:.3g}, branches {self.reparam}"
