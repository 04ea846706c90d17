"""What the emulated phone runs for MNN's benchmark.out: MNN's Python runtime, the same words.

`python phone_benchmark.py SOCKET` serves it: MNN is imported once, each call is a process of its
own, as on a phone, forked in milliseconds. `fake_taskset.py` is its client.
"""

import json
import os
import signal
import socketserver
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import MNN
import numpy as np

DEFAULTS = ("10", "10", "0", "4", "2", "0", "1")  # loop warmup forward threads precision ...
PRECISION = {0: "normal", 1: "high", 2: "low", 3: "low_bf16"}
ENDED = b"\0ended "  # before the status, at the end of the answer


def benchmark(arguments: Sequence[str]) -> int:
    """Time every file of a folder; print what benchmark.out does; return its exit status."""
    print("MNN benchmark", flush=True)
    if len(arguments) < 2:
        print("Usage: ./benchmark.out models_folder [loop_count] [warmup] [forwardtype] ...")
        return 1
    folder, loops = arguments[0], arguments[1]
    filled = [*arguments[1:], *DEFAULTS[len(arguments) - 1 :]]
    loop, warmup, _, threads, precision = map(int, filled[:5])
    words = f"Forward type: **CPU** thread={threads}** precision={precision}"
    print(f"{words}** sparsity={float(filled[5]):g}** sparseBlockOC={filled[6]}", flush=True)
    models = _models(Path(folder))
    print(f"--------> Benchmarking... loop = {loops}, warmup = {warmup}", flush=True)
    for model in models:
        costs = _costs(model, loop, warmup, threads, precision)
        low, high, mean = min(costs, default=0), max(costs, default=0), sum(costs) / len(costs)
        numbers = f"max = {high:8.3f} ms  min = {low:8.3f} ms  avg = {mean:8.3f} ms"
        print(f"[ - ] {model.name:<24s}    {numbers}", flush=True)
    return 0


def _models(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        print(f"open {folder} failed: {error.strerror}", flush=True)
        return []


def _costs(model: Path, loop: int, warmup: int, threads: int, precision: int) -> list[float]:
    try:
        interpreter: Any = MNN.Interpreter(str(model))
    except Exception:  # where MNN's C++ goes on with a null pointer
        os.kill(os.getpid(), signal.SIGSEGV)
    settings = {"backend": "CPU", "numThread": threads, "precision": PRECISION[precision]}
    session = interpreter.createSession(settings)
    tensor = interpreter.getSessionInput(session)
    noise = np.random.default_rng(0).normal(size=tensor.getShape()).astype(np.float32)
    layout = MNN.Tensor_DimensionType_Caffe
    tensor.copyFrom(MNN.Tensor(noise.shape, MNN.Halide_Type_Float, noise, layout))
    costs = []
    for _ in range(warmup + loop):
        start = time.perf_counter_ns()
        interpreter.runSession(session)
        costs.append((time.perf_counter_ns() - start) / 1e6)
    return costs[warmup:]


class Call(socketserver.StreamRequestHandler):
    """One call: a line of JSON with folder and arguments; the answer is what it prints."""

    def handle(self) -> None:
        """Run it in a process that may crash; say after its words how it ended."""
        asked = json.loads(self.rfile.readline())
        child = os.fork()
        if child == 0:
            os.dup2(self.connection.fileno(), 1)
            os.dup2(1, 2)
            os.chdir(asked["folder"])
            status = benchmark(asked["arguments"])
            sys.stdout.flush()
            os._exit(status)
        _, status = os.waitpid(child, 0)
        self.wfile.write(ENDED + str(os.waitstatus_to_exitcode(status)).encode())


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Every call in a process of its own."""


if __name__ == "__main__":
    with Server(sys.argv[1], Call) as server:
        server.serve_forever()
