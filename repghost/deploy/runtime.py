"""A deployed network in MNN on this machine's CPU; needs MNN and numpy, not torch."""

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from repghost.deploy.quiet import captured_output

MNN_PRECISION = {"fp32": "high", "fp16": "low"}
INPUT_SEED = 0
SMALL_WINOGRAD_TILES = (3, 1)  # MNN's hint WINOGRAD_MEMORY_LEVEL; its default is 3
Array = NDArray[np.float32]
Shape = tuple[int, ...]
Callback = Callable[[Any, Any], bool]  # the tensors and MNN's OpInfo -> go on?


class OperatorInfo(NamedTuple):
    """One operator of a session as MNN runs it.

    `name` is that of the ONNX tensor it computes. A copy or a concatenation (type "Raster") has
    none: MNN names it after the operator that reads it. `mflops` is MNN's own estimate; that of a
    convolution is its MACs in millions.
    """

    name: str
    type: str
    mflops: float
    input_shapes: tuple[Shape, ...]
    output_shape: Shape


class OperatorTimes(NamedTuple):
    """Mean times of a run with callbacks, and of each of its operators `(operators,)`, in ms."""

    run_ms: float
    operators_ms: NDArray[np.float64]


def mnn_version() -> str:
    """Return the version of the MNN runtime, such as "3.6.1"."""
    return version("MNN")


class MnnNetwork:
    """One `.mnn` file in a session of its own: `threads` CPU threads, fixed input shape.

    `numerics` is "fp32" or "fp16", which MNN heeds only where the CPU computes in it.
    `exact` keeps MNN from the large tiles of Winograd's algorithm for 3 x 3 convs: one of 64
    channels at 56 x 56 is 1.2e-3 off with them (0.9 ms) and 3e-7 without (1.4 ms).

    Raises:
        ValueError: the file is missing, or MNN cannot load it.
    """

    def __init__(
        self, path: Path, threads: int = 1, exact: bool = False, numerics: str = "fp32"
    ) -> None:
        if not path.is_file():
            raise ValueError(f"{path}: no such MNN model")
        self._input: Any = None
        problem: Exception | None = None
        with captured_output() as said:
            import MNN

            self._mnn = MNN
            try:
                self._interpreter = MNN.Interpreter(str(path))
                if exact:
                    self._interpreter.setSessionHint(*SMALL_WINOGRAD_TILES)
                precision = MNN_PRECISION[numerics]
                config = {"backend": "CPU", "numThread": threads, "precision": precision}
                self._session = self._interpreter.createSession(config)
                self._input = self._session and self._interpreter.getSessionInput(self._session)
            except Exception as error:  # MNN raises nothing more precise on an invalid file
                problem = error
        if not self._input:
            words = " ".join([*said[-3:], str(problem or "")]).strip()
            raise ValueError(f"{path}: MNN cannot load this model; it said: {words}") from problem
        self.input_shape: tuple[int, ...] = tuple(self._input.getShape())

    @classmethod
    def filled(cls, path: Path, threads: int = 1, numerics: str = "fp32") -> Self:
        """Return a network with seeded random input, ready for `time_ms`.

        Raises:
            ValueError: the file is missing, cannot be loaded, or has no fixed input shape.
        """
        network = cls(path, threads, numerics=numerics)
        shape = network.input_shape
        if not shape or min(shape) < 1:
            raise ValueError(f"{path}: its input is {shape}; export it with a fixed shape")
        noise = np.random.default_rng(INPUT_SEED).normal(size=shape)
        network.fill(noise.astype(np.float32))
        return network

    def _host(self, values: Array) -> object:
        layout = self._mnn.Tensor_DimensionType_Caffe
        return self._mnn.Tensor(values.shape, self._mnn.Halide_Type_Float, values, layout)

    def fill(self, x: Array) -> None:
        """Copy the input `(N, C, H, W)` into the session; `time_ms` runs on it."""
        if x.shape != self.input_shape:
            raise ValueError(f"input is {x.shape}, the network takes {self.input_shape}")
        self._input.copyFrom(self._host(np.ascontiguousarray(x, dtype=np.float32)))

    def run(self, x: Array) -> Array:
        """Return the only output of the network for one input of exactly `input_shape`."""
        (output,) = self.run_all(x)
        return output

    def run_all(self, x: Array) -> list[Array]:
        """Return all outputs for an input of exactly `input_shape`, in the order of their names."""
        self.fill(x)
        self._interpreter.runSession(self._session)
        outputs = self._interpreter.getSessionOutputAll(self._session)
        return [self._values(outputs[name]) for name in sorted(outputs)]

    def _values(self, output: Any) -> Array:
        values = np.zeros(output.getShape(), np.float32)
        host = self._host(values)
        output.copyToHostTensor(host)
        return np.array(host.getNumpyData(), dtype=np.float32)  # type: ignore[attr-defined]

    def time_ms(self, runs: int, settle: int = 0) -> float:
        """Run `settle` times, then `runs` times timed, on the input as filled; the mean in ms."""
        for _ in range(settle):
            self._interpreter.runSession(self._session)
        start = time.perf_counter_ns()
        for _ in range(runs):
            self._interpreter.runSession(self._session)
        return (time.perf_counter_ns() - start) / runs / 1e6

    def operators(self) -> list[OperatorInfo]:
        """Run once; return the operators in the order in which they run."""
        inputs: list[tuple[Shape, ...]] = []
        found: list[OperatorInfo] = []

        def before(tensors: Any, _: Any) -> bool:
            inputs.append(tuple(tuple(tensor.getShape()) for tensor in tensors))
            return True

        def after(tensors: Any, info: Any) -> bool:
            output = tuple(tensors[0].getShape()) if tensors else ()
            facts = info.getName(), info.getType(), info.getFlops()
            found.append(OperatorInfo(*facts, inputs[-1], output))
            return True

        self._run_between(before, after)
        return found

    def time_operators(self, runs: int) -> OperatorTimes:
        """Run `runs` times on the input as filled, with a callback on both sides of each operator.

        About half of what the callbacks cost lies inside the times of the operators, which are in
        the order of `operators()`. Python's garbage collector stands still meanwhile: the callbacks
        make garbage.
        """
        clock = time.perf_counter_ns
        starts: list[int] = []
        ends: list[int] = []

        def before(_tensors: Any, _info: Any) -> bool:
            starts.append(clock())
            return True

        def after(_tensors: Any, _info: Any) -> bool:
            ends.append(clock())
            return True

        with _no_collection():
            start = clock()
            for _ in range(runs):
                self._run_between(before, after)
            run_ms = (clock() - start) / runs / 1e6
        times = np.subtract(ends, starts).reshape(runs, -1).mean(axis=0) / 1e6
        return OperatorTimes(run_ms, times)

    def _run_between(self, before: Callback, after: Callback) -> None:
        try:
            self._interpreter.runSessionWithCallBackInfo(self._session, before, after)
        except SystemError as error:  # what MNN makes of an exception in a callback: of Ctrl-C
            raise KeyboardInterrupt from error


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
