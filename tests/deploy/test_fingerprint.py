import random
from itertools import combinations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from repghost.deploy.certificate import spread_statistics
from repghost.deploy.export import export
from repghost.deploy.fingerprint import fingerprint
from repghost.deploy.fuse import fuse
from repghost.models.registry import build
from repghost.models.repghost_spec import BRANCH_NAMES, RELU_POSITIONS, RepGhostNetSpec

SUBSETS = ["+".join(c) or "none" for n in range(4) for c in combinations(BRANCH_NAMES, n)]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """Return a function: a spec's knobs -> the path of its deployed ONNX model, made once."""
    folder = tmp_path_factory.mktemp("deployed")

    def make(seed=0, size=32, batch=1, spread=True, **knobs):
        name = "-".join(map(str, (seed, size, batch, spread, *sorted(knobs.items()))))
        path = folder / f"{name}.onnx"
        if not path.exists():
            torch.manual_seed(seed)
            model = build(RepGhostNetSpec(**({"width": 0.1, "num_classes": 5} | knobs))).eval()
            image = (3, size, size)
            model = spread_statistics(model, seed, image) if spread else model
            export(fuse(model, image), (batch, 3, size, size), path, path.with_suffix(".mnn"))
        return path

    return make


@pytest.mark.parametrize("reparam", SUBSETS)
def test_every_subset_of_branches_has_one_fingerprint(deployed, reparam):
    assert fingerprint(deployed(reparam=reparam)) == fingerprint(deployed(reparam="bn"))


@pytest.mark.parametrize("relu", RELU_POSITIONS)
def test_without_branches_every_relu_position_has_one_fingerprint(deployed, relu):
    assert fingerprint(deployed(reparam="none", relu=relu)) == fingerprint(deployed())


def test_weights_do_not_count(deployed):
    fingerprints = {fingerprint(deployed(seed=seed)) for seed in (0, 1)}
    fingerprints.add(fingerprint(deployed(spread=False)))  # equal biases: the exporter shares them
    assert len(fingerprints) == 1
    assert len(fingerprints.pop()) == 16


def test_whatever_changes_the_graph_changes_the_fingerprint(deployed):
    others = [
        {},
        {"relu": "both"},
        {"relu": "after_dconv"},
        {"relu": "both", "reparam": "id"},
        {"width": 0.2},
        {"ratio": 1.0},
        {"se": False},
        {"shortcut": False},
        {"num_classes": 6},
        {"size": 64},
        {"batch": 2},
    ]
    assert len({fingerprint(deployed(**knobs)) for knobs in others}) == len(others)


def test_names_and_the_order_of_nodes_do_not_count(deployed, tmp_path):
    model = onnx.load(str(deployed()))
    names = {n for node in model.graph.node for n in (*node.input, *node.output)}
    new = {name: f"v{i}" for i, name in enumerate(sorted(names, key=lambda name: name[::-1]))}
    nodes = list(model.graph.node)
    for node in nodes:
        node.name = f"node {random.Random(node.name).random()}"
        node.input[:] = [new[name] for name in node.input]
        node.output[:] = [new[name] for name in node.output]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.name = new[value.name]
    random.Random(0).shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, str(tmp_path / "renamed.onnx"))
    assert fingerprint(tmp_path / "renamed.onnx") == fingerprint(deployed())


def tensor(name, values, dtype=np.float32):
    return numpy_helper.from_array(np.array(values, dtype), name)


def save(path, nodes, initializers=(), outputs=("y",)):
    def value(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4])

    graph = helper.make_graph(nodes, "g", [value("x")], [value(n) for n in outputs], initializers)
    onnx.save(helper.make_model(graph), str(path))
    return fingerprint(path)


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs.split(), [output], **attributes)


def test_one_value_read_twice_differs_from_two_equal_ones(tmp_path):
    once = [node("Relu", "x", "a"), node("Add", "a a", "y")]
    twice = [node("Relu", "x", "a"), node("Relu", "x", "b"), node("Add", "a b", "y")]
    assert save(tmp_path / "1.onnx", once) != save(tmp_path / "2.onnx", twice)


def test_who_reads_what_counts_where_the_operators_are_the_same(tmp_path):
    def graph(first, second):
        pair = [node("Mul", "x w", "a"), node("Mul", "x w2", "b")]
        sums = [node("Add", first, "c"), node("Add", second, "d"), node("Add", "c d", "y")]
        return pair + sums

    weights = [tensor("w", [[1, 2, 3, 4]]), tensor("w2", [[5, 6, 7, 8]])]
    crossed = save(tmp_path / "1.onnx", graph("a b", "a b"), weights)
    assert crossed != save(tmp_path / "2.onnx", graph("a a", "b b"), weights)


def test_integers_and_single_numbers_count_by_value_and_weights_by_shape(tmp_path):
    def scaled(number):
        return save(tmp_path / "a.onnx", [node("Mul", "x n", "y")], [tensor("n", number)])

    def reshaped(shape):
        shape = tensor("s", shape, np.int64)
        return save(tmp_path / "a.onnx", [node("Reshape", "x s", "y")], [shape])

    assert scaled(2.0) != scaled(3.0)
    assert scaled([1, 2, 3, 4]) == scaled([4, 3, 2, 1])
    assert scaled([1, 2, 3, 4]) != scaled([[1, 2, 3, 4]])
    assert reshaped([2, 2]) != reshaped([4, 1])


def test_a_constant_node_equals_an_initializer_and_an_identity_nothing(tmp_path):
    plain = save(tmp_path / "1.onnx", [node("Mul", "x n", "y")], [tensor("n", 2.0)])
    constant = helper.make_node("Constant", [], ["m"], value=tensor("", 2.0))
    nodes = [
        constant,
        node("Identity", "m", "n"),
        node("Mul", "x n", "z"),
        node("Identity", "z", "y"),
    ]
    assert save(tmp_path / "2.onnx", nodes) == plain


def test_attributes_and_the_order_of_operands_and_outputs_count(tmp_path):
    def graph(*nodes, outputs=("y",)):
        return save(tmp_path / "a.onnx", list(nodes), outputs=outputs)

    def leaky(alpha):
        return graph(node("LeakyRelu", "x", "y", alpha=alpha))

    assert leaky(0.1) != leaky(0.2)
    relu = node("Relu", "x", "a")
    assert graph(relu, node("Sub", "a x", "y")) != graph(relu, node("Sub", "x a", "y"))
    both = (relu, node("Neg", "x", "y"))
    assert graph(*both, outputs=("a", "y")) != graph(*both, outputs=("y", "a"))


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x08"])
def test_a_file_that_is_no_onnx_model_is_refused_by_name(tmp_path, content):
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.onnx: not an ONNX model"):
        fingerprint(tmp_path / "a.onnx")


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"a\.onnx: no such ONNX model"):
        fingerprint(tmp_path / "a.onnx")
