"""The knobs of the networks that RepGhostNet is compared with; no torch is imported here."""

from dataclasses import dataclass
from typing import ClassVar

from repghost.models.spec import ModelSpec, WidthSpec

V3_WIDTHS = {"small": (0.5, 0.75, 1.0), "large": (0.75, 1.0)}  # those that timm has


@dataclass(frozen=True)
class MobileNetV2Spec(WidthSpec):
    """MobileNetV2 (arXiv:1801.04381), torchvision's."""

    family: str = "mobilenetv2"

    NAME: ClassVar[str] = "MobileNetV2"


@dataclass(frozen=True)
class MobileNetV3Spec(WidthSpec):
    """MobileNetV3 (arXiv:1905.02244), timm's: `size` small or large."""

    family: str = "mobilenetv3"
    size: str = "small"

    NAME: ClassVar[str] = "MobileNetV3"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_one_of("size", tuple(V3_WIDTHS))
        if self.width not in V3_WIDTHS[self.size]:
            allowed = ", ".join(map(str, V3_WIDTHS[self.size]))
            raise ValueError(
                f"model.width={self.width:g}: MobileNetV3 {self.size} exists at {allowed}"
            )

    def describe(self) -> str:
        return f"{self.NAME}-{self.size.capitalize()} {self.width:g}x"


@dataclass(frozen=True)
class MobileNeXtSpec(WidthSpec):
    """MobileNeXt (arXiv:2007.02269), sandglass blocks."""

    family: str = "mobilenext"

    NAME: ClassVar[str] = "MobileNeXt"


@dataclass(frozen=True)
class ShuffleNetV2Spec(WidthSpec):
    """ShuffleNetV2 (arXiv:1807.11164), torchvision's; its widths have a table each."""

    family: str = "shufflenetv2"

    NAME: ClassVar[str] = "ShuffleNetV2"
    WIDTHS: ClassVar[tuple[float, ...]] = (0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class VariantSpec(ModelSpec):
    """A family of a few named variants."""

    variant: str = ""

    VARIANTS: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_one_of("variant", self.VARIANTS)

    def describe(self) -> str:
        return f"{self.NAME}-{self.variant.upper()}"


@dataclass(frozen=True)
class MobileOneSpec(VariantSpec):
    """MobileOne (arXiv:2206.04040), timm's, with its own re-parameterisation."""

    family: str = "mobileone"
    variant: str = "s0"

    NAME: ClassVar[str] = "MobileOne"
    VARIANTS: ClassVar[tuple[str, ...]] = ("s0", "s1", "s2", "s3", "s4")


@dataclass(frozen=True)
class EfficientNetSpec(VariantSpec):
    """EfficientNet (arXiv:1905.11946), timm's."""

    family: str = "efficientnet"
    variant: str = "b0"

    NAME: ClassVar[str] = "EfficientNet"
    VARIANTS: ClassVar[tuple[str, ...]] = ("b0", "b1", "b2", "b3", "b4")


@dataclass(frozen=True)
class ProxylessNASSpec(ModelSpec):
    """ProxylessNAS, the architecture searched for mobile phones (arXiv:1812.00332)."""

    family: str = "proxylessnas"

    NAME: ClassVar[str] = "ProxylessNAS"


@dataclass(frozen=True)
class TimmSpec(ModelSpec):
    """Any network of timm by its name, such as mobilenetv4_conv_small."""

    family: str = "timm"
    name: str = ""

    NAME: ClassVar[str] = "timm"

    def describe(self) -> str:
        return f"timm {self.name}"

    def check_input(self, size: int) -> None:
        """Refuse an unknown name, or images that the network cannot take; imports timm.

        Raises:
            ValueError: the nearest names are given, or what the network said of the images.
        """
        from repghost.models.library import check_timm

        check_timm(self, size)
