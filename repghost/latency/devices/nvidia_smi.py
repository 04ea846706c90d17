"""What NVIDIA's own tool says of a GPU: heat, clocks, why it is slow, who else uses it."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FIELDS = (
    "temperature.gpu",
    "clocks.sm",
    "clocks.max.sm",
    "persistence_mode",
    "driver_version",
    "clocks_throttle_reasons.hw_slowdown",
    "clocks_throttle_reasons.sw_thermal_slowdown",
    "clocks_throttle_reasons.sw_power_cap",
)
REASONS = ("the hardware slows it down", "it is too hot", "it is at its power limit")
TIMEOUT_S = 10.0
Ask = Callable[[Sequence[str]], str | None]


@dataclass(frozen=True)
class GpuState:
    """A GPU as it is now; numbers that it does not tell are None. `slowed` says why, in words."""

    temperature_c: float | None
    clock_mhz: float | None
    max_clock_mhz: float | None
    is_persistent: bool
    driver: str
    slowed: tuple[str, ...]


def ask_nvidia_smi(options: Sequence[str]) -> str | None:
    """Return what `nvidia-smi` prints with these options, None where it is missing or fails."""
    command = ["nvidia-smi", *options, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def gpu_state(unit: str, ask: Ask = ask_nvidia_smi) -> GpuState | None:
    """Return the state of the GPU of a UUID, None where it is not told."""
    said = ask([f"--query-gpu={','.join(FIELDS)}", f"--id={unit}"])
    values = [value.strip() for value in (said or "").strip().split(",")]
    if len(values) != len(FIELDS):
        return None
    heat, clock, most, persistence, driver, *active = values
    slowed = [why for why, word in zip(REASONS, active, strict=True) if word == "Active"]
    numbers = _number(heat), _number(clock), _number(most)
    return GpuState(*numbers, persistence == "Enabled", driver, tuple(slowed))


def other_processes(unit: str, own_pid: int, ask: Ask = ask_nvidia_smi) -> list[str]:
    """Return the other processes that compute on the GPU, such as "python (process 17)"."""
    said = ask(["--query-compute-apps=pid,process_name", f"--id={unit}"]) or ""
    rows = [line.partition(",")[::2] for line in said.splitlines() if "," in line]
    found = [(pid.strip(), name.strip()) for pid, name in rows]
    return [f"{name} (process {pid})" for pid, name in found if pid != str(own_pid)]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # "[N/A]"
        return None
