"""Detectors on networks of the registry: what is deployed is what is trained, and certified."""

import pytest
import torch
from torchvision.models.detection import MaskRCNN, RetinaNet

from repghost.deploy.certificate import certify, spread_statistics
from repghost.deploy.export import export
from repghost.deploy.fingerprint import fingerprint
from repghost.deploy.fuse import fuse, not_folded
from repghost.detection.networks import DensePart, build_detector, padded
from repghost.detection.spec import TaskSpec
from repghost.models.paper import ENTRIES
from repghost.models.registry import build
from repghost.training.spec import DataSpec

DATA = DataSpec(kind="coco", num_classes=5, input_size=64, max_size=96)
SHAPE = (3, 64, 96)
# Table 4's backbones, and one of each library and cut that is not among them.
NAMES = ["mobilenetv2-1.0x", "mobilenetv3-large-1.0x", "ghostnet-1.1x", "repghostnet-1.3x"]
NAMES += ["shufflenetv2-0.5x", "mobileone-s0", "repghost-res50-s2", "mobilenext-0.35x"]


def detector(kind: str, name: str = "repghostnet-0.5x", **knobs):
    torch.manual_seed(0)
    task = TaskSpec(kind, **{"fpn_chs": 16, "head_chs": 32, **knobs})
    return build_detector(task, build(ENTRIES[name].spec), DATA, classes=5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["retinanet", "maskrcnn"])
def test_a_detector_is_certified_in_mnn_and_all_of_it_is_folded(kind, name, tmp_path):
    dense = spread_statistics(DensePart(detector(kind, name)).eval(), 0, SHAPE)
    fused = fuse(dense, SHAPE)
    assert not not_folded(fused)
    export(fused, (1, *SHAPE), tmp_path / "a.onnx", tmp_path / "a.mnn")
    certificate = certify(dense, fused, tmp_path / "a.mnn", torch.randn(2, *SHAPE))
    assert certificate.passed, certificate.as_dict()


@pytest.mark.parametrize("kind", ["retinanet", "maskrcnn"])
def test_the_batchnorm_of_pyramid_and_heads_is_folded_and_costs_the_device_nothing(kind, tmp_path):
    plain = fuse(DensePart(detector(kind)).eval(), SHAPE)
    dense = spread_statistics(DensePart(detector(kind, norm="batch")).eval(), 0, SHAPE)
    fused = fuse(dense, SHAPE)
    assert not not_folded(fused)
    export(fused, (1, *SHAPE), tmp_path / "a.onnx", tmp_path / "a.mnn")
    export(plain, (1, *SHAPE), tmp_path / "b.onnx", tmp_path / "b.mnn")
    assert fingerprint(tmp_path / "a.onnx") == fingerprint(tmp_path / "b.onnx")
    certificate = certify(dense, fused, tmp_path / "a.mnn", torch.randn(2, *SHAPE))
    assert certificate.passed, certificate.as_dict()


def test_a_dropped_bias_in_the_last_output_of_a_detector_is_found(tmp_path):
    dense = spread_statistics(DensePart(detector("retinanet")).eval(), 0, SHAPE)
    fused = fuse(dense, SHAPE)
    export(fused, (1, *SHAPE), tmp_path / "a.onnx", tmp_path / "a.mnn")
    fused.outputs[1].bias.data.zero_()
    certificate = certify(dense, fused, tmp_path / "a.mnn", torch.randn(2, *SHAPE))
    rows = {row.form: row for row in certificate.comparisons}
    assert not rows["fused"].passed and rows["mnn"].passed


def test_the_dense_part_of_a_retinanet_gives_its_own_scores_and_offsets():
    whole = detector("retinanet").eval()
    images = torch.randn(2, *SHAPE)
    with torch.no_grad():
        outputs = DensePart(whole)(images)
        head = whole.head(list(whole.backbone(images).values()))
    levels = len(outputs) // 2
    assert levels == 5
    for name, parts, last in (("cls_logits", outputs[:5], 5), ("bbox_regression", outputs[5:], 4)):
        flat = [part.permute(0, 2, 3, 1).reshape(2, -1, last) for part in parts]
        assert torch.equal(torch.cat(flat, 1), head[name])


def test_the_dense_part_of_a_mask_rcnn_gives_its_own_proposals():
    whole = detector("maskrcnn").eval()
    images = torch.randn(2, *SHAPE)
    with torch.no_grad():
        outputs = DensePart(whole)(images)
        scores, offsets = whole.rpn.head(list(whole.backbone(images).values()))
    assert all(torch.equal(a, b) for a, b in zip(outputs, [*scores, *offsets], strict=True))


def test_anchors_are_those_of_mmdetection_at_each_level():
    retinanet, maskrcnn = detector("retinanet"), detector("maskrcnn", anchor_scale=8.0)
    sizes = retinanet.anchor_generator.sizes
    assert [round(level[0]) for level in sizes] == [32, 64, 128, 256, 512]
    assert len(sizes[0]) == 3
    assert [level[0] for level in maskrcnn.rpn.anchor_generator.sizes] == [32, 64, 128, 256, 512]
    assert isinstance(retinanet, RetinaNet) and isinstance(maskrcnn, MaskRCNN)


def test_p6_is_made_of_the_backbones_last_map_also_where_its_channels_are_the_pyramids():
    chs = detector("retinanet").backbone.features.chs[-1]
    whole = detector("retinanet", fpn_chs=chs)
    features = whole.backbone.features(torch.randn(2, *SHAPE))
    levels = whole.eval().backbone(torch.randn(2, *SHAPE))
    assert list(levels) == ["0", "1", "2", "p6", "p7"]
    assert not whole.backbone.fpn.extra_blocks.use_P5 and features[-1].shape[1] == chs


def test_images_are_scaled_by_their_short_side_and_filled_up():
    image = torch.ones(3, 32, 40)
    batch = padded(detector("retinanet"), [image, torch.ones(3, 100, 32)], SHAPE)
    assert batch.shape == (2, *SHAPE)
    assert batch[0, :, :64, :80].ne(0).all() and batch[0, :, :, 80:].eq(0).all()
    assert batch[1, :, :, :30].ne(0).all() and batch[1, :, :, 30:].eq(0).all()
