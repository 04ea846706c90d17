"""MNN's own `benchmark.out`: how it is called, and what it says."""

import re
import shlex

from repghost.latency.devices.adb_link import Said

STARTED = "MNN benchmark"  # its first line
PRECISION = {"fp32": 1, "fp16": 2}  # MNN's "high" and "low"
CPU = 0  # MNN's number for the kind of backend
CRASHES = {134: "abort", 135: "bus error", 136: "arithmetic error", 139: "segmentation fault"}
RESULT = re.compile(
    r"^\[ - \] (\S+)\s+max =\s*([\d.]+)\s*ms\s+min =\s*([\d.]+)\s*ms\s+avg =\s*([\d.]+)\s*ms",
    re.MULTILINE,
)


def command(
    folder: str, models: str, runs: int, settle: int, threads: int, numerics: str, mask: str
) -> str:
    """Return the line of shell that times every file of the folder `models`.

    `folder` holds the program and its libraries; `mask` is that of the cores, in hex. The mean that
    it prints is over `runs`; `settle` runs go before.
    """
    counts = f"{runs} {settle} {CPU} {threads} {PRECISION[numerics]}"
    return f"{start(folder, mask)} {shlex.quote(models)} {counts}"


def start(folder: str, mask: str) -> str:
    """Return the line of shell that starts it without a task: it says its name and its usage."""
    return f"cd {shlex.quote(folder)} && LD_LIBRARY_PATH=. taskset {mask} ./benchmark.out"


def average_ms(said: Said) -> float | None:
    """Return the mean of the one model it was run on, None if it does not say exactly one.

    Its exit status says nothing: it is 0 also where a folder could not be opened.
    """
    results = RESULT.findall(said.text)
    try:
        average = float(results[0][3]) if len(results) == 1 else 0.0
    except ValueError:  # such as 1.2.3
        return None
    return average if average > 0 else None


def crash(said: Said) -> str | None:
    """Return how the program died of the model that it had begun with; None if it did not.

    MNN does not look whether it could load a model: a file that is none is a segmentation fault.
    """
    return CRASHES.get(said.status) if STARTED in said.text else None


def last_words(said: Said) -> str:
    """Return the end of what it said in one line, for an error."""
    words = " ".join(said.text.split())
    return f"{words[-200:] or 'nothing'} (status {said.status})"
