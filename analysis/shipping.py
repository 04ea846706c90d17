"""A run's trained network as files that can be shipped, checked again before they are."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repghost.atomic import read_json

if TYPE_CHECKING:
    from torch import Tensor, nn

    from repghost.training.spec import DataSpec
    from repghost.variant import Variant

CHECKED_INPUTS = 16
ONNX_INPUTS = 2  # onnx's own evaluator is slow
NEEDED = ("config.yaml", "checkpoint.pt", "model.onnx", "model.mnn", "certificate.json")
SCRIPT = Path(__file__).with_name("classify_template.py")


@dataclass(frozen=True)
class Shipped:
    """What was checked: the forms on fresh noise, how ONNX was run, where labels are from."""

    checks: dict[str, Any]
    onnx_error: float
    onnx_by: str
    labels_from: str
    variant: "Variant"


def ship(run: Path, folder: Path) -> Shipped:
    """Write weights, graphs, labels, preprocessing, certificate and script of a run to `folder`.

    The fused weights are read back from their file and compared, as the certificate does, with the
    training form, the run's MNN and the run's ONNX on fresh noise.

    Raises:
        ValueError: a file of the run is missing or damaged, or a form differs by more than the
            certificate's tolerance; form, number and tolerance are named.
    """
    _require_files(run)
    variant = _variant(run)
    if variant.task.detects:
        raise ValueError(f"{run}: a detector cannot be shipped yet; its graph is {run}/model.mnn")
    model, shape = _trained(run, variant), _image_shape(variant)
    fused = _saved_and_loaded(model, variant, folder / "model.safetensors")
    checks, onnx_error, onnx_by = _checked(run, model, fused, shape)
    for name in ("model.onnx", "model.mnn", "certificate.json", "config.yaml"):
        shutil.copyfile(run / name, folder / name)
    labels, labels_from = labels_of(variant.data)
    unnamed = range(len(labels), variant.model.num_classes)  # an output that no class trained
    labels += [f"output {n}" for n in unnamed]
    _write(folder / "labels.txt", "".join(f"{label}\n" for label in labels))
    _write(folder / "preprocessing.json", _json(preprocessing(variant.data)))
    _write(folder / "model.json", _json(asdict(variant.model) | {"input": list(shape)}))
    shutil.copyfile(SCRIPT, folder / "classify.py")
    return Shipped(checks, onnx_error, onnx_by, labels_from, variant)


def preprocessing(data: "DataSpec") -> dict[str, Any]:
    """Return how an image file becomes the network's input, as validation does it."""
    from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    from repghost.training.digits import MEAN, STD

    size = data.input_size
    about = {"in_chs": data.in_chs, "layout": "NCHW", "range": [0, 1], "crop": size}
    if data.kind == "digits":
        note = "a bright digit on black; the data set's own are 8 x 8"
        resize = {"mode": "L", "resize": [size, size], "interpolation": "bilinear", "note": note}
        return about | resize | {"mean": [MEAN], "std": [STD]}
    shorter = {"mode": "RGB", "resize_shorter": int(size / data.crop_pct)}
    normal = {"mean": [*IMAGENET_DEFAULT_MEAN], "std": [*IMAGENET_DEFAULT_STD]}
    return about | shorter | {"interpolation": "bicubic"} | normal


def labels_of(data: "DataSpec") -> tuple[list[str], str]:
    """Return the class names in the order of the outputs, and where they are from."""
    count = data.num_classes or 0
    numbers = [str(n) for n in range(count)]
    if data.kind == "digits":
        return numbers, "the digits"
    if data.name is None and data.root and Path(data.root).is_dir():
        from timm.utils.misc import natural_key

        from repghost.training.spec import val_classes

        names = sorted(val_classes(data.root), key=natural_key)
        if len(names) == count:
            return names, f"the class folders of data.root, {count} of them"
    return numbers, "the outputs' numbers: the data set with the class names is not here"


def _require_files(run: Path) -> None:
    missing = [name for name in NEEDED if not (run / name).is_file()]
    if missing:
        raise ValueError(
            f"{run}: has no {', '.join(missing)}: nothing to ship; run the sweep again"
        )
    trained = (read_json(run / "certificate.json") or {}).get("trained")
    if not isinstance(trained, dict) or not trained.get("passed"):
        raise ValueError(f"{run}: its certificate does not prove the trained network")


def _variant(run: Path) -> "Variant":
    import yaml

    from repghost.variant import Variant

    return Variant.from_config(yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8")))


def _image_shape(variant: "Variant") -> tuple[int, int, int]:
    size = variant.data.input_size
    return variant.model.in_chs, size, size


def _trained(run: Path, variant: "Variant") -> "nn.Module":
    """Return the network that was scored: the average of the weights where there is one."""
    from repghost.models.registry import build
    from repghost.training.checkpoint import Checkpoints

    state, warnings = Checkpoints(run).load()
    if state is None or state.get("key") != run.name:
        raise ValueError(f"{run}: its checkpoint cannot be used: {'; '.join(warnings) or 'key'}")
    model = build(variant.model, dropout=variant.recipe.dropout)
    model.load_state_dict(state["ema"] or state["model"])
    return model.eval().float()


def _saved_and_loaded(model: "nn.Module", variant: "Variant", path: Path) -> "nn.Module":
    """Write the fused weights and return a fresh network that has read them back."""
    from safetensors.torch import load_file, save_file

    from repghost.deploy.fuse import fuse
    from repghost.models.registry import build

    shape = _image_shape(variant)
    weights = fuse(model, shape).state_dict()
    save_file({name: one.contiguous().clone() for name, one in weights.items()}, path)
    path.chmod(0o644)  # it is made for its owner alone
    fresh = fuse(build(variant.model).eval(), shape)
    fresh.load_state_dict(load_file(path))
    return fresh


def _checked(
    run: Path, model: "nn.Module", fused: "nn.Module", shape: tuple[int, int, int]
) -> tuple[dict[str, Any], float, str]:
    import torch

    from repghost.deploy.certificate import TOLERANCE, certify

    inputs = torch.randn(CHECKED_INPUTS, *shape, generator=torch.Generator().manual_seed(1))
    found = certify(model, fused, run / "model.mnn", inputs).require().as_dict()
    error, by = _onnx_error(run / "model.onnx", fused, inputs[:ONNX_INPUTS])
    if not error <= TOLERANCE:
        raise ValueError(
            f"{run / 'model.onnx'}: differs from the fused weights by {error:.3g},"
            f" the tolerance is {TOLERANCE:g}"
        )
    return found, error, by


def _onnx_error(path: Path, fused: "nn.Module", inputs: "Tensor") -> tuple[float, str]:
    """Return max|a - b| / max|a| of the ONNX model, and what ran it."""
    import numpy as np
    import torch

    with torch.no_grad():
        expected = fused(inputs).numpy()
    images, runner = inputs.numpy(), _onnx_runner(path)
    logits = np.concatenate([runner[0](images[i : i + 1]) for i in range(len(images))])
    return float(np.abs(logits - expected).max() / np.abs(expected).max()), runner[1]


def _onnx_runner(path: Path) -> tuple[Any, str]:
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        reference = ReferenceEvaluator(str(path))
        return lambda x: reference.run(None, {"input": x})[0], "onnx's reference evaluator"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"input": x})[0], "onnxruntime"


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
