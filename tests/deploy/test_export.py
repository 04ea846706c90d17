import numpy as np
import pytest
import torch
from torch import nn

from repghost.deploy.certificate import spread_statistics
from repghost.deploy.export import ExportError, convert, export
from repghost.deploy.fuse import fuse
from repghost.deploy.runtime import MnnNetwork
from repghost.models.registry import build
from repghost.models.spec import ModelSpec

SHAPE = (1, 3, 32, 32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return fuse(spread_statistics(build(ModelSpec(width=0.2, num_classes=5)), 0))


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


class Unsupported(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return torch.linalg.matrix_exp(x * self.weight)


def test_a_network_that_onnx_cannot_say_is_refused_and_old_files_stay(tmp_path, capfd):
    (tmp_path / "a.onnx").write_bytes(b"old")
    with pytest.raises(ExportError, match=r"torch cannot export .*matrix_exp"):
        export(Unsupported(), (1, 1, 4, 4), tmp_path / "a.onnx", tmp_path / "a.mnn")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
    assert capfd.readouterr() == ("", "")


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
