from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from repghost.deploy.certificate import spread_statistics
from repghost.deploy.export import ExportError, convert, export
from repghost.deploy.fuse import fuse
from repghost.deploy.runtime import MnnNetwork
from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec

SHAPE = (1, 3, 32, 32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    spread = spread_statistics(build(RepGhostNetSpec(width=0.2, num_classes=5)), 0, SHAPE[1:])
    return fuse(spread, SHAPE[1:])


@pytest.mark.parametrize("batch", [1, 3])
def test_mnn_gives_the_networks_outputs(network, tmp_path, batch):
    shape = (batch, *SHAPE[1:])
    export(network, shape, tmp_path / "a.onnx", tmp_path / "a.mnn")
    runtime = MnnNetwork(tmp_path / "a.mnn")
    assert runtime.input_shape == shape
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        np.testing.assert_allclose(runtime.run(x.numpy()), network(x).numpy(), atol=1e-5)


def test_exporting_prints_nothing_and_leaves_only_its_two_files(network, tmp_path, capfd):
    export(network, SHAPE, tmp_path / "run" / "a.onnx", tmp_path / "run" / "a.mnn")
    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["a.mnn", "a.onnx"]


class Calls(nn.Module):
    """One function of the input as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.function(x * self.weight)


def network_with(*functions):
    """Return a network whose layers blocks.1.0, blocks.1.1, ... call the functions."""
    model = nn.Sequential()
    model.add_module("stem", nn.Conv2d(3, 3, 1))
    odd = nn.Sequential(*(Calls(function) for function in functions))
    model.add_module("blocks", nn.Sequential(nn.ReLU(), odd))
    return model.eval()


TORCH_LACKS = {
    "linalg_matrix_exp": torch.linalg.matrix_exp,
    "fft_rfft2": torch.fft.rfft2,
    "adaptive_avg_pool2d": lambda x: nn.functional.adaptive_avg_pool2d(x, 3),
}


@pytest.mark.parametrize("operator", TORCH_LACKS)
def test_an_operator_that_onnx_lacks_is_named_with_its_layer(tmp_path, operator, capfd):
    (tmp_path / "a.onnx").write_bytes(b"old")
    model = network_with(torch.tanh, TORCH_LACKS[operator])
    with pytest.raises(ExportError, match=rf"at layer blocks\.1\.1: .*{operator}") as refused:
        export(model, (1, 3, 4, 4), tmp_path / "a.onnx", tmp_path / "a.mnn")
    assert "\n" not in str(refused.value)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
    assert capfd.readouterr() == ("", "")


def test_operators_that_mnn_lacks_are_named_with_their_layers(tmp_path, capfd):
    def nan(x):
        return torch.isnan(x).float()

    model = network_with(nan, torch.tanh, lambda x: torch.isinf(x).float(), nan)
    (tmp_path / "a.mnn").write_bytes(b"old")
    wanted = r"know .*IsNaN \(layers blocks\.1\.0, blocks\.1\.3\)"
    with pytest.raises(ExportError, match=wanted) as refused:
        export(model, (1, 3, 4, 4), tmp_path / "a.onnx", tmp_path / "a.mnn")
    assert "IsInf (layer blocks.1.2)" in str(refused.value) and "\n" not in str(refused.value)
    assert (tmp_path / "a.mnn").read_bytes() == b"old"
    assert capfd.readouterr() == ("", "")


def test_an_input_that_the_network_cannot_take_is_refused_with_its_layer(network, tmp_path):
    with pytest.raises(ExportError, match=r"cannot take an input of \(4, 32, 32\) at layer stem"):
        export(network, (1, 4, 32, 32), tmp_path / "a.onnx", tmp_path / "a.mnn")
    assert list(tmp_path.iterdir()) == []


def test_a_conversion_passes_nothing_through_the_working_directory(tmp_path, monkeypatch):
    # The file through which MNN passes weights: what one process writes, another empties.
    (tmp_path / ".__convert_external_data.bin").symlink_to("/dev/null")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    large = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 512)).eval()
    export(large, SHAPE, Path("a.onnx"), Path("a.mnn"))
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = MnnNetwork(Path("a.mnn")).run(x.numpy())
        np.testing.assert_allclose(found, large(x).numpy(), atol=1e-5)


@pytest.mark.parametrize("content", [b"", b"no model at all" * 50])
def test_a_corrupt_onnx_file_is_refused_and_old_files_stay(tmp_path, content, capfd):
    (tmp_path / "a.onnx").write_bytes(content)
    (tmp_path / "a.mnn").write_bytes(b"old")
    with pytest.raises(ExportError, match=r"a\.onnx.*said"):
        convert(tmp_path / "a.onnx", tmp_path / "a.mnn")
    assert (tmp_path / "a.mnn").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mnn", "a.onnx"]
    assert capfd.readouterr() == ("", "")


def test_a_truncated_onnx_file_is_refused(network, tmp_path):
    export(network, SHAPE, tmp_path / "a.onnx", tmp_path / "a.mnn")
    whole = (tmp_path / "a.onnx").read_bytes()
    (tmp_path / "b.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ExportError, match=r"b\.onnx"):
        convert(tmp_path / "b.onnx", tmp_path / "b.mnn")


def test_a_missing_onnx_file_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"a\.onnx: no such ONNX model"):
        convert(tmp_path / "a.onnx", tmp_path / "a.mnn")


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[::-1]])
def test_a_corrupt_mnn_file_is_refused_with_what_mnn_said(network, tmp_path, damage, capfd):
    export(network, SHAPE, tmp_path / "a.onnx", tmp_path / "a.mnn")
    bad = tmp_path / "bad.mnn"
    bad.write_bytes(damage((tmp_path / "a.mnn").read_bytes()))
    with pytest.raises(ValueError, match=r"bad\.mnn: MNN cannot load this model; it said: .*\w"):
        MnnNetwork(bad)
    assert capfd.readouterr() == ("", "")


def test_a_missing_mnn_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.mnn: no such MNN model"):
        MnnNetwork(tmp_path / "a.mnn")


def test_an_input_of_another_shape_is_refused(network, tmp_path):
    export(network, SHAPE, tmp_path / "a.onnx", tmp_path / "a.mnn")
    with pytest.raises(ValueError, match=r"\(1, 3, 64, 64\), the network takes \(1, 3, 32, 32\)"):
        MnnNetwork(tmp_path / "a.mnn").run(np.zeros((1, 3, 64, 64), np.float32))
