"""The simplified graph computes the same with fewer or cheaper operators."""

import collections

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

from repghost.deploy.export import export, write_onnx
from repghost.deploy.fingerprint import fingerprint
from repghost.deploy.fuse import fuse
from repghost.deploy.simplify import simplify
from repghost.models.ghostnet import stacked
from repghost.models.registry import build
from repghost.models.repghost_spec import GhostNetSpec

SHAPE = (1, 4, 6, 6)


class Body(nn.Module):
    """A conv, then what is to be simplified."""

    def __init__(self, what) -> None:
        super().__init__()
        self.conv, self.what = nn.Conv2d(4, 4, 1), what

    def forward(self, x):
        return self.what(self.conv(x))


def simplified(what, tmp_path):
    """Return the operators before and after, having compared the outputs."""
    torch.manual_seed(0)
    path = tmp_path / "model.onnx"
    write_onnx(Body(what).eval(), SHAPE, path)
    before = onnx.load(str(path))
    after = simplify(before)
    onnx.checker.check_model(after)
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    expected, found = (ReferenceEvaluator(m).run(None, {"input": x})[0] for m in (before, after))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    return tuple(
        collections.Counter(node.op_type for node in m.graph.node) for m in (before, after)
    )


@pytest.mark.parametrize("axes", [(2, 3), (3, 2), (-1, -2), (2, -1)])
@pytest.mark.parametrize("keepdim", [True, False])
def test_a_mean_over_height_and_width_becomes_a_pool(axes, keepdim, tmp_path):
    before, after = simplified(lambda x: x.mean(axes, keepdim=keepdim) * 2, tmp_path)
    assert before["ReduceMean"] == 1 and "ReduceMean" not in after
    assert after["GlobalAveragePool"] == 1


@pytest.mark.parametrize(
    "what", [lambda x: x.mean(1), lambda x: x.mean((1, 2)), lambda x: x.flatten(2).mean(2)]
)
def test_another_mean_stays(what, tmp_path):
    before, after = simplified(what, tmp_path)
    assert before["ReduceMean"] == after["ReduceMean"] == 1


def test_a_slice_of_everything_goes_with_its_constants(tmp_path):
    before, after = simplified(lambda x: x[:, :4].relu(), tmp_path)
    assert before["Slice"] == 1 and before["Constant"] > 0
    assert set(after) == {"Conv", "Relu"}


def test_a_slice_of_everything_at_the_end_keeps_the_output(tmp_path):
    _, after = simplified(lambda x: x[:, :4], tmp_path)
    assert after["Conv"] == 1


@pytest.mark.parametrize("what", [lambda x: x[:, 1:], lambda x: x[:, :, ::2], lambda x: x[:, -3:]])
def test_a_slice_that_cuts_stays(what, tmp_path):
    _, after = simplified(what, tmp_path)
    assert after["Slice"] == 1


def test_a_slice_that_turns_its_input_around_stays(tmp_path):
    path = tmp_path / "model.onnx"
    write_onnx(Body(lambda x: x[:, :4].relu()).eval(), SHAPE, path)
    model = onnx.load(str(path))
    integers = {
        node.output[0]: node.attribute[0].t
        for node in model.graph.node
        if node.op_type == "Constant"
    }
    cut = next(node for node in model.graph.node if node.op_type == "Slice")
    for name, value in zip(cut.input[1:], (3, -5, 1, -1), strict=True):
        integers[name].CopyFrom(onnx.numpy_helper.from_array(np.array([value]), name))
    assert "Slice" in {node.op_type for node in simplify(model).graph.node}


def test_timms_ghostnet_and_ours_deploy_to_one_graph(tmp_path):
    spec = GhostNetSpec(width=0.5, num_classes=5)
    prints = set()
    for name, network in (("timm", build(spec)), ("ours", stacked(spec))):
        files = (tmp_path / f"{name}.onnx", tmp_path / f"{name}.mnn")
        export(fuse(network.eval(), (3, 64, 64)), (1, 3, 64, 64), *files)
        prints.add(fingerprint(files[0]))
    assert len(prints) == 1
