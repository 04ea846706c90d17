"""`task=validate` gives what timm's validation gives, to the image."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from sklearn.datasets import load_sample_images
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.models import load_checkpoint
from timm.utils import accuracy

from repghost.settings import Settings, settings_from
from repghost.validation import validate

ROOT = Path(__file__).parents[2]
SIZE, PER_CLASS = 64, 5
CLASSES = ("n2", "n9", "n10", "n11", "n30", "n31", "n40", "n41")  # n10 is after n9 for timm


def settings(*overrides: str) -> Settings:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return settings_from(compose("config", ["task=validate", *overrides]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pieces of photographs of many sizes and modes, some of them in train/ and all in val/."""
    root = tmp_path_factory.mktemp("images")
    photographs, rng = load_sample_images().images, np.random.default_rng(0)
    for name in CLASSES:
        (root / "val" / name).mkdir(parents=True)
        for index in range(PER_CLASS):
            height, width = rng.integers(40, 300, 2)
            top, left = rng.integers(0, 427 - height), rng.integers(0, 640 - width)
            piece = photographs[index % 2][top : top + height, left : left + width]
            mode = ("RGB", "L", "CMYK")[index % 3]
            Image.fromarray(piece).convert(mode).save(root / "val" / name / f"{index}.jpg")
    return root


@pytest.fixture(scope="module")
def released(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as timm's trainer leaves it: weights, and others as their average."""
    path = tmp_path_factory.mktemp("weights") / "released.pth.tar"
    images = [
        Image.open(file).convert("RGB").resize((SIZE, SIZE)) for file in folder.rglob("*.jpg")
    ]
    pixels = torch.tensor(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
    plain, average = (opinionated(pixels / 64 - 2, seed) for seed in (1, 2))
    torch.save({"arch": "repghostnet_050", "state_dict": plain, "state_dict_ema": average}, path)
    return path


def opinionated(images: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    """Return weights of a network that says different classes of different images."""
    torch.manual_seed(seed)
    model = timm.create_model("repghostnet_050", num_classes=len(CLASSES)).train()
    with torch.no_grad():
        for _ in range(20):
            model(images)
        logits = model.eval()(images)
        model.classifier.weight /= logits.std(0).unsqueeze(1)
        model.classifier.bias.zero_()
        model.classifier.bias -= model(images).mean(0)
    return model.state_dict()


def by_timm(root: Path, checkpoint: Path, average: bool) -> tuple[float, float, int]:
    """Return top-1 and top-5 in percent, and how many classes were said, of timm's validation."""
    model = timm.create_model("repghostnet_050", num_classes=len(CLASSES))
    load_checkpoint(model, str(checkpoint), use_ema=average)
    arguments = {"input_size": (3, SIZE, SIZE), "crop_pct": 0.875, "interpolation": "bicubic"}
    config = resolve_data_config(arguments, model=model, use_test_size=True)
    loader = create_loader(
        create_dataset("", str(root / "val"), split="validation", class_map=""),
        batch_size=16,
        use_prefetcher=False,
        num_workers=0,
        **{
            name: config[name]
            for name in ("input_size", "interpolation", "mean", "std", "crop_pct")
        },
    )
    logits, targets = [], []
    with torch.no_grad():
        for images, target in loader:
            logits.append(model.eval()(images))
            targets.append(target)
    found = torch.cat(logits)
    top1, top5 = accuracy(found, torch.cat(targets), topk=(1, 5))
    return float(top1), float(top5), len(found.argmax(1).unique())


@pytest.mark.parametrize("average", [True, False])
def test_a_released_checkpoint_scores_as_in_timm_to_the_image(
    average: bool, folder: Path, released: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    top1, top5, said = by_timm(folder, released, average)
    words = [f"data.root={folder}", f"data.input_size={SIZE}", "model.width=0.5", "data.workers=0"]
    asked = settings("data=folder", *words, f"checkpoint={released}", f"average={average}")
    assert validate(asked) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said > 1 and 0 < top5 < 100
    assert found["images"] == len(CLASSES) * PER_CLASS
    assert (found["top1"], found["top5"]) == pytest.approx((top1, top5), abs=1e-4)


def test_the_folder_of_a_split_is_enough_and_what_cannot_be_read_is_named(
    folder: Path, released: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = folder / "val" / "n2" / "broken.jpg"
    broken.write_bytes(b"no image")
    try:
        words = [f"data.root={folder / 'val'}", f"data.input_size={SIZE}", "model.width=0.5"]
        validate(settings("data=folder", *words, f"checkpoint={released}", "data.workers=2"))
    finally:
        broken.unlink()
    said = capsys.readouterr().out
    assert f"cannot be read, not counted: {broken}" in said
    found = json.loads(said.splitlines()[-1])
    assert (found["images"], found["skipped"]) == (len(CLASSES) * PER_CLASS, 1)


def test_classes_are_numbered_as_in_training_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    for split, names in (("train", ("a", "b")), ("val", ("b", "c"))):
        for name in names:
            (tmp_path / split / name).mkdir(parents=True)
    with pytest.raises(ValueError, match="validation has a class that training has not: c"):
        settings("data=folder", f"data.root={tmp_path}")
    (tmp_path / "val" / "c").rmdir()
    assert settings("data=folder", f"data.root={tmp_path}").data.num_classes == 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["task=validate"], "task=validate: give checkpoint=FILE, the weights to score"),
        (["task=validate", "checkpoint=none.pt"], "checkpoint=none.pt: no such file"),
        (
            ["task=test"],
            "task=test: there is none of this name; allowed are validate, retinanet, train,"
            " maskrcnn",
        ),
        (["-m", "task=validate", "seed=0,1"], "task=validate: is for one network; leave out -m"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], complaint: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "launch.py"), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (2, f"error: {complaint}")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]  # nothing was begun


def test_our_own_checkpoint_scores_what_its_run_said(tmp_path: Path) -> None:
    network = ["model.width=0.1", "tracking=none", "recipe.epochs=1", "recipe.warmup_epochs=0"]
    quick = ["recipe.batch_size=256", "latency.max_rounds=3", "latency.wait_s=0"]
    trained = launch([*network, *quick], tmp_path)
    (checkpoint,) = tmp_path.glob("outputs/runs/*/checkpoint.pt")
    result = json.loads((checkpoint.parent / "result.json").read_text())
    said = launch([*network, "task=validate", f"checkpoint={checkpoint}"], tmp_path)
    found = json.loads(said.splitlines()[-1])
    assert f"top-1 {result['top1']:.2f} %" in trained
    assert (found["top1"], found["top5"]) == pytest.approx((result["top1"], result["top5"]))


def launch(words: list[str], home: Path) -> str:
    command = [sys.executable, str(ROOT / "launch.py"), *words]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, check=True).stdout
