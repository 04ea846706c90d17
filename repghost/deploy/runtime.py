"""A deployed network in MNN on this machine's CPU; needs MNN and numpy, not torch."""

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repghost.deploy.quiet import captured_output

Array = NDArray[np.float32]


def mnn_version() -> str:
    """Return the version of the MNN runtime, such as "3.6.1"."""
    return version("MNN")


class MnnNetwork:
    """One `.mnn` file in a session of its own: float32, `threads` CPU threads, fixed input shape.

    Raises:
        ValueError: the file is missing, or MNN cannot load it.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        if not path.is_file():
            raise ValueError(f"{path}: no such MNN model")
        self._input: Any = None
        problem: Exception | None = None
        with captured_output() as said:
            import MNN

            self._mnn = MNN
            try:
                self._interpreter = MNN.Interpreter(str(path))
                config = {"backend": "CPU", "numThread": threads, "precision": "high"}
                self._session = self._interpreter.createSession(config)
                self._input = self._session and self._interpreter.getSessionInput(self._session)
            except Exception as error:  # MNN raises nothing more precise on an invalid file
                problem = error
        if not self._input:
            words = " ".join([*said[-3:], str(problem or "")]).strip()
            raise ValueError(f"{path}: MNN cannot load this model; it said: {words}") from problem
        self.input_shape: tuple[int, ...] = tuple(self._input.getShape())

    def _host(self, values: Array) -> object:
        layout = self._mnn.Tensor_DimensionType_Caffe
        return self._mnn.Tensor(values.shape, self._mnn.Halide_Type_Float, values, layout)

    def fill(self, x: Array) -> None:
        """Copy the input `(N, C, H, W)` into the session; `time_ms` runs on it."""
        if x.shape != self.input_shape:
            raise ValueError(f"input is {x.shape}, the network takes {self.input_shape}")
        self._input.copyFrom(self._host(np.ascontiguousarray(x, dtype=np.float32)))

    def run(self, x: Array) -> Array:
        """Return the network's output for one input of exactly `input_shape`."""
        self.fill(x)
        self._interpreter.runSession(self._session)
        output = self._interpreter.getSessionOutput(self._session)
        values = np.zeros(output.getShape(), np.float32)
        host = self._host(values)
        output.copyToHostTensor(host)
        return np.array(host.getNumpyData(), dtype=np.float32)  # type: ignore[attr-defined]

    def time_ms(self, runs: int) -> float:
        """Run `runs` times in a row on the input as filled; return the mean in milliseconds."""
        start = time.perf_counter_ns()
        for _ in range(runs):
            self._interpreter.runSession(self._session)
        return (time.perf_counter_ns() - start) / runs / 1e6
