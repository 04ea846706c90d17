"""ImageNet's layout, awkward files and all, down the whole road with the paper's recipe."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "launch.py"
SHRUNK = (
    "data=imagenet",
    "data.num_classes=10",
    "data.input_size=32",
    "data.decode=fast",
    "data.workers=1",
    "recipe=paper",
    "recipe.epochs=2",
    "recipe.warmup_epochs=1",
    "recipe.batch_size=64",
    "recipe.ema_decay=0.9",
    "model.width=0.1",
    "latency.max_rounds=3",
    "tracking=none",
)


@pytest.mark.slow
def test_imagenets_layout_runs_with_the_papers_recipe(image_folder, tmp_path):
    words = [*SHRUNK, f"data.root={image_folder}", f"outputs={tmp_path}"]
    done = subprocess.run([sys.executable, LAUNCH, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = (json.loads(path.read_text()) for path in tmp_path.glob("runs/*/result.json"))
    assert result["epochs"] == 2
    assert 0 <= result["top1"] <= result["top5"] <= 100
    assert {Path(name).name for name in result["skipped_images"]} == {"corrupt.JPEG", "cut.JPEG"}
