"""A fused network as files: ONNX, then MNN through its native converter."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from repghost.deploy.quiet import captured_output
from repghost.deploy.runtime import MnnNetwork

OPSET = 17


class ExportError(ValueError):
    """A network could not be written as ONNX or MNN; the message says what the tool said."""


def export(
    fused: nn.Module, input_shape: tuple[int, int, int, int], onnx_path: Path, mnn_path: Path
) -> None:
    """Write `fused` for inputs of exactly `input_shape` (N, C, H, W) as ONNX and as MNN.

    Each file appears whole or not at all; a file of that name is replaced.

    Raises:
        ExportError: the network cannot be exported, or MNN cannot convert or load it.
    """
    with _written(onnx_path) as part:
        _write_onnx(fused, input_shape, part)
    convert(onnx_path, mnn_path)


def convert(onnx_path: Path, mnn_path: Path) -> None:
    """Write the ONNX model as an MNN model, whole or not at all.

    Raises:
        ExportError: the file is missing or broken, or MNN cannot convert or load it.
    """
    if not onnx_path.is_file():
        raise ExportError(f"{onnx_path}: no such ONNX model")
    with _written(mnn_path) as part:
        said = _run_converter(onnx_path, part)
        if not part.is_file() or part.stat().st_size == 0:
            raise ExportError(f"{onnx_path}: MNN wrote no model; it said: {said}")
        try:
            MnnNetwork(part)
        except ValueError as error:
            raise ExportError(f"{onnx_path}: {error}; its converter said: {said}") from error


def _write_onnx(fused: nn.Module, input_shape: tuple[int, int, int, int], path: Path) -> None:
    weight = next(fused.parameters())
    example = torch.zeros(input_shape, dtype=weight.dtype, device=weight.device)
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
                output_names=["logits"],
            )
        except (RuntimeError, TypeError, ValueError) as error:  # OnnxExporterError is the first
            problem = error
    if problem is not None:
        lines = str(problem).strip().splitlines() or [type(problem).__name__]
        raise ExportError(f"torch cannot export this network as ONNX: {lines[0]}") from problem


def _run_converter(onnx_path: Path, mnn_path: Path) -> str:
    """Run MNN's native converter in this process; return the last lines of what it printed."""
    with captured_output() as said:
        # Not the mnnconvert command and not MNN.tools: those install and call a telemetry package.
        import _tools

        arguments = ["-f", "ONNX", "--modelFile", str(onnx_path), "--MNNModel", str(mnn_path)]
        _tools.mnnconvert(["mnnconvert", *arguments, "--bizCode", "MNN"])
    return " | ".join(line.strip() for line in said[-5:] if line.strip())


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that becomes `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        part = Path(folder) / path.name
        yield part
        part.replace(path)
