"""torchvision's detectors on the features of any network, and the part of them a device runs."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import (
    ExtraFPNBlock,
    LastLevelMaxPool,
    LastLevelP6P7,
)

from repghost.detection.heads import Heads, Norm
from repghost.detection.spec import STRIDES, TaskSpec
from repghost.models.features import Features, features_of
from repghost.training.spec import DataSpec

RATIOS = (0.5, 1.0, 2.0)  # of an anchor's sides
SCALES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))  # of RetinaNet's anchors at a place
ROI_PIXELS = 7  # a box is judged by a grid of so many pixels a side
NORMS: dict[str, Norm] = {"none": None, "batch": nn.BatchNorm2d}
PROPOSALS = {"train": 1000, "test": 1000}  # of Mask R-CNN's first stage, as mmdetection


class Pyramid(nn.Module):
    """Features and the feature pyramid on them: images `(N, 3, H, W)` -> named maps.

    Each is `(N, out_channels, H / s, W / s)`, from the finest on.
    """

    def __init__(
        self,
        features: Features,
        out_chs: int,
        extra: ExtraFPNBlock,
        norm: Norm,
    ) -> None:
        super().__init__()
        self.features = features
        self.fpn = FeaturePyramidNetwork(list(features.chs), out_chs, extra, norm)
        self.out_channels = out_chs  # torchvision's name

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = self.features(x)
        pyramid: dict[str, Tensor] = self.fpn(OrderedDict((str(i), m) for i, m in enumerate(maps)))
        return pyramid


class DensePart(nn.Module):
    """What of a detector is a plain network: backbone, pyramid and heads, no post-processing.

    Images `(N, 3, H, W)`, normalised -> for each level the scores of its anchors, then for each
    level their offsets, as the convs put them out. Of Mask R-CNN it is the first stage, which
    proposes regions; the second works on those.
    """

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone = detector.backbone
        if isinstance(detector, MaskRCNN):
            head = detector.rpn.head
            self.towers = nn.ModuleList([Each(head.conv), nn.Identity()])
            self.outputs = nn.ModuleList([head.cls_logits, head.bbox_pred])
        else:
            assert isinstance(detector, RetinaNet)
            scores, boxes = detector.head.classification_head, detector.head.regression_head
            self.towers = nn.ModuleList([detector.head.score_tower, detector.head.box_tower])
            self.outputs = nn.ModuleList([scores.cls_logits, boxes.bbox_reg])
        self.shares_tower = isinstance(detector, MaskRCNN)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        levels = list(self.backbone(x).values())
        seen = self.towers[0](levels)
        beside = seen if self.shares_tower else self.towers[1](levels)
        return (*map(self.outputs[0], seen), *map(self.outputs[1], beside))


class Each(nn.Module):
    """A network that sees each level of a pyramid: maps -> maps."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        return [self.network(level) for level in levels]


def build_detector(
    task: TaskSpec, network: nn.Module, data: DataSpec, classes: int
) -> "RetinaNet | MaskRCNN":
    """Return the detector that `task` names on a classifier's features, in training mode.

    The classifier's layers are used, not copied. The detector takes a list of images `(3, H, W)` in
    [0, 1] of any size, normalises and scales them; labels are those of `first_label`.

    Raises:
        ValueError: the network has no features at the strides that are needed.
    """
    features = features_of(network, STRIDES[task.kind])
    around: dict[str, Any] = {
        "min_size": data.input_size,
        "max_size": data.max_size,
        "image_mean": IMAGENET_DEFAULT_MEAN,
        "image_std": IMAGENET_DEFAULT_STD,
    }
    make = _maskrcnn if task.masks else _retinanet
    detector: RetinaNet | MaskRCNN = make(task, features, classes, around)
    return detector.train()


def first_label(task: TaskSpec) -> int:
    """Return the label of the first class: Mask R-CNN's 0 is the background."""
    return 1 if task.masks else 0


def _retinanet(
    task: TaskSpec, features: Features, classes: int, around: dict[str, Any]
) -> RetinaNet:
    extra = LastLevelP6P7(features.chs[-1], task.fpn_chs)
    extra.use_P5 = False  # P6 is made of the backbone's last map, also where the channels agree
    strides = [*features.strides, *(features.strides[-1] * 2**i for i in (1, 2))]
    sizes = [tuple(stride * task.anchor_scale * scale for scale in SCALES) for stride in strides]
    norm = NORMS[task.norm]
    return RetinaNet(
        Pyramid(features, task.fpn_chs, extra, norm),
        classes,
        anchor_generator=_anchors(sizes),
        head=Heads(task.fpn_chs, len(RATIOS) * len(SCALES), classes, norm, task.head_std),
        score_thresh=task.score_threshold,
        detections_per_img=task.detections,
        **around,
    )


def _maskrcnn(task: TaskSpec, features: Features, classes: int, around: dict[str, Any]) -> MaskRCNN:
    chs, outputs, norm = task.fpn_chs, classes + 1, NORMS[task.norm]
    strides = [*features.strides, features.strides[-1] * 2]
    return MaskRCNN(
        Pyramid(features, chs, LastLevelMaxPool(), norm),
        rpn_anchor_generator=_anchors([(stride * task.anchor_scale,) for stride in strides]),
        rpn_post_nms_top_n_train=PROPOSALS["train"],
        rpn_post_nms_top_n_test=PROPOSALS["test"],
        box_head=TwoMLPHead(chs * ROI_PIXELS**2, task.head_chs),
        box_predictor=FastRCNNPredictor(task.head_chs, outputs),
        box_score_thresh=task.score_threshold,
        box_detections_per_img=task.detections,
        mask_head=MaskRCNNHeads(chs, (chs,) * 4, 1, norm),
        mask_predictor=MaskRCNNPredictor(chs, chs, outputs),
        **around,
    )


def _anchors(sizes: Sequence[tuple[float, ...]]) -> AnchorGenerator:
    return AnchorGenerator(tuple(sizes), (RATIOS,) * len(sizes))


def padded(detector: Any, images: Sequence[Tensor], shape: tuple[int, int, int]) -> Tensor:
    """Return images `(3, H, W)` in [0, 1] as the detector scales and normalises them, in `shape`.

    What is beyond its height or width is cut off, what is missing is 0: `(N, *shape)`.
    """
    whole: Tensor = detector.transform(list(images))[0].tensors
    return functional.pad(whole, (0, shape[2] - whole.shape[3], 0, shape[1] - whole.shape[2]))
