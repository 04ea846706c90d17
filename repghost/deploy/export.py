"""A fused network as files: ONNX, then MNN through its native converter."""

import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError
from torch import Tensor, nn

from repghost.deploy.forward import first_line, run
from repghost.deploy.quiet import captured_output
from repghost.deploy.runtime import MnnNetwork
from repghost.deploy.simplify import simplify

OPSET = 17
# Not the mnnconvert command and not MNN.tools: those install and call a telemetry package.
CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', *sys.argv[1:]])"


class ExportError(ValueError):
    """A network could not be written as ONNX or MNN; the message says what the tool said."""


def export(
    fused: nn.Module, input_shape: tuple[int, int, int, int], onnx_path: Path, mnn_path: Path
) -> None:
    """Write `fused` for inputs of exactly `input_shape` (N, C, H, W) as ONNX and as MNN.

    The graph is simplified on the way: see `simplify`.

    Each file appears whole or not at all; a file of that name is replaced.

    Raises:
        ExportError: the network cannot take that input, or has an operator that ONNX or MNN lacks
            (the message names operator and layer), or MNN cannot convert or load it.
    """
    with _written(onnx_path) as part:
        write_onnx(fused, input_shape, part)
        onnx.save(simplify(onnx.load(str(part))), str(part))
    convert(onnx_path, mnn_path)


def convert(onnx_path: Path, mnn_path: Path) -> None:
    """Write the ONNX model as an MNN model, whole or not at all.

    Raises:
        ExportError: the file is missing or broken, MNN lacks an operator (the message names it and
            its layer), or cannot convert or load the model.
    """
    if not onnx_path.is_file():
        raise ExportError(f"{onnx_path}: no such ONNX model")
    with _written(mnn_path) as part:
        said = _run_converter(onnx_path, part)
        if missing := re.search(r"These Op Not Support:(.*)", said, re.DOTALL):
            wanted = _with_layers(onnx_path, re.findall(r"ONNX::(\w+)", missing[1]))
            raise ExportError(f"{onnx_path}: MNN's converter does not know {wanted}")
        if not part.is_file() or part.stat().st_size == 0:
            raise ExportError(f"{onnx_path}: MNN wrote no model; it said: {_end_of(said)}")
        try:
            MnnNetwork(part)
        except ValueError as error:
            words = f"{error}; its converter said: {_end_of(said)}"
            raise ExportError(f"{onnx_path}: {words}") from error


def write_onnx(fused: nn.Module, input_shape: tuple[int, int, int, int], path: Path) -> None:
    """Write `fused` as torch exports it, without our simplifications; raises ExportError."""
    like = next(fused.parameters(), torch.zeros(()))
    example = torch.zeros(input_shape, dtype=like.dtype, device=like.device)
    try:
        outputs = run(fused, example)
    except ValueError as error:
        raise ExportError(str(error)) from error
    names = ["logits"]
    if isinstance(outputs, tuple | list):
        names = [f"output{number:03d}" for number in range(len(outputs))]
    problem: Exception | None = None
    with captured_output(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                fused,
                (example,),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=["input"],
                output_names=names,
            )
        except (RuntimeError, TypeError, ValueError) as error:  # OnnxExporterError is the first
            problem = error
    if problem is not None:
        raise ExportError(_not_in_onnx(fused, example, problem)) from problem


def _not_in_onnx(fused: nn.Module, example: Tensor, problem: Exception) -> str:
    """Return one line that says which operator of which layer torch could not export."""
    said = first_line(problem).partition(" Please feel free")[0]
    operator = re.search(r"operator '?(?:aten::)?(\w+)", said)
    where = ""
    if operator and (layers := _layers(fused, example, operator[1])):
        where = f" at {_layer_list(layers)}"
    return f"torch cannot export this network as ONNX{where}: {said}"


def _layers(fused: nn.Module, example: Tensor, operator: str) -> list[str]:
    """Return the paths of the modules that call aten's `operator`: torch's error has none."""
    with captured_output(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            traced: Any = torch.jit.trace(  # type: ignore[no-untyped-call]
                fused, example, check_trace=False
            )
        except (RuntimeError, TypeError, ValueError):
            return []
    scopes = [
        node.scopeName()
        for node in traced.inlined_graph.nodes()
        if node.kind() == f"aten::{operator}"
    ]
    return [scope.rpartition("/")[2].removeprefix("__module.") for scope in scopes]


def _run_converter(onnx_path: Path, mnn_path: Path) -> str:
    """Run MNN's native converter; return what it printed.

    In a process of its own, in an empty folder: it passes all weights through a file of a fixed
    name in the working directory, and of two at work in one folder both write networks of zeros.
    """
    files = ["--modelFile", str(onnx_path.resolve()), "--MNNModel", str(mnn_path.resolve())]
    command = [sys.executable, "-c", CONVERT, "-f", "ONNX", *files, "--bizCode", "MNN"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    died = f"\nits process died with {done.returncode}" if done.returncode else ""
    return done.stdout + done.stderr + died


def _end_of(said: str) -> str:
    return " | ".join(line.strip() for line in said.splitlines()[-5:] if line.strip())


def _with_layers(onnx_path: Path, operators: Sequence[str]) -> str:
    """Return the operators, each with the layers that need it."""
    try:
        nodes = onnx.load(str(onnx_path), load_external_data=False).graph.node
    except DecodeError:
        return ", ".join(operators)
    named = {op: [_layer(node.name) for node in nodes if node.op_type == op] for op in operators}
    return ", ".join(f"{op} ({_layer_list(layers)})" for op, layers in named.items())


def _layer(node_name: str) -> str:
    """Return the module path in a node's name: torch writes /blocks/blocks.1/conv/Conv."""
    parts: list[str] = []
    for part in node_name.split("/")[1:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts)


def _layer_list(layers: Sequence[str]) -> str:
    names = [name or "the network's own forward" for name in dict.fromkeys(layers)]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"layer{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more}"


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that becomes `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        part = Path(folder) / path.name
        yield part
        part.replace(path)
