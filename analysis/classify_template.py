"""Classify an image: python classify.py IMAGE [safetensors|onnx|mnn] (default: mnn)."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent


def prepared(path: str) -> Any:
    """Return an image file as the network's input (1, C, H, W), as preprocessing.json says."""
    how = json.loads((HERE / "preprocessing.json").read_text())
    image, by = (
        Image.open(path).convert(how["mode"]),
        Image.Resampling[how["interpolation"].upper()],
    )
    short = how.get("resize_shorter")
    size = [int(short * side / min(image.size)) for side in image.size] if short else how["resize"]
    image, crop = image.resize(size, by), how["crop"]
    left, top = (round((side - crop) / 2) for side in size)
    pixels = np.asarray(image.crop((left, top, left + crop, top + crop)), np.float32) / 255
    scaled = (pixels.reshape(crop, crop, -1) - how["mean"]) / how["std"]
    whole = np.broadcast_to(scaled, (crop, crop, how["in_chs"]))
    return np.ascontiguousarray(whole.transpose(2, 0, 1)[None], np.float32)


def safetensors(x: Any) -> Any:
    """Run the fused weights in torch; needs the repghost package for the network's structure."""
    import torch
    from safetensors.torch import load_file

    from repghost.deploy.fuse import fuse
    from repghost.models.registry import build, spec_class

    spec = json.loads((HERE / "model.json").read_text())
    shape = tuple(spec.pop("input"))
    model = fuse(build(spec_class(spec["family"])(**spec)).eval(), shape)
    model.load_state_dict(load_file(HERE / "model.safetensors"))
    with torch.no_grad():
        return model(torch.from_numpy(x)).numpy()


def onnx(x: Any) -> Any:
    """Run the ONNX model."""
    try:
        import onnxruntime
    except ImportError:
        sys.exit("classify.py: onnx needs onnxruntime: pip install onnxruntime")
    return onnxruntime.InferenceSession(HERE / "model.onnx").run(None, {"input": x})[0]


def mnn(x: Any) -> Any:
    """Run the MNN model."""
    import MNN

    network = MNN.Interpreter(str(HERE / "model.mnn"))
    session = network.createSession({"backend": "CPU"})
    kind = MNN.Halide_Type_Float, MNN.Tensor_DimensionType_Caffe
    network.getSessionInput(session).copyFrom(MNN.Tensor(x.shape, kind[0], x, kind[1]))
    network.runSession(session)
    output = network.getSessionOutput(session)
    logits = np.zeros(output.getShape(), np.float32)
    output.copyToHostTensor(host := MNN.Tensor(logits.shape, kind[0], logits, kind[1]))
    return np.array(host.getNumpyData())


FORMS = {"safetensors": safetensors, "onnx": onnx, "mnn": mnn}

if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] in FORMS or {*sys.argv[2:]} - {*FORMS}:
        sys.exit(__doc__)
    logits = FORMS[(sys.argv[2:] or ["mnn"])[0]](prepared(sys.argv[1]))[0].astype(np.float64)
    chances = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    labels = (HERE / "labels.txt").read_text().splitlines()
    for best in np.argsort(-chances)[:5]:
        print(f"{chances[best]:6.1%}  {labels[best]}")
