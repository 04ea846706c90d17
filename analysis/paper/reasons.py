"""Why a count differs from the paper's, for each entry where it does; "not known" is an answer."""

from repghost.models.paper import ENTRIES

NOT_KNOWN = "not known"
SHUFFLENET = (
    "the paper prints the figure of ShuffleNetV2's authors (41, 146, 299); convs and linear layers"
    " of the same network give less, and what else they count is not known"
)
MOBILENEXT = (
    "the paper prints MobileNeXt's published figures; its authors' code, which the network here"
    " follows, gives other ones at this width (at 1.4x it gives the published ones)"
)
V3_LARGE = (
    "the paper prints MobileNetV3's published figures; of the same network TensorFlow's own table"
    " has 217 MMACs and, like the publication, 5.4 M parameters, and why the parameters are less"
    " than these is not known"
)
# fmt: off
REASONS = {
    "shufflenetv2-0.5x": SHUFFLENET,
    "shufflenetv2-1.0x": SHUFFLENET,
    "shufflenetv2-1.5x": SHUFFLENET,
    "mobilenext-0.35x": MOBILENEXT,
    "mobilenext-0.75x": MOBILENEXT,
    "mobilenext-1.0x": MOBILENEXT,
    "mobilenetv3-large-1.0x": V3_LARGE,
    "mobilenetv3-small-0.75x":
        "the paper prints MobileNetV3's published figure; what its authors count besides convs and"
        " linear layers is not known",
    "mobilenetv2-0.6x":
        "141 MMACs and a top-1 of 66.7 are in ShuffleNetV2's paper, of an implementation by its own"
        " authors whose rounding of channels is not known; rounding to multiples of 8, as"
        " MobileNetV2's authors do, gives what stands here; rounding to 1, 2, 4 or 16, up, down or"
        " to the nearest, does not give 141 with 2.2 M parameters either",
    "mobilenetv2-1.0x":
        "the paper prints MobileNetV2's published figure, 300: 300.8 cut and not rounded, it seems",
    "ghostnet-1.3x":
        "the paper prints GhostNet's published figure; at 0.5x and 1.0x the same network agrees,"
        " and why it does not at 1.3x is not known",
    "repghost-res50-s1.4":
        "the paper does not say which channels its s=1.4 leaves: the square root of 2, built here,"
        " gives its MACs and not its parameters; 1.4 gives 13.7 M and 2.2 B, 1/0.7 gives 13.2 M"
        " and 2.1 B; none gives both",
}
# fmt: on
assert set(REASONS) <= set(ENTRIES)
