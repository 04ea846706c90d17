"""Annotations are taken as pycocotools takes them, or refused with file and id."""

import numpy as np
import pytest
from pycocotools.coco import COCO

from repghost.detection.annotations import Instances, decoded

COLUMNS = [0, 3, 1, 6, 5]  # an uncompressed run length code, column by column: 3 x 5 pixels


def first(content: dict) -> dict:
    return content["annotations"][0]


def setting(**values):
    return lambda content: first(content).update(values)


def test_boxes_masks_and_classes_are_those_that_pycocotools_reads(tiny):
    ours, theirs = Instances(str(tiny), "train"), COCO(str(Instances(str(tiny), "train").file))
    assert len(ours.pictures) == 12 and len(ours.classes) == 10
    assert list(ours.category_ids) == sorted(theirs.getCatIds())
    for picture in ours.pictures:
        rows = theirs.loadAnns(theirs.getAnnIds(imgIds=picture.id))
        assert [one.id for one in ours.of(picture)] == [row["id"] for row in rows]
        for one, row in zip(ours.learnable(picture), rows, strict=True):
            x, y, width, height = row["bbox"]
            assert one.box == (x, y, x + width, y + height)
            assert ours.category_ids[one.label] == row["category_id"]
            mask = ours.mask(one, picture)
            assert (mask == theirs.annToMask(row)).all() and mask.sum() == row["area"]
            assert mask[y : y + height, x : x + width].sum() == mask.sum()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (setting(bbox=[5, 5, -1, 4]), "annotation 1: bbox has a negative size, -1 x 4"),
        (setting(bbox=[5, 5, 4]), "annotation 1: bbox is [5, 5, 4]; expected x, y, width, height"),
        (setting(bbox=[5, 5, float("nan"), 4]), "annotation 1: bbox is [5, 5, nan, 4]"),
        (setting(bbox=None), "annotation 1: bbox is None"),
        (setting(category_id=77), "annotation 1: category_id 77 is none of the 10 categories"),
        (setting(image_id=99), "annotation 1: there is no image of image_id 99"),
        (setting(id="one"), "annotation number 0 has no id"),
        (setting(id=2), "annotation 2: another annotation has this id"),
        (
            lambda content: content["images"][2].update(file_name="gone.jpg"),
            "image 3: {root}/train2017/gone.jpg is missing",
        ),
        (
            lambda content: content["images"][2].update(width=0),
            "image 3: width and height are (0, 96)",
        ),
        (lambda content: content["images"][2].update(id=1), "image 1: another image has this id"),
        (lambda content: content.update(images=[]), "no images"),
        (lambda content: content.update(categories=[]), "no categories"),
        (lambda content: content.pop("annotations"), "no list of annotations"),
        (
            lambda content: content["categories"][1].update(id=1),
            "category 1: another category has this id",
        ),
    ],
)
def test_what_a_training_would_learn_wrongly_from_is_refused_with_file_and_id(
    change, said, spoiled
):
    root = spoiled(change)
    with pytest.raises(ValueError) as caught:
        Instances(str(root), "train")
    assert str(caught.value).startswith(f"{root}/annotations/instances_train2017.json: ")
    assert said.format(root=root) in str(caught.value)


def test_a_file_that_is_missing_or_no_json_is_refused(tmp_path, spoiled):
    with pytest.raises(ValueError, match=r"data\.root=None: no instances_val2017\.json"):
        Instances(None, "val")
    root = spoiled(lambda content: None)
    (root / "annotations" / "instances_train2017.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"instances_train2017\.json: cannot be read as JSON"):
        Instances(str(root), "train")


@pytest.mark.parametrize("bbox", [[5, 5, 0, 4], [5, 5, 4, 0.5], [96, 0, 10, 10], [-9, 0, 9, 10]])
def test_a_box_of_less_than_a_pixel_in_the_image_is_scored_but_not_learnt_from(bbox, spoiled):
    instances = Instances(str(spoiled(setting(bbox=bbox))), "train")
    picture = instances.pictures[0]
    assert 1 in [one.id for one in instances.of(picture)]
    assert 1 not in [one.id for one in instances.learnable(picture)]


def test_a_box_over_the_border_is_cut_to_the_image(spoiled):
    instances = Instances(str(spoiled(setting(bbox=[-4, 90, 20, 20]))), "train")
    assert instances.learnable(instances.pictures[0])[0].box == (0, 90, 16, 96)


def test_a_crowd_is_not_learnt_from(spoiled):
    instances = Instances(str(spoiled(setting(iscrowd=1))), "train")
    picture = instances.pictures[0]
    assert instances.of(picture)[0].crowd
    assert 1 not in [one.id for one in instances.learnable(picture)]


def test_polygons_and_both_run_length_codes_give_the_masks_of_pycocotools():
    polygons = [[1, 1, 6, 1, 6, 5, 1, 5], [10.5, 2, 14, 8, 9, 8]]
    code = {"size": [3, 5], "counts": COLUMNS}
    truth = COCO()
    truth.imgs = {1: {"height": 10, "width": 16}}
    expected = truth.annToMask({"image_id": 1, "segmentation": polygons})
    assert (decoded(polygons, 10, 16) == expected).all() and expected.sum() > 20
    columns = np.repeat([0, 1, 0, 1, 0], COLUMNS).reshape(5, 3).T
    assert (decoded(code, 3, 5) == columns).all()


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ([[1, 1, 2, 2]], "fewer than three points"),
        ([], "fewer than three points"),
        ([[1, 1, 2, 2, 3, "x"]], "fewer than three points"),
        (None, "segmentation is None; expected polygons or a run length code"),
        ({"size": [3, 5], "counts": [1, 2]}, "segmentation is of [3, 5], the image [96, 96]"),
        ({"size": [96, 96], "counts": [1, 2]}, "segmentation.counts cover 3 pixels of 9216"),
        ({"size": [96, 96], "counts": [-1, 9217]}, "must be whole numbers of at least 0"),
        ({"size": [96, 96]}, "counts"),
    ],
)
def test_a_mask_that_cannot_be_decoded_is_refused_with_file_and_id(segmentation, said, spoiled):
    instances = Instances(str(spoiled(setting(segmentation=segmentation))), "train")
    picture = instances.pictures[0]
    with pytest.raises(ValueError, match=r"instances_train2017\.json: annotation 1: ") as caught:
        instances.mask(instances.of(picture)[0], picture)
    assert said in str(caught.value)
