"""One folder of images for all tests that read it; those that change it copy it."""

from pathlib import Path

import pytest
from imagefolder import make_image_folder


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ImageNet's layout: 307 training images of which two cannot be read, 60 for validation."""
    return make_image_folder(tmp_path_factory.mktemp("imagenet"))
