"""On which of its devices a variant is timed."""

from dataclasses import replace
from pathlib import Path

import pytest

from repghost import timing
from repghost.complaint import complaint
from repghost.latency.devices.contract import Device, DeviceError
from repghost.latency.devices.spec import CudaSpec, DeviceSpec
from repghost.latency.spec import LatencySpec, StorageSpec
from repghost.latency.store import Store
from repghost.run import Run
from repghost.settings import Settings

NONE = "no CUDA device: torch sees no NVIDIA GPU and driver here"
real = timing.open_device


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_device(spec: DeviceSpec) -> Device:
        if isinstance(spec, CudaSpec):
            raise DeviceError(NONE)
        return real(spec)

    monkeypatch.setattr(timing, "open_device", open_device)


def on(folder: Path, *devices: str) -> tuple[timing.Timings, Settings, Run]:
    url = f"sqlite:///{folder}/latency.db"
    latency = LatencySpec(devices=list(devices))
    chosen = replace(
        Settings(), latency=latency, storage=StorageSpec(url), outputs=str(folder / "outputs")
    )
    run = Run(chosen.outputs, chosen.variant.key)
    return timing.Timings(Store(url)), chosen, run


def test_a_further_gpu_that_is_not_there_is_skipped_with_the_reason(tmp_path: Path) -> None:
    timings, chosen, run = on(tmp_path, "local", "cuda", "desk")
    assert timings.skipped(chosen) == {"cuda": NONE}
    assert timings.devices(chosen) == ["local", "desk"]
    assert set(timings.marks(chosen, "graph")) == {"local", "desk"}
    assert timings.latency(chosen, run, "cuda") is None


def test_a_first_device_that_is_not_there_is_the_users_to_mend(tmp_path: Path) -> None:
    timings, chosen, _ = on(tmp_path, "cuda", "local")
    with pytest.raises(DeviceError, match="no CUDA device") as error:
        timings.skipped(chosen)
    assert complaint(error.value, tmp_path, []) == NONE


def test_what_is_not_exported_yet_needs_the_workers_of_its_devices(tmp_path: Path) -> None:
    timings, chosen, run = on(tmp_path, "local", "cuda", "desk")
    assert timings.needed_of_workers(chosen, run) == {"desk"}
