"""Exact simplifications of an exported graph that the exporter and MNN's converter leave undone."""

import onnx
from onnx import helper, numpy_helper, shape_inference

SPATIAL = ({2, 3}, {-2, -1}, {2, -1}, {-2, 3})
Shapes = dict[str, tuple[int, ...]]


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that computes the same with cheaper operators; the argument is left alone.

    A mean over height and width becomes a global average pool: MNN has a kernel for that, while the
    mean is a Reduction on another layout, before which MNN copies its input (GhostNet's SE blocks:
    five more concatenations). A slice of everything goes.
    """
    model = shape_inference.infer_shapes(model, data_prop=True)
    graph, shapes = model.graph, _shapes(model.graph)
    constants = _constants(graph)
    nodes: list[onnx.NodeProto] = []
    renamed: dict[str, str] = {}
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        if _slices_nothing(node, shapes, constants) and node.output[0] not in outputs:
            renamed[node.output[0]] = node.input[0]
        else:
            nodes += _pooled(node, shapes, constants)
    del graph.node[:]
    graph.node.extend(_used(nodes, outputs))
    return model


def _pooled(
    node: onnx.NodeProto, shapes: Shapes, constants: dict[str, list[int]]
) -> list[onnx.NodeProto]:
    """Return the node, or what computes a mean over height and width with a pool."""
    if node.op_type != "ReduceMean" or len(shapes.get(node.input[0], ())) != 4:
        return [node]
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    axes = attributes.get("axes") or constants.get(node.input[1] if len(node.input) > 1 else "", [])
    if set(axes) not in SPATIAL or len(axes) != 2:
        return [node]
    name, output = node.name, node.output[0]
    if attributes.get("keepdims", 1):
        return [helper.make_node("GlobalAveragePool", [node.input[0]], [output], name=name)]
    pooled = f"{output}_pooled"
    return [
        helper.make_node("GlobalAveragePool", [node.input[0]], [pooled], name=name),
        helper.make_node("Flatten", [pooled], [output], name=f"{name}/Flatten"),
    ]


def _slices_nothing(node: onnx.NodeProto, shapes: Shapes, constants: dict[str, list[int]]) -> bool:
    """Say whether a Slice gives its whole input: an equal shape, and no step turns it around."""
    if node.op_type != "Slice" or node.input[0] not in shapes:
        return False
    steps = constants.get(node.input[4], [-1]) if len(node.input) > 4 else [1]
    return shapes[node.input[0]] == shapes.get(node.output[0]) and min(steps) > 0


def _shapes(graph: onnx.GraphProto) -> Shapes:
    """Return the shape of each value whose dimensions are all known."""
    found = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = tuple(dim.dim_value for dim in dims)
    return found


def _constants(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """Return the integer constants that may be axes, by name."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensors[node.output[0]] = node.attribute[0].t
    integers = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
    return {
        name: numpy_helper.to_array(tensor).ravel().tolist()
        for name, tensor in tensors.items()
        if tensor.data_type in integers
    }


def _used(nodes: list[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    """Return the nodes without those whose outputs nobody reads any more, in their order."""
    kept: list[onnx.NodeProto] = []
    needed = set(outputs)
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]
