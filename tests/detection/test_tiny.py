"""The command that makes coco_tiny: the same files for a seed, splits that share nothing."""

import numpy as np
import pytest
from PIL import Image

from repghost.detection.annotations import Instances
from repghost.detection.tiny import Stock, main


def files(folder) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_command_writes_the_same_files_for_a_seed_and_others_for_another(tmp_path, capsys):
    words = ["--train", "3", "--val", "2", "--size", "64"]
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main([str(tmp_path / name), *words, "--seed", seed]) == 0
    one, again, other = (files(tmp_path / name) for name in "abc")
    assert one == again and one.keys() == other.keys() and one != other
    assert '"train": 3, "val": 2' in capsys.readouterr().out


def test_what_cannot_be_made_is_refused(tmp_path, capsys):
    assert main([str(tmp_path), "--size", "30"]) == 2
    assert main([str(tmp_path), "--val", "0"]) == 2
    assert capsys.readouterr().err.count("error: size=") == 2


def test_every_digit_stands_out_from_what_is_around_it(tiny):
    instances = Instances(str(tiny), "val")
    for picture in instances.pictures:
        grey = np.asarray(Image.open(picture.path).convert("L")).astype(float)
        for one in instances.learnable(picture):
            mask = instances.mask(one, picture).astype(bool)
            x1, y1, x2, y2 = map(int, one.box)
            around = grey[y1:y2, x1:x2][~mask[y1:y2, x1:x2]]
            assert abs(grey[mask].mean() - np.median(around)) > 20


@pytest.mark.parametrize("part", ["digits", "photographs"])
def test_the_splits_share_no_digit_and_no_part_of_a_photograph(part):
    train, val = Stock("train"), Stock("val")
    if part == "digits":
        assert len(train.digits) + len(val.digits) == 1797
    else:
        pairs = zip(train.photographs, val.photographs, strict=True)
        widths = [a.shape[1] + b.shape[1] for a, b in pairs]
        assert widths == [640, 640]
