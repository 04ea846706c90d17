"""The real adb server that adb.sh starts, as tests reach it."""

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("adb.sh")
UP = "adb is not up: run bash tests/services/adb.sh start"
SERVER_S = 30.0  # `connect` waits for a phone that does not answer


def address() -> str:
    """Return host:port of the server."""
    return f"127.0.0.1:{port()}"


def port() -> int:
    """Return the port of the server."""
    return int(os.environ.get("ADB_PORT", "5038"))


def missing() -> str | None:
    """Return why the server cannot be used, None if it answers."""
    try:
        ask("version")
    except (OSError, RuntimeError):
        return UP
    return None


def script(verb: str) -> None:
    """Run adb.sh with "start", "stop" or "status".

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    subprocess.run(["bash", str(SCRIPT), verb], check=True, stdout=subprocess.DEVNULL)


def free_port() -> str:
    """Return a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def ask(request: str) -> str:
    """Return the server's answer to a request of its own, such as "connect:127.0.0.1:5555".

    Raises:
        RuntimeError: it refuses, with what it said.
        OSError: it is not there.
    """
    with socket.create_connection(("127.0.0.1", port()), SERVER_S) as conn:
        encoded = f"host:{request}".encode()
        conn.sendall(f"{len(encoded):04x}".encode() + encoded)
        stream: Any = conn.makefile("rb")
        status = stream.read(4)
        text = str(stream.read(int(stream.read(4) or b"0", 16)).decode())
    if status != b"OKAY":
        raise RuntimeError(f"host:{request}: {status!r} {text}")
    return text


def states() -> dict[str, str]:
    """Return serial number -> state of the phones that are attached."""
    lines = ask("devices").splitlines()
    return {line.split("\t")[0]: line.split("\t")[1] for line in lines if "\t" in line}
