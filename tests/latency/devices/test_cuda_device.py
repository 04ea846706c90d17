"""A GPU as a device: its errors anywhere, its times where there is one."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from device_contract import DeviceContract
from torch import nn

from repghost.deploy.traced import write_traced
from repghost.latency.devices.contract import Check, Device, DeviceError
from repghost.latency.devices.cuda import CudaDevice, gpu_errors, plain_fp32
from repghost.latency.devices.nvidia_smi import (
    FIELDS,
    ask_nvidia_smi,
    gpu_state,
    other_processes,
)
from repghost.latency.devices.opening import open_device
from repghost.latency.devices.spec import CudaSpec

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no NVIDIA GPU that torch can use on this machine"
)
SIZE = (4, 16, 20, 20)


def chain(layers: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Conv2d(16, 16, 3, padding=1) for _ in range(layers))).eval()


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_opening_needs_no_gpu_and_entering_says_that_there_is_none(no_gpu: None) -> None:
    device = open_device(CudaSpec(name="a100"))
    assert device.name == "a100" and device.mnn_version == torch.__version__
    assert device.unit and device.mnn_version[0].isdigit()
    with pytest.raises(DeviceError, match=r"^no CUDA device: torch sees no NVIDIA GPU"), device:
        pass
    with pytest.raises(DeviceError, match="no CUDA device"):
        _ = device.profile


def test_torch_without_cuda_is_what_is_said_where_it_is_the_reason(
    no_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(DeviceError, match="was built without CUDA; install one with it"):
        CudaDevice().__enter__()


def test_a_gpu_of_a_number_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DeviceError, match=r"device\.index=7, this machine has 2, numbered from 0"):
        CudaDevice(CudaSpec(index=7)).__enter__()
    with pytest.raises(ValueError, match=r"device\.index=-1: must be a whole number"):
        CudaDevice(CudaSpec(index=-1))


def test_a_machine_without_torch_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DeviceError, match="no CUDA device: device=cuda needs torch: pip install"):
        open_device(CudaSpec())


def test_torch_is_imported_only_when_it_is_opened() -> None:
    code = "import sys, repghost.latency.devices.cuda; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_doctor_says_that_there_is_no_gpu(no_gpu: None) -> None:
    runtime, gpu = CudaDevice().checks()
    assert runtime.level == "ok" and torch.__version__ in runtime.found
    assert gpu.level == "fail" and gpu.found.startswith("no CUDA device: ") and gpu.advice


def test_unknown_numerics_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="numerics int8: allowed are fp32, fp16"):
        CudaDevice().load(tmp_path / "absent.pt", numerics="int8")


def test_a_broken_file_is_named_before_the_gpu_is_asked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent\.pt"):
        CudaDevice().load(tmp_path / "absent.pt")


def test_a_full_or_failed_gpu_is_no_fault_of_the_network() -> None:
    with pytest.raises(DeviceError, match=r"memory is full; .* smaller batch"), gpu_errors(torch):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
    for said in ("CUDA error: an illegal memory access", "cuDNN error: NOT_SUPPORTED"):
        with pytest.raises(DeviceError, match=r"the GPU failed; .*error"), gpu_errors(torch):
            raise RuntimeError(f"{said}\nCompile with TORCH_USE_CUDA_DSA")
    with pytest.raises(ValueError, match="cannot run this network: mat1"), gpu_errors(torch):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_tf32_is_off_while_something_is_timed_and_as_before_afterwards() -> None:
    cudnn, before = torch.backends.cudnn, torch.backends.cudnn.allow_tf32
    cudnn.allow_tf32 = True
    try:
        with pytest.raises(RuntimeError), plain_fp32(torch.backends):
            assert not cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
            raise RuntimeError
        assert cudnn.allow_tf32
    finally:
        cudnn.allow_tf32 = before


class Tool:
    """An nvidia-smi that says what the test wants."""

    def __init__(self, values: str = "41, 1410, 1980, Enabled, 550.1, {}", apps: str = "") -> None:
        self.values, self.apps = values, apps
        self.asked: list[Sequence[str]] = []

    def __call__(self, options: Sequence[str]) -> str | None:
        self.asked.append(options)
        return self.apps if "compute-apps" in options[0] else self.values


def tool(*active: bool, apps: str = "") -> Tool:
    words = ", ".join("Active" if one else "Not Active" for one in active)
    return Tool(f"41, 1410, 1980, Enabled, 550.1, {words}\n", apps)


def test_the_state_is_read_from_nvidias_own_tool_by_uuid() -> None:
    asked = tool(False, True, False)
    state = gpu_state("GPU-1", asked)
    assert state and (state.temperature_c, state.clock_mhz, state.max_clock_mhz) == (41, 1410, 1980)
    assert state.is_persistent and state.driver == "550.1" and state.slowed == ("it is too hot",)
    assert asked.asked == [[f"--query-gpu={','.join(FIELDS)}", "--id=GPU-1"]]


def test_what_the_tool_does_not_say_is_none() -> None:
    bare = Tool("[N/A], 1410, [N/A], [N/A], 550.1, [N/A], [N/A], [N/A]")
    state = gpu_state("GPU-1", bare)
    assert state and state.temperature_c is None and state.slowed == () and state.clock_mhz == 1410
    assert gpu_state("GPU-1", Tool("No devices were found")) is None
    assert gpu_state("GPU-1", lambda options: None) is None


def test_other_processes_on_the_gpu_are_named_and_ours_is_not() -> None:
    asked = tool(False, False, False, apps="17, /usr/bin/train\n4242, python\n")
    assert other_processes("GPU-1", 4242, asked) == ["/usr/bin/train (process 17)"]
    assert other_processes("GPU-1", 1, lambda options: None) == []


def test_a_block_begins_with_what_slows_the_gpu_and_who_shares_it() -> None:
    quiet, naps = CudaDevice(ask=tool(False, False, False)), []  # type: ignore[var-annotated]
    assert quiet.ready(naps.append) == []
    busy = CudaDevice(ask=tool(False, True, True, apps="17, train\n"))
    words = busy.ready(naps.append)
    assert [word.partition(": ")[2] for word in words[:2]] == [
        "it is too hot",
        "it is at its power limit",
    ]
    assert words[2] == "train (process 17) also computes on the GPU" and naps == []
    assert busy.state()["slowed"] == "it is too hot; it is at its power limit"


def test_a_missing_or_failing_tool_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_nvidia_smi(["--help"]) is None
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\nexit 9\n")
    script.chmod(0o755)
    assert ask_nvidia_smi(["--query-gpu=name"]) is None
    script.write_text('#!/bin/sh\necho "$2"\n')
    assert ask_nvidia_smi(["--query-gpu=name"]) == "--format=csv,noheader,nounits\n"


@needs_gpu
class TestCudaDevice(DeviceContract):
    """A GPU keeps the contract, with TorchScript files instead of MNN's."""

    @pytest.fixture
    def device(self) -> Device:
        return CudaDevice()

    @pytest.fixture
    def short_mnn(self, tmp_path: Path) -> Path:
        write_traced(chain(40), SIZE, tmp_path / "short.pt")
        return tmp_path / "short.pt"

    @pytest.fixture
    def long_mnn(self, tmp_path: Path) -> Path:
        write_traced(chain(80), SIZE, tmp_path / "long.pt")
        return tmp_path / "long.pt"


@needs_gpu
@pytest.mark.parametrize(("numerics", "error"), [("fp32", 1e-4), ("fp16", 2e-2)])
def test_what_the_graph_computes_is_what_the_network_computes(
    tmp_path: Path, numerics: str, error: float
) -> None:
    network = chain(4)
    write_traced(network, SIZE, tmp_path / "a.pt")
    with CudaDevice() as device:
        found = device.load(tmp_path / "a.pt", numerics=numerics).output()
    x = torch.randn(SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = network(x)
    assert float((found - wanted).abs().max() / wanted.abs().max()) < error


@needs_gpu
def test_doctor_finds_the_gpu_fit() -> None:
    checks = {check.what: check for check in CudaDevice().checks()}
    assert checks["GPU"] == Check("GPU", "ok", checks["GPU"].found)
    assert "machine lock" in checks and CudaDevice().profile.startswith("cuda: ")
