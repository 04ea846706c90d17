"""What `doctor` finds out of MNN and the clock by using them, on a network made here."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repghost.deploy.quiet import captured_output
from repghost.deploy.runtime import MnnNetwork
from repghost.latency.devices.contract import Check

CHS, SIDE, LAYERS = 32, 28, 6
INEXACT = 1e-4  # relative error: fp32 is below 1e-6, fp16 at about 1e-3
SAMPLES, SAMPLE_MS = 60, 4.0
UNSTEADY = 0.03  # of the median, between the quartiles of its samples
COARSE_US, DEAR_US = 10.0, 1.0
READINGS = 10_000
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Probe:
    """A small network as a file, an input `(1, C, H, W)` and its output in float64."""

    path: Path
    x: Array
    y: NDArray[np.float64]

    def error(self, numerics: str) -> float:
        """Return the relative error of MNN's output, under "fp32" or "fp16"."""
        found = MnnNetwork(self.path, numerics=numerics).run(self.x)
        return float(np.abs(found - self.y).max() / np.abs(self.y).max())


def write_probe(folder: Path) -> Probe:
    """Write 1 x 1 convs one after another, `(1, 32, 28, 28)` -> the same; needs MNN alone."""
    rng = np.random.default_rng(0)
    kernels = rng.normal(scale=CHS**-0.5, size=(LAYERS, CHS, CHS)).astype(np.float32)
    x = rng.normal(size=(1, CHS, SIDE, SIDE)).astype(np.float32)
    y = x.astype(np.float64)
    path = folder / "probe.mnn"
    with captured_output():
        import MNN.expr as expr

        shape = list(x.shape)
        node = expr.convert(expr.placeholder(shape, expr.NCHW), expr.NC4HW4)
        bias = expr.const([0.0] * CHS, [CHS], expr.NCHW)
        for kernel in kernels:
            weight = expr.const(kernel.ravel().tolist(), [CHS, CHS, 1, 1], expr.NCHW)
            node = expr.conv2d(node, weight, bias)
            y = np.einsum("oc,nchw->nohw", kernel.astype(np.float64), y)
        expr.save([expr.convert(node, expr.NCHW)], str(path))
    return Probe(path, x, y)


def runtime_checks(version: str) -> list[Check]:
    """Look at MNN, its precision, the steadiness of its times and the clock; takes about 0.5 s."""
    checks = [Check("MNN", "ok", version), clock_check(time.perf_counter_ns)]
    try:
        with tempfile.TemporaryDirectory(prefix="repghost-doctor-") as folder:
            probe = write_probe(Path(folder))
            network = MnnNetwork(probe.path)
            network.fill(probe.x)
            checks += [
                precision_check(probe.error("fp32"), probe.error("fp16")),
                steadiness_check(_samples(network)),
            ]
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        found = f"{type(error).__name__}: {error}"
        checks.append(Check("network", "fail", found, "install MNN anew: pip install MNN"))
    return checks


def precision_check(fp32_error: float, fp16_error: float) -> Check:
    """Judge by the relative errors in which precision MNN computes; its words do not say."""
    if not fp32_error < INEXACT:
        found = f"fp32 is off by {fp32_error:.0e}"
        advice = "the fp32 path computes in less; do not compare its times with other machines'"
        return Check("precision path", "fail", found, advice)
    is_half = not fp16_error < INEXACT
    half = f"fp16 is half precision (off by {fp16_error:.0e})" if is_half else "fp16 runs as fp32"
    return Check("precision path", "ok", f"fp32 is exact to {fp32_error:.0e}; {half}")


def steadiness_check(samples_ms: Array | NDArray[np.float64]) -> Check:
    """Judge by samples of one network how far a single time here is to be trusted."""
    low, middle, high = np.percentile(samples_ms, (25, 50, 75))
    spread = (high - low) / middle
    found = f"half of {len(samples_ms)} samples of one network lie within {100 * spread:.1f} %"
    if spread <= UNSTEADY:
        return Check("steadiness", "ok", found)
    advice = "see the lines above; trust ratios rather than milliseconds (latency.protocol=paired)"
    return Check("steadiness", "warn", found, advice)


def clock_check(clock_ns: Callable[[], int]) -> Check:
    """Measure the smallest step of the clock, and what reading it costs."""
    readings = np.fromiter((clock_ns() for _ in range(READINGS)), np.int64, READINGS)
    steps = np.diff(readings)
    moving = steps[steps > 0]
    step_us = float(moving.min()) / 1e3 if moving.size else float("inf")
    cost_us = float(readings[-1] - readings[0]) / (READINGS - 1) / 1e3
    found = f"steps of {step_us:.2f} µs, a reading costs {cost_us:.2f} µs"
    if step_us <= COARSE_US and cost_us <= DEAR_US:
        return Check("clock", "ok", found)
    advice = "choose a better clock source (Linux: clocksource=tsc); short networks are misjudged"
    return Check("clock", "warn", found, advice)


def _samples(network: MnnNetwork) -> NDArray[np.float64]:
    run_ms = network.time_ms(20, settle=20)
    runs = max(1, round(SAMPLE_MS / max(run_ms, 1e-3)))
    return np.array([network.time_ms(runs) for _ in range(SAMPLES)])
