"""A connection between two processes of a training; its end is noticed at once."""

import contextlib
import os
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

KEEP_ALIVE = {
    "TCP_KEEPIDLE": 20,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 4,
}  # a node without power: 40 s


@dataclass(frozen=True)
class Call:
    """Train with the others: what to call, and where the processes exchange their sums."""

    function: Callable[..., None]
    arguments: tuple[Any, ...]
    port: int
    world: int
    silence_s: float  # after which one that takes no part in an exchange counts as hung


@dataclass(frozen=True)
class Done:
    """The call is over; `failure` says why, where the code failed, with the system's `errno`."""

    failure: str = ""
    errno: int | None = None


class Line:
    """Messages of one other process, read by a thread; None comes when it is gone.

    The kernel closes the connection of a process that dies, however it dies.
    """

    def __init__(
        self, connection: Connection, on_message: Callable[[Any], None] | None = None
    ) -> None:
        self._connection = connection
        self.messages: queue.Queue[Any] = queue.Queue()
        self._on_message = on_message or (lambda message: None)
        _keep_alive(connection)
        OPEN.add(self)
        threading.Thread(target=self._read, name="line", daemon=True).start()

    def send(self, message: object) -> None:
        """Send, if anybody is there."""
        with contextlib.suppress(OSError):
            self._connection.send(message)

    def close(self) -> None:
        """Hang up: the other side sees it, also while our own thread reads."""
        with contextlib.suppress(OSError), _socket(self._connection) as end:
            end.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        message: Any = ""
        while message is not None:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                message = None
            self._on_message(message)
            self.messages.put(message)
        OPEN.discard(self)


def _keep_alive(connection: Connection) -> None:
    with contextlib.suppress(OSError), _socket(connection) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEP_ALIVE.items():
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _socket(connection: Connection) -> socket.socket:
    """Return another handle of the same connection, to be closed on its own."""
    return socket.socket(fileno=os.dup(connection.fileno()))


def _close_all() -> None:
    for line in list(OPEN):
        with contextlib.suppress(OSError):
            os.close(line._connection.fileno())


# A data loader's worker shares the connections of the process that forked it: it would keep them
# open when that is killed. The kernel's table of open files is one a process, and so is this.
OPEN: set[Line] = set()
os.register_at_fork(after_in_child=_close_all)
