"""Tiny real MNN networks, and a device whose clock is scripted."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from repghost.deploy.quiet import captured_output

pytest.register_assert_rewrite(
    "device_contract", "store_contract", "queue_contract", "adb_phone", "worker_shop"
)

CHS, SIDE = 16, 20


def conv_chain(layers: int) -> onnx.ModelProto:
    """Return `layers` 3x3 convs one after another, (1, 16, 20, 20) -> the same."""
    rng = np.random.default_rng(0)
    shape = [1, CHS, SIDE, SIDE]
    weights, nodes = [], []
    for i in range(layers):
        kernel = rng.normal(scale=0.1, size=(CHS, CHS, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{i}"))
        pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        nodes.append(helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"], **pads))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name in ("x0", f"x{layers}")
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="session")
def make_mnn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Return a function: number of layers -> a `.mnn` file of that many convs."""
    folder = tmp_path_factory.mktemp("networks")

    def make(layers: int) -> Path:
        onnx_path, mnn_path = folder / f"chain{layers}.onnx", folder / f"chain{layers}.mnn"
        onnx.save(conv_chain(layers), onnx_path)
        arguments = ["--modelFile", str(onnx_path), "--MNNModel", str(mnn_path)]
        with captured_output():
            import _tools

            _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *arguments, "--bizCode", "MNN"])
        return mnn_path

    return make


@pytest.fixture(scope="session")
def short_mnn(make_mnn: Callable[[int], Path]) -> Path:
    return make_mnn(4)


@pytest.fixture(scope="session")
def long_mnn(make_mnn: Callable[[int], Path]) -> Path:
    return make_mnn(8)
