"""One NVIDIA GPU as a device: TorchScript networks, replayed as CUDA graphs between events."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repghost.latency.devices.contract import Check, DeviceError
from repghost.latency.devices.entering import Reentrant
from repghost.latency.devices.machine_lock import MachineLock, Say, log
from repghost.latency.devices.nvidia_smi import Ask, ask_nvidia_smi, gpu_state, other_processes
from repghost.latency.devices.spec import CudaSpec
from repghost.latency.record import DeviceState

if TYPE_CHECKING:
    import torch

INPUT_SEED = 0
WARM_UP_RUNS = 11  # TorchScript profiles and fuses in its first ones; cuDNN plans
NUMERICS = ("fp32", "fp16")
GPU_FAILURE = re.compile(r"CUDA|CUDNN|CUBLAS", re.IGNORECASE)  # all that torch says of them


class CudaDevice(Reentrant):
    """A GPU of this machine. Importing torch takes seconds: it waits until this is made.

    fp32 is fp32: TF32 is off while it is entered, and cuDNN chooses by its heuristics, as stock
    PyTorch does and the same on every day. A GPU need not be there before it is entered, or asked
    for its profile.

    Raises:
        DeviceError: torch is not installed.
        ValueError: a setting is none of those allowed.
    """

    fewest_runs = 1

    def __init__(
        self,
        spec: CudaSpec | None = None,
        *,
        say: Say = log.warning,
        sleep: Callable[[float], None] = time.sleep,
        ask: Ask = ask_nvidia_smi,
    ) -> None:
        self._spec = spec or CudaSpec()
        if self._spec.index < 0:
            raise ValueError(
                f"device.index={self._spec.index}: must be a whole number of at least 0"
            )
        try:
            import torch
        except ImportError as error:
            words = "device=cuda needs torch: pip install torch"
            raise DeviceError(f"no CUDA device: {words} ({error})") from error
        self._torch = torch
        self.name, self.mnn_version = self._spec.name, str(torch.__version__)
        self._say, self._sleep, self._ask = say, sleep, ask

    @property
    def profile(self) -> str:
        """What it is, such as "cuda: NVIDIA A100-SXM4-40GB"; raises DeviceError without a GPU."""
        return f"cuda: {self._properties().name}"

    @property
    def unit(self) -> str:
        """The GPU's UUID, or this machine's name where it has none or is not there."""
        try:
            uuid = str(getattr(self._properties(), "uuid", ""))
        except DeviceError:
            uuid = ""
        if not uuid:
            return platform.node()
        return uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"

    def _enter(self, stack: ExitStack) -> None:
        self._properties()
        stack.enter_context(MachineLock().held(self._say, self._sleep))
        stack.enter_context(plain_fp32(self._torch.backends))
        stack.enter_context(self._torch.cuda.device(self._spec.index))

    def load(self, path: Path, threads: int = 1, numerics: str = "fp32") -> CudaNetwork:
        """Return the network of a file of `write_traced`, captured with seeded random input.

        A GPU has no `threads`; any number is taken.

        Raises:
            ValueError: the file is missing, cannot be loaded, or does not say its input shape.
            DeviceError: the GPU has no room for it, or failed.
        """
        from repghost.deploy.traced import read_traced

        if numerics not in NUMERICS:
            raise ValueError(f"numerics {numerics}: allowed are {', '.join(NUMERICS)}")
        network, shape = read_traced(path)
        torch = self._torch
        x = torch.randn(shape, generator=torch.Generator().manual_seed(INPUT_SEED))
        dtype = torch.float16 if numerics == "fp16" else torch.float32
        with gpu_errors(torch):
            torch.cuda.empty_cache()  # what the graphs of networks that are gone have kept
            place = torch.device("cuda", self._spec.index)
            layout = torch.channels_last
            network = network.to(device=place, dtype=dtype).to(memory_format=layout)
            return CudaNetwork(network, x.to(place, dtype).to(memory_format=layout))

    def ready(self, sleep: Callable[[float], None]) -> list[str]:
        """Say in words what slows the GPU, and who else computes on it; nothing is waited for."""
        state = gpu_state(self.unit, self._ask)
        others = other_processes(self.unit, os.getpid(), self._ask)
        words = [
            f"the GPU is slower than it can be: {why}" for why in (state.slowed if state else ())
        ]
        return words + ([f"{', '.join(others)} also computes on the GPU"] if others else [])

    def state(self) -> DeviceState:
        """Return heat, clocks and driver (None where unreadable); a GPU is never pinned."""
        state = gpu_state(self.unit, self._ask)
        return {
            "pinned": False,
            "why_not_pinned": "a GPU runs on all its cores",
            "temperature_c": state.temperature_c if state else None,
            "frequency_mhz": state.clock_mhz if state else None,
            "max_frequency_mhz": state.max_clock_mhz if state else None,
            "driver": state.driver if state else None,
            "slowed": "; ".join(state.slowed) or None if state else None,
        }

    def checks(self) -> list[Check]:
        """Look at torch, the GPU, its heat and clocks, and who else uses it."""
        runtime = Check("torch", "ok", f"{self.mnn_version}, CUDA {self._torch.version.cuda}")
        try:
            found = self._properties()
            holder = MachineLock().other_holder()
        except DeviceError as error:
            return [runtime, Check("GPU", "fail", str(error), "time on another machine")]
        memory = f"{found.name}, {found.total_memory / 2**30:.0f} GiB"
        return [
            runtime,
            Check("GPU", "ok", memory),
            _lock_check(holder),
            *self._tool_checks(),
        ]

    def _tool_checks(self) -> list[Check]:
        state = gpu_state(self.unit, self._ask)
        if state is None:
            return [Check("clocks", "warn", "nvidia-smi does not say them", "install nvidia-smi")]
        others = ", ".join(other_processes(self.unit, os.getpid(), self._ask))
        slowed = "; ".join(state.slowed)
        heat = f"{state.temperature_c} °C, {state.clock_mhz} of {state.max_clock_mhz} MHz"
        kept = "on" if state.is_persistent else "off: the driver is loaded anew each time"
        lock = "let it cool, or lock its clocks: sudo nvidia-smi --lock-gpu-clocks=MHZ"
        return [
            _judged("clocks", not slowed, f"{heat} {slowed}".strip(), lock),
            _judged("persistence", state.is_persistent, kept, "sudo nvidia-smi -pm 1"),
            _judged("other load", not others, others or "nobody else computes on it", "end it"),
        ]

    def _properties(self) -> Any:
        cuda = self._torch.cuda
        count = cuda.device_count() if cuda.is_available() else 0
        if count == 0:
            why = "torch sees no NVIDIA GPU and driver here"
            if self._torch.version.cuda is None:
                why = f"torch {self.mnn_version} was built without CUDA; install one with it"
            raise DeviceError(f"no CUDA device: {why}")
        if self._spec.index >= count:
            there = f"this machine has {count}, numbered from 0"
            raise DeviceError(f"no CUDA device: device.index={self._spec.index}, {there}")
        return cuda.get_device_properties(self._spec.index)


class CudaNetwork:
    """A network captured as one CUDA graph on an input `(N, C, H, W)` that is already there."""

    def __init__(self, network: Any, x: torch.Tensor) -> None:
        import torch

        self._torch: Any = torch
        self._network, self._x = network, x
        self._graph = torch.cuda.CUDAGraph()
        with torch.no_grad(), gpu_errors(torch):
            self._warm_up()
            with torch.cuda.graph(self._graph):
                self._y = network(x)

    def _warm_up(self) -> None:
        """Run on a stream of its own, as a capture demands: it may plan and allocate nothing."""
        stream = self._torch.cuda.Stream()
        stream.wait_stream(self._torch.cuda.current_stream())
        with self._torch.cuda.stream(stream):
            for _ in range(WARM_UP_RUNS):
                self._network(self._x)
        self._torch.cuda.current_stream().wait_stream(stream)
        self._torch.cuda.synchronize()

    def time_ms(self, runs: int, settle: int = 0) -> float:
        """Replay `settle` times untimed, then `runs` times between two events; the mean in ms.

        Raises:
            DeviceError: the GPU failed.
        """
        start, end = (self._torch.cuda.Event(enable_timing=True) for _ in range(2))
        with gpu_errors(self._torch):
            for _ in range(settle):
                self._graph.replay()
            start.record()
            for _ in range(runs):
                self._graph.replay()
            end.record()
            end.synchronize()
            return float(start.elapsed_time(end)) / runs

    def output(self) -> torch.Tensor:
        """Replay once; return what the network makes of its input, on the CPU in float32."""
        with gpu_errors(self._torch):
            self._graph.replay()
            self._torch.cuda.synchronize()
            values: torch.Tensor = self._y.float().cpu()
        return values


@contextmanager
def plain_fp32(backends: Any) -> Iterator[None]:
    """Let convs and products of float32 compute in float32 for a block, the same way every day."""
    settings = [
        (backends.cudnn, "allow_tf32"),
        (backends.cuda.matmul, "allow_tf32"),
        (backends.cudnn, "benchmark"),
    ]
    before = [getattr(owner, name) for owner, name in settings]
    try:
        for owner, name in settings:
            setattr(owner, name, False)
        yield
    finally:
        for (owner, name), value in zip(settings, before, strict=True):
            setattr(owner, name, value)


@contextmanager
def gpu_errors(torch: Any) -> Iterator[None]:
    """Make of torch's errors one line with what to do, and say whose fault it is.

    Raises:
        DeviceError: the GPU is full or failed.
        ValueError: the network cannot run there.
    """
    from repghost.deploy.forward import first_line

    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        words = "the GPU's memory is full; end what else runs there, or time a smaller batch"
        raise DeviceError(f"{words} ({first_line(error)})") from error
    except RuntimeError as error:
        if not GPU_FAILURE.search(str(error)):
            raise ValueError(f"the GPU cannot run this network: {first_line(error)}") from error
        words = "the GPU failed; begin again in a new process, and look at its driver's log"
        raise DeviceError(f"{words} ({first_line(error)})") from error


def _lock_check(holder: str | None) -> Check:
    found = f"{holder} measures on this machine now" if holder else "free"
    return _judged("machine lock", not holder, found, "run doctor again when it has ended")


def _judged(what: str, is_fine: bool, found: str, advice: str) -> Check:
    return Check(what, "ok", found) if is_fine else Check(what, "warn", found, advice)
