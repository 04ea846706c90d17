"""Inside a runner's process: load and time networks as its other side asks, until that is gone."""

import contextlib
import signal
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from repghost.deploy.runtime import MnnNetwork
from repghost.latency.devices.machine import Machine
from repghost.latency.devices.runner import LOAD, Request, Used

CALLS = ("time_ms", "operators", "time_operators")


def serve(pipe: Connection) -> None:
    """Answer requests: each with what was asked for or a ValueError, and what was used so far.

    Raises:
        EOFError: the other side is gone.
    """
    networks: dict[int, MnnNetwork] = {}
    machine, delayed_s = Machine(), 0.0
    while True:
        request: Request = pipe.recv()
        for number in request.dropped:
            networks.pop(number, None)
        before_s = machine.delayed_s() or 0.0  # both sides share a core: handing over is no delay
        try:
            answer = _answer(networks, request)
        except ValueError as error:
            answer = error
        delayed_s += (machine.delayed_s() or 0.0) - before_s
        pipe.send((answer, Used(time.process_time(), delayed_s)))


def _answer(networks: dict[int, MnnNetwork], request: Request) -> Any:
    if request.what == LOAD:
        networks[request.number] = MnnNetwork.filled(*request.arguments)
        return networks[request.number].input_shape
    assert request.what in CALLS, request
    return getattr(networks[request.number], request.what)(*request.arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other side
    with contextlib.suppress(EOFError, OSError):
        serve(Connection(int(sys.argv[1])))
