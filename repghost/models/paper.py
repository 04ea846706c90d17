"""Every network of the paper's tables: its name, its knobs and the row that it stands for.

The list of the contract tests too. Source of the rows: arXiv:2211.06088; no torch is imported here.
"""

from dataclasses import dataclass
from functools import partial

from repghost.models.baselines import (
    EfficientNetSpec,
    MobileNetV2Spec,
    MobileNetV3Spec,
    MobileNeXtSpec,
    MobileOneSpec,
    ProxylessNASSpec,
    ShuffleNetV2Spec,
)
from repghost.models.repghost_spec import (
    GhostNetSpec,
    GhostRes50Spec,
    RepGhostNetSpec,
    RepGhostRes50Spec,
)
from repghost.models.spec import ModelSpec


@dataclass(frozen=True)
class Entry:
    """A network and the first two cells of its row in one of the paper's tables or figures."""

    spec: ModelSpec
    place: str  # "Table 3"
    model: str
    knob: str = ""  # width, s, shortcut or module, as the table prints it


_small, _large = (partial(MobileNetV3Spec, size=size) for size in ("small", "large"))
_bare = partial(RepGhostNetSpec, shortcut=False)
SQRT2 = 1.41421356  # what the counts of Table 5 say of its "s=1.4"
T3, T5, T7 = "Table 3", "Table 5", "Table 7"

# fmt: off
ENTRIES = {
    # Table 3, in its order
    "mobilenetv2-0.35x":       Entry(MobileNetV2Spec(width=0.35), T3, "MobileNetV2", "0.35"),
    "shufflenetv2-0.5x":       Entry(ShuffleNetV2Spec(width=0.5), T3, "ShuffleNetV2", "0.5"),
    "mobilenext-0.35x":        Entry(MobileNeXtSpec(width=0.35), T3, "MobileNeXt", "0.35"),
    "mobilenetv3-small-0.75x": Entry(_small(width=0.75), T3, "MobileNetV3-Small", "0.75"),
    "mobilenetv3-small-1.0x":  Entry(_small(width=1.0), T3, "MobileNetV3-Small", "1.0"),
    "ghostnet-0.5x":           Entry(GhostNetSpec(width=0.5), T3, "GhostNet", "0.5"),
    "repghostnet-0.5x":        Entry(RepGhostNetSpec(width=0.5), T3, "RepGhostNet", "0.5"),
    "repghostnet-0.58x":       Entry(RepGhostNetSpec(width=0.58), T3, "RepGhostNet", "0.58"),
    "mobilenetv2-0.6x":        Entry(MobileNetV2Spec(width=0.6), T3, "MobileNetV2", "0.6"),
    "shufflenetv2-1.0x":       Entry(ShuffleNetV2Spec(width=1.0), T3, "ShuffleNetV2", "1.0"),
    "mobilenetv3-large-0.75x": Entry(_large(width=0.75), T3, "MobileNetV3-Large", "0.75"),
    "ghostnet-1.0x":           Entry(GhostNetSpec(width=1.0), T3, "GhostNet", "1.0"),
    "repghostnet-1.0x":        Entry(RepGhostNetSpec(width=1.0), T3, "RepGhostNet", "1.0"),
    "repghostnet-1.11x":       Entry(RepGhostNetSpec(width=1.11), T3, "RepGhostNet", "1.11"),
    "mobilenetv2-1.0x":        Entry(MobileNetV2Spec(width=1.0), T3, "MobileNetV2", "1.0"),
    "shufflenetv2-1.5x":       Entry(ShuffleNetV2Spec(width=1.5), T3, "ShuffleNetV2", "1.5"),
    "mobilenext-0.75x":        Entry(MobileNeXtSpec(width=0.75), T3, "MobileNeXt", "0.75"),
    "mobilenext-1.0x":         Entry(MobileNeXtSpec(width=1.0), T3, "MobileNeXt", "1.0"),
    "mobileone-s0":            Entry(MobileOneSpec(), T3, "MobileOne-S0"),
    "proxylessnas":            Entry(ProxylessNASSpec(), T3, "ProxylessNAS"),
    "efficientnet-b0":         Entry(EfficientNetSpec(), T3, "EfficientNet-B0"),
    "mobilenetv3-large-1.0x":  Entry(_large(width=1.0), T3, "MobileNetV3-Large", "1.0"),
    "ghostnet-1.3x":           Entry(GhostNetSpec(width=1.3), T3, "GhostNet", "1.3"),
    "repghostnet-1.3x":        Entry(RepGhostNetSpec(width=1.3), T3, "RepGhostNet", "1.3"),
    "repghostnet-1.5x":        Entry(RepGhostNetSpec(width=1.5), T3, "RepGhostNet", "1.5"),
    # Table 4's backbone that is in no other table
    "ghostnet-1.1x":           Entry(GhostNetSpec(width=1.1), "Table 4", "GhostNet", "1.1"),
    # Table 5
    "ghost-res50-s2":          Entry(GhostRes50Spec(ratio=2), T5, "Ghost-Res50", "2"),
    "repghost-res50-s1.4":     Entry(RepGhostRes50Spec(ratio=SQRT2), T5, "RepGhost-Res50", "1.4"),
    "ghost-res50-s4":          Entry(GhostRes50Spec(ratio=4), T5, "Ghost-Res50", "4"),
    "repghost-res50-s2":       Entry(RepGhostRes50Spec(ratio=2.0), T5, "RepGhost-Res50", "2"),
    # Table 7
    "repghostnet-2.0x":        Entry(RepGhostNetSpec(width=2.0), T7, "2.0", "true"),
    "repghostnet-0.5x-no-shortcut": Entry(_bare(width=0.5), T7, "0.5", "false"),
    "repghostnet-1.0x-no-shortcut": Entry(_bare(width=1.0), T7, "1.0", "false"),
    "repghostnet-1.5x-no-shortcut": Entry(_bare(width=1.5), T7, "1.5", "false"),
    "repghostnet-2.0x-no-shortcut": Entry(_bare(width=2.0), T7, "2.0", "false"),
    # Table 1 and Figure 2: GhostNet 1.0x with adds; Figure 3: the evolution of the module
    "ghostnet-1.0x-add":       Entry(GhostNetSpec(width=1.0, reuse="add"), "Table 1", "add"),
    "module-a":                Entry(RepGhostNetSpec(module="a"), "Figure 3", "a"),
    "module-b":                Entry(RepGhostNetSpec(module="b"), "Figure 3", "b"),
    "module-c":                Entry(RepGhostNetSpec(module="c"), "Figure 3", "c"),
    "module-d":                Entry(RepGhostNetSpec(module="d"), "Figure 3", "d"),
    "module-e":                Entry(RepGhostNetSpec(module="e"), "Figure 3", "e"),
}
# fmt: on
