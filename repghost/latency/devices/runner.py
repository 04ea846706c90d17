"""Networks of this machine in a process of their own.

Where a process's pages lie makes a network 1 to 2 % faster or slower, against another network too,
for as long as that process lives: two processes that took turns on one core stood 1.5 % apart for
minutes. So what is timed is spread over several of them. A runtime that crashes takes its process
with it and not the worker.
"""

import signal
import subprocess
import sys
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, NamedTuple, cast

from repghost.deploy.runtime import OperatorInfo, OperatorTimes, Shape
from repghost.latency.devices.contract import DeviceError

LOAD = "load"
PROCESS = "repghost.latency.devices.running"
END_S = 5.0  # for an idle process to end
BY_OTHERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)  # signals that no network causes


class Used(NamedTuple):
    """Seconds of CPU time, and seconds in which it was ready to run and waited for a core."""

    cpu_s: float = 0.0
    delayed_s: float = 0.0


class Request(NamedTuple):
    """What the process is to do with the network `number`; those in `dropped` are not needed."""

    what: str
    number: int
    arguments: tuple[Any, ...]
    dropped: Sequence[int]


class Runner:
    """The process; it starts on the cores and with the priority of the calling thread.

    It ends with the last reference to this object or to one of its networks.
    """

    def __init__(self) -> None:
        here, there = Pipe()
        with there:
            words = [sys.executable, "-m", PROCESS, str(there.fileno())]
            self._process = subprocess.Popen(
                words, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL
            )
        self._pipe, self.used = here, Used()
        self._loaded, self._dropped = 0, list[int]()
        self._end = weakref.finalize(self, _end, here, self._process)

    def load(self, path: Path, threads: int, numerics: str) -> "RunnerNetwork":
        """Return the network of a `.mnn` file with seeded random input.

        Raises:
            ValueError: the file is missing, cannot be loaded, or has no fixed input shape.
            DeviceError: the process is gone.
        """
        self._loaded += 1
        number = self._loaded
        shape = self.ask(path, LOAD, number, path, threads, numerics)
        network = RunnerNetwork(self, path, number, shape)
        weakref.finalize(network, self._dropped.append, number)
        return network

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone; its networks are, too."""
        return self._process.poll() is not None

    def ask(self, path: Path, what: str, number: int, *arguments: object) -> Any:
        """Have the process do something with the network of `path`; return what it says.

        Raises:
            ValueError: the network is to blame.
            DeviceError: the process is gone.
        """
        dropped = [self._dropped.pop() for _ in range(len(self._dropped))]
        try:
            self._pipe.send(Request(what, number, arguments, dropped))
            answer, self.used = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._gone(path) from error
        except BaseException:  # Ctrl-C: its answer would be taken for that to the next question
            self._process.kill()
            self._process.wait()
            raise
        if isinstance(answer, ValueError):
            raise answer
        return answer

    def _gone(self, path: Path) -> ValueError | DeviceError:
        self._end()
        code = self._process.returncode
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if code < 0 and -code not in BY_OTHERS:
            return ValueError(f"{path}: MNN crashed on this model ({how})")
        return DeviceError(f"local: the process that times networks ended ({how}); try again")


class RunnerNetwork:
    """A network in a runner's process, its input filled."""

    def __init__(self, runner: Runner, path: Path, number: int, input_shape: Shape) -> None:
        self._runner, self._path, self._number = runner, path, number
        self.input_shape = input_shape

    def time_ms(self, runs: int, settle: int = 0) -> float:
        """Run `settle` times, then `runs` times timed there; return the mean of these in ms."""
        return cast(float, self._ask("time_ms", runs, settle))

    def operators(self) -> list[OperatorInfo]:
        """Run once; return the operators in the order in which they run."""
        return cast(list[OperatorInfo], self._ask("operators"))

    def time_operators(self, runs: int) -> OperatorTimes:
        """Run with a callback on both sides of each operator, see `MnnNetwork`."""
        return cast(OperatorTimes, self._ask("time_operators", runs))

    def _ask(self, what: str, *arguments: object) -> Any:
        return self._runner.ask(self._path, what, self._number, *arguments)


def _end(pipe: Connection, process: "subprocess.Popen[bytes]") -> None:
    pipe.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
