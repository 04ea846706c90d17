import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import studies
import torch
from PIL import Image
from safetensors.torch import load_file

from analysis.__main__ import main
from analysis.results import load
from analysis.shipping import labels_of, preprocessing
from analysis.variants import group
from repghost.deploy.certificate import spread_statistics
from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.run import Run
from repghost.training.checkpoint import Checkpoints
from repghost.training.data import open_validation
from repghost.training.folder import FolderVal
from repghost.training.spec import DataSpec, RecipeSpec
from repghost.trial import _deploy_trained
from repghost.variant import Variant

VARIANT = Variant(RepGhostNetSpec(width=0.1, num_classes=12), DataSpec(), RecipeSpec(), seed=0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return outputs with one study and one run, its weights spread as after a training."""
    outputs = tmp_path_factory.mktemp("outputs")
    run = Run(outputs, VARIANT.key)
    run.write_config(VARIANT)
    torch.manual_seed(0)
    plain = build(VARIANT.model)
    scored = spread_statistics(plain.eval(), 0, (3, 32, 32))
    state = {"key": run.key, "model": plain.state_dict(), "ema": scored.state_dict()}
    Checkpoints(run.folder).save(state)
    _deploy_trained(run, scored, torch.randn(8, 3, 32, 32))
    run.finish({"key": run.key, "versions": {"torch": "2"}})
    rows = [studies.run(key=run.key, seed=0, **{"model.reparam": "bn"})]
    slow = {"latency_ms": 50.0, "latency_low": 49.0, "latency_high": 51.0, "top1": 99.5}
    rows.append(studies.run(key="slow", seed=0, fingerprint="s", **slow, **{"model.reparam": "id"}))
    studies.write_provenance(studies.write_study(outputs, rows, swept="model.reparam"))
    return outputs


@pytest.fixture(scope="module")
def best(trained):
    main(
        [
            "pick",
            "demo",
            "--outputs",
            str(trained),
            "--latency-max",
            "30",
            "--out",
            str(trained / "best"),
        ]
    )
    return trained / "best"


def test_all_files_are_there_and_the_card_has_its_evidence(best):
    names = {
        "model.safetensors",
        "model.onnx",
        "model.mnn",
        "labels.txt",
        "preprocessing.json",
        "certificate.json",
        "config.yaml",
        "model.json",
        "classify.py",
        "README.md",
    }
    assert {path.name for path in best.iterdir()} == names
    card = (best / "README.md").read_text()
    for words in (
        "98.61 %",
        "n = 1, seeds 0",
        "no interval with one seed",
        "1.234 [1.221, 1.249]",
        "commit 0123abc",
        "torch 2",
        "tolerance 0.0001",
        VARIANT.key,
    ):
        assert words in card, words


def test_an_output_without_a_class_has_a_name_of_its_own(best):
    names = (best / "labels.txt").read_text().splitlines()
    assert names == [*map(str, range(10)), "output 10", "output 11"]


def test_the_weights_are_the_averaged_ones_without_any_batchnorm(best):
    names = load_file(best / "model.safetensors")
    assert names and not any("running_mean" in name for name in names)


@pytest.mark.parametrize("form", ["safetensors", "mnn"])
def test_the_script_says_for_an_image_what_validation_would_say(best, tmp_path, form):
    """A digit enlarged by PIL is within 1/255 of the data set's own enlargement."""
    from sklearn.datasets import load_digits

    pixels = (load_digits().images[7] * 255 / 16).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    command = [sys.executable, str(best / "classify.py"), str(tmp_path / "digit.png"), form]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shown = [line.split() for line in said.splitlines() if "%" in line]
    image = torch.nn.functional.interpolate(
        torch.tensor(pixels)[None, None] / 255.0, (32, 32), mode="bilinear"
    )
    model = build(VARIANT.model).eval()
    checkpoint = best.parent / "runs" / VARIANT.key / "checkpoint.pt"
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["ema"])
    with torch.no_grad():
        chances = model(((image - 0.3) / 0.35).expand(-1, 3, -1, -1)).softmax(1)[0]
    assert len(shown) == 5
    for share, *label in shown:
        expected = float(chances[int(label[-1])])
        assert float(share.rstrip("%")) / 100 == pytest.approx(expected, abs=0.02)


def test_the_script_prepares_a_photograph_as_validation_does(best, tmp_path):
    folder = tmp_path / "data" / "val" / "cat"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (91, 130, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "one.png")
    data = DataSpec(kind="folder", root=str(tmp_path / "data"), num_classes=1, input_size=64)
    expected = next(iter(FolderVal(data, 1))).images.numpy()
    shutil.copy(best / "classify.py", tmp_path / "classify.py")
    (tmp_path / "preprocessing.json").write_text(json.dumps(preprocessing(data)))
    code = (
        "import sys, numpy; sys.path.insert(0, sys.argv[1]); import classify;"
        " numpy.save(sys.argv[1] + '/x', classify.prepared(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(folder / "one.png")]
    subprocess.run(command, check=True)
    assert np.load(tmp_path / "x.npy") == pytest.approx(expected, abs=1e-5)
    assert labels_of(data)[0] == ["cat"]


def test_without_the_data_set_labels_are_numbers_and_that_is_said():
    names, source = labels_of(DataSpec(kind="folder", root="/nowhere", num_classes=3))
    assert names == ["0", "1", "2"] and "not here" in source


def test_the_digits_are_scaled_as_the_data_set_scales_them():
    how = preprocessing(DataSpec())
    black = next(iter(open_validation(DataSpec(), RecipeSpec()))).images.min().item()
    assert -how["mean"][0] / how["std"][0] == pytest.approx(black)


def test_nothing_that_fits_is_refused_with_the_nearest_and_no_folder(trained, tmp_path):
    with pytest.raises(SystemExit, match=r"nothing has latency <= 0.5 ms; nearest is bn"):
        main(["pick", str(trained / "demo"), "--latency-max", "0.5", "--out", str(tmp_path / "b")])
    assert not (tmp_path / "b").exists()


def test_a_folder_that_holds_something_is_left_alone(trained, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit, match="not an empty folder"):
        main(["pick", str(trained / "demo"), "--latency-max", "30", "--out", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("damage", ["other weights", "no graph", "no proof"])
def test_what_does_not_pass_its_check_is_not_shipped(trained, tmp_path, damage):
    outputs = tmp_path / "outputs"
    shutil.copytree(trained, outputs, ignore=shutil.ignore_patterns("best"))
    run = outputs / "runs" / VARIANT.key
    if damage == "other weights":
        state = torch.load(run / "checkpoint.pt", weights_only=True)
        torch.save(state | {"ema": None}, run / "checkpoint.pt")
        words = "the deployed network is not the trained one"
    elif damage == "no graph":
        (run / "model.onnx").unlink()
        words = "has no model.onnx"
    else:
        (run / "certificate.json").write_text("{}")
        words = "does not prove"
    with pytest.raises(SystemExit, match=words):
        main(["pick", str(outputs / "demo"), "--latency-max", "30", "--out", str(tmp_path / "b")])
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]


def test_of_several_seeds_the_best_is_taken_and_of_equal_ones_the_lowest(tmp_path):
    rows = [
        studies.run(seed=seed, key=str(seed), top1=top1)
        for seed, top1 in ((2, 71.0), (1, 71.0), (0, 70.0))
    ]
    (variant,) = group(load(studies.write_study(tmp_path, rows)))
    assert variant.best_run.seed == 1
