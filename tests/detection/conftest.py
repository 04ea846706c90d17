"""A small data set in COCO's format, made once; and one whose annotations a test can spoil."""

import copy
import json
from pathlib import Path

import pytest

from repghost.detection.tiny import make


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("coco_tiny")
    make(folder, {"train": 12, "val": 6}, size=96)
    return folder


@pytest.fixture
def spoiled(tiny, tmp_path):
    """Return what writes the training instances anew after a change, and the folder's root."""
    file = tiny / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    (tmp_path / "annotations").mkdir()
    (tmp_path / "train2017").symlink_to(tiny / "train2017")

    def spoil(change) -> Path:
        changed = copy.deepcopy(content)
        change(changed)
        (tmp_path / "annotations" / file.name).write_text(json.dumps(changed))
        return tmp_path

    return spoil
