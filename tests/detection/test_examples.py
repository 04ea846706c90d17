"""What the report is given of a detector: outlines, images, what is on them, and curves."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from repghost.detection import examples
from repghost.detection.annotations import Instances
from repghost.detection.goal import DetectorGoal
from repghost.detection.outlines import outlines
from repghost.detection.source import PictureSet
from repghost.detection.spec import TaskSpec
from repghost.training.spec import DataSpec

CPU = torch.device("cpu")


def filled(lines: list[list[int]], shape: tuple[int, int]) -> np.ndarray:
    """Fill outlines by the even-odd rule, by the crossings to the left of each pixel's middle."""
    mask = np.zeros(shape, int)
    for line in lines:
        corners = list(zip(line[::2], line[1::2], strict=True))
        for (x, y), (other, end) in zip(corners, [*corners[1:], corners[0]], strict=True):
            if x == other:
                mask[min(y, end) : max(y, end), x:] += 1
    return mask % 2


MASKS = arrays(np.uint8, st.tuples(*[st.integers(1, 9)] * 2), elements=st.integers(0, 1))


@given(MASKS)
def test_outlines_filled_again_are_the_mask(mask):
    lines = outlines(mask)
    assert (filled(lines, mask.shape) == mask).all()
    for line in lines:
        corners = list(zip(line[::2], line[1::2], strict=True))
        turns = zip(corners, [*corners[1:], corners[0]], strict=True)
        assert all((x == other) != (y == end) for (x, y), (other, end) in turns)


def test_a_rectangle_has_four_corners_and_a_hole_an_outline_of_its_own():
    mask = np.zeros((6, 8), np.uint8)
    mask[1:5, 2:7] = 1
    (line,) = outlines(mask)
    assert set(zip(line[::2], line[1::2], strict=True)) == {(2, 1), (2, 5), (7, 1), (7, 5)}
    assert len(line) == 8
    mask[2, 3] = 0
    assert sorted(map(len, outlines(mask))) == [8, 8]


class Seer(torch.nn.Module):
    """Finds the first annotated object of an image with a score of 0.9, and rubbish with 0.1."""

    def __init__(self, pictures: PictureSet, *, masks: bool) -> None:
        super().__init__()
        self.answers = {}
        for place, picture in enumerate(pictures.pictures):
            image, target = pictures[0, place]
            first = pictures.instances.learnable(picture)[:1]
            count = len(first) + 1
            boxes = torch.cat([target["boxes"][:1], torch.tensor([[0.0, 0.0, 5.0, 5.0]])])
            labels = torch.tensor([*(one.label for one in first), 3]) + masks
            scores = torch.tensor([0.9, 0.1])[-count:]
            answer = {"boxes": boxes, "labels": labels, "scores": scores}
            if masks:
                shape = (count, 1, picture.height, picture.width)
                answer["masks"] = torch.zeros(shape)
                for one in first:
                    mask = pictures.instances.mask(one, picture)
                    answer["masks"][0, 0] = torch.from_numpy(mask).float()
            self.answers[hash(image.numpy().tobytes())] = answer

    def forward(self, images):
        pixels = ((image * 255).round().to(torch.uint8) for image in images)
        return [self.answers[hash(image.numpy().tobytes())] for image in pixels]


def written(tiny, path, kind, monkeypatch=None, **changed):
    for name, value in changed.items():
        monkeypatch.setattr(examples, name, value)
    truth = Instances(str(tiny), "val")
    goal = DetectorGoal(TaskSpec(kind), truth)
    seer = Seer(PictureSet(truth, 0, masks=False), masks=kind == "maskrcnn")
    data = DataSpec(kind="coco", root=str(tiny), num_classes=10, input_size=96, max_size=96)
    examples.write_examples(path, goal, seer, CPU, data, batch_size=4)
    return truth, json.loads(path.read_text())


@pytest.mark.parametrize("kind", ["retinanet", "maskrcnn"])
def test_images_truth_and_what_was_found_are_written_in_the_pixels_that_are_shown(
    kind, tiny, tmp_path
):
    truth, seen = written(tiny, tmp_path / "examples.json", kind)
    assert len(seen["pictures"]) == len({one["file"] for one in seen["pictures"]}) == 6
    by_name = {picture.path.name: picture for picture in truth.pictures}
    for one in seen["pictures"]:
        picture = by_name[one["file"]]
        image = Image.open(io.BytesIO(base64.b64decode(one["jpeg"], validate=True)))
        assert image.size == (one["width"], one["height"]) == (96, 96)
        objects = truth.learnable(picture)
        assert [row["class"] for row in one["truth"]] == [truth.classes[o.label] for o in objects]
        (found,) = one["found"]  # what has a score of 0.1 is not shown
        first = one["truth"][0]
        assert (found["class"], found["score"]) == (first["class"], 0.9)
        assert found["box"] == pytest.approx(first["box"], abs=0.11)
        assert found.get("mask") == first.get("mask")
        assert ("mask" in found) == (kind == "maskrcnn")
        if "mask" in first:
            assert (filled(first["mask"], (96, 96)) == truth.mask(objects[0], picture)).all()


def test_curves_are_those_of_the_scored_network_and_an_older_file_is_replaced(tiny, tmp_path):
    path = tmp_path / "examples.json"
    path.write_text("torn")
    _, seen = written(tiny, path, "retinanet")
    assert [(one["kind"], one["iou"]) for one in seen["curves"]] == [("bbox", 0.5), ("bbox", 0.75)]
    first = seen["curves"][0]["precision"]
    assert len(first) == 101 and 100 >= first[0] > first[-1] >= 0
    assert list(tmp_path.iterdir()) == [path]


def test_a_large_image_is_shown_small_and_boxes_and_masks_with_it(tiny, tmp_path, monkeypatch):
    path = tmp_path / "examples.json"
    _, whole = written(tiny, path, "maskrcnn")
    _, small = written(tiny, path, "maskrcnn", monkeypatch, LONGEST_SIDE=48)
    for one, half in zip(whole["pictures"], small["pictures"], strict=True):
        assert (half["width"], half["height"]) == (48, 48)
        for row, other in zip(one["truth"], half["truth"], strict=True):
            assert other["box"] == pytest.approx([side / 2 for side in row["box"]], abs=0.11)
            drawn = Image.new("L", (48, 48))
            ImageDraw.Draw(drawn).rectangle(other["box"], fill=1)
            assert set(np.flatnonzero(filled(other["mask"], (48, 48)))) <= set(
                np.flatnonzero(np.asarray(drawn))
            )


def test_an_image_that_cannot_be_read_is_left_out(tiny, tmp_path, monkeypatch):
    truth = Instances(str(tiny), "val")
    goal = DetectorGoal(TaskSpec("retinanet"), truth)
    seer = Seer(PictureSet(truth, 0, masks=False), masks=False)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    truth.pictures[0] = replace(truth.pictures[0], path=broken)
    data = DataSpec(kind="coco", root=str(tiny), num_classes=10, max_size=96)
    examples.write_examples(tmp_path / "e.json", goal, seer, CPU, data, batch_size=4)
    assert len(json.loads((tmp_path / "e.json").read_text())["pictures"]) == 5
