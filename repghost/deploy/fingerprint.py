"""The structure of a deployed graph as a short hash: no weights, no names."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

LENGTH = 16  # hexadecimal digits


def fingerprint(onnx_path: Path) -> str:
    """Return 16 hex digits of the ONNX graph's structure: operators, attributes, shapes, wiring.

    Weights (float tensors) count by shape and type only; integers and single numbers, which are
    attributes in all but name, by value. Names and the order of nodes do not count.

    Raises:
        ValueError: the file is missing, is no ONNX model, or holds a nested graph (If, Loop).
    """
    if not onnx_path.is_file():
        raise ValueError(f"{onnx_path}: no such ONNX model")
    try:
        graph = onnx.load(str(onnx_path), load_external_data=False).graph
    except DecodeError as error:
        raise ValueError(f"{onnx_path}: not an ONNX model ({error})") from error
    if not graph.node or not graph.output:
        raise ValueError(f"{onnx_path}: not an ONNX model: it holds no operators or no output")
    return _graph_hash(graph)


@dataclass(eq=False)
class _Operator:
    """A node that computes: the hash of it and all above it, and who reads which of its outputs."""

    above: str
    readers: list[tuple["_Operator", int, int]] = field(default_factory=list)  # who, slot, output


@dataclass(frozen=True)
class _Value:
    """A tensor of the graph: its hash, and the operator and output that write it, if one does."""

    digest: str
    writer: _Operator | None = None
    index: int = 0


def _graph_hash(graph: onnx.GraphProto) -> str:
    """Hash every operator by what it reads and by what reads it, and the outputs in order."""
    values = {tensor.name: _Value(_tensor(tensor)) for tensor in graph.initializer}
    for value in graph.input:
        values.setdefault(value.name, _Value(_graph_input(value)))
    operators = [made for node in _in_order(graph.node) if (made := _read(node, values))]
    below: dict[_Operator | None, str] = {None: ""}
    for operator in reversed(operators):
        readers = sorted((below[who], slot, index) for who, slot, index in operator.readers)
        below[operator] = _digest("op", operator.above, *map(str, readers))
    outputs = [_value(value.name, values) for value in graph.output]
    ends = [f"{output.digest}:{below[output.writer]}" for output in outputs]
    return _digest("graph", *sorted(below.values()), "outputs", *ends)[:LENGTH]


def _read(node: onnx.NodeProto, values: dict[str, _Value]) -> _Operator | None:
    """Add what `node` writes to `values`; return its operator unless it computes nothing."""
    if node.op_type == "Constant":
        values[node.output[0]] = _Value(_constant(node))
        return None
    inputs = [_value(name, values) for name in node.input]
    if node.op_type == "Identity":  # exporters share equal weights through these
        values[node.output[0]] = inputs[0]
        return None
    attributes = sorted(_attribute(attribute) for attribute in node.attribute)
    digests = [value.digest for value in inputs]
    operator = _Operator(_digest(node.domain, node.op_type, *attributes, "inputs", *digests))
    for slot, value in enumerate(inputs):
        if value.writer:
            value.writer.readers.append((operator, slot, value.index))
    for index, name in enumerate(node.output):
        values[name] = _Value(_digest(operator.above, str(index)), operator, index)
    return operator


def _value(name: str, values: Mapping[str, _Value]) -> _Value:
    if not name:  # an optional input that is left out
        return _Value("absent")
    if name not in values:
        raise ValueError(f"broken ONNX graph: nothing computes {name!r}")
    return values[name]


def _in_order(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the nodes so that each stands after those that it reads."""
    writer = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    reads = {i: [writer[n] for n in node.input if n in writer] for i, node in enumerate(nodes)}
    try:
        return [nodes[i] for i in TopologicalSorter(reads).static_order()]
    except CycleError as error:
        raise ValueError("broken ONNX graph: it has a cycle") from error


def _constant(node: onnx.NodeProto) -> str:
    attribute = node.attribute[0]
    if attribute.type == onnx.AttributeProto.TENSOR:
        return _tensor(attribute.t)
    return _attribute(attribute)


def _attribute(attribute: onnx.AttributeProto) -> str:
    if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
        raise ValueError(
            f"attribute {attribute.name}: nested graphs (If, Loop) have no fingerprint"
        )
    if attribute.type == onnx.AttributeProto.TENSOR:
        return f"{attribute.name}={_tensor(attribute.t)}"
    return f"{attribute.name}={onnx.helper.get_attribute_value(attribute)!r}"


def _tensor(tensor: onnx.TensorProto) -> str:
    """Return shape and type, and the values too of integers and of a single number."""
    kind = onnx.TensorProto.DataType.Name(tensor.data_type)
    floats = kind.startswith(("FLOAT", "DOUBLE", "BFLOAT", "COMPLEX"))
    if floats and tensor.dims:
        return f"{kind}{list(tensor.dims)}"
    values = numpy_helper.to_array(tensor).tolist()
    if isinstance(values, float) and math.isnan(values):
        return f"{kind}[]=nan"
    return f"{kind}{list(tensor.dims)}={values}"


def _graph_input(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else "?" for d in kind.shape.dim]
    return f"input {onnx.TensorProto.DataType.Name(kind.elem_type)}{dims}"


def _digest(*parts: str) -> str:
    joined = b"".join(f"{len(part)}:{part}".encode() for part in parts)
    return hashlib.sha256(joined).hexdigest()
