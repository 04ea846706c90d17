"""One phone through a real adb server: commands with their status, and files."""

import contextlib
import re
import shlex
import socket
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from repghost.latency.devices.contract import DeviceError

COMMAND_S = 30.0
PUSH_S = 300.0
SERVER_S = 3.0
CHUNK = 64 * 1024  # the most that one DATA of the protocol may carry
ENDED = "repghost-ended:"  # adb's oldest shell protocol does not tell a command's status
WHAT_TO_DO = {  # by the state in which the adb server sees a phone
    "unauthorized": "does not trust this machine; unlock it and accept debugging",
    "authorizing": "is just being asked whether it trusts this machine; accept, and try again",
    "offline": "is offline; plug it in again, or run `adb reconnect offline`",
    "no": "may not be used by this user; give the user the right to the USB device (udev rules)",
}


class Said(NamedTuple):
    """What a command printed, stdout and stderr as one, and the status it ended with."""

    text: str
    status: int


class PhoneLink:
    """The phone of a serial number behind the adb server at `server` ("host:port").

    With an empty serial number it is the only one that is attached. Every method that speaks to it
    raises DeviceError where the server, the phone or the way to it fails.

    Raises:
        DeviceError: adbutils is not installed, or `server` is no address.
    """

    def __init__(self, server: str, serial: str = "") -> None:
        host, _, port = server.rpartition(":")
        if not host or not port.isdigit():
            raise DeviceError(f"device.server={server}: must be host:port, as in 127.0.0.1:5037")
        try:
            import adbutils  # type: ignore[import-untyped]
        except ImportError:
            raise DeviceError("adbutils is missing: pip install adbutils") from None
        self._address = (host, int(port))
        self._adb: Any = adbutils.AdbClient(*self._address)
        self._failures = (adbutils.AdbError, OSError, EOFError)
        self._found = serial  # once found it stays this one, whatever else is plugged in

    def __str__(self) -> str:
        return f"phone {self._found}" if self._found else "the phone"

    @property
    def server(self) -> str:
        """The address of the adb server."""
        return "{}:{}".format(*self._address)

    @property
    def serial(self) -> str:
        """The phone's serial number, asked of the server where none was given."""
        return self._found or self.find()

    def attached(self) -> dict[str, str]:
        """Return serial number -> state, such as "device" or "offline", of all that are attached.

        Raises:
            DeviceError: no adb server answers.
        """
        self._check_server()
        try:
            return {phone.serial: phone.state for phone in self._adb.list()}
        except (*self._failures, ValueError) as error:
            raise DeviceError(f"adb server at {self.server}: {_one_line(error)}") from error

    def find(self) -> str:
        """Return the phone's serial number if commands can be sent to it now.

        Raises:
            DeviceError: not attached, not ready, or several are and none was named.
        """
        attached = self.attached()
        listed = ", ".join(f"{serial} ({state})" for serial, state in attached.items()) or "none"
        if not self._found and len(attached) > 1:
            raise DeviceError(f"several phones are attached: {listed}; name one: device.serial=...")
        serial = self._found or next(iter(attached), "")
        if serial not in attached:
            wanted = f"phone {serial} is not attached" if serial else "no phone is attached"
            raise DeviceError(
                f"{wanted} to the adb server at {self.server} (attached: {listed}); "
                "plug it in with USB debugging on, or `adb connect` it"
            )
        if (state := attached[serial]) != "device":
            advice = WHAT_TO_DO.get(state, f"is in state {state!r}; boot it into Android")
            raise DeviceError(f"phone {serial} {advice}")
        self._found = serial
        return serial

    def run(self, command: str, limit_s: float = COMMAND_S) -> Said:
        """Run a line of shell on the phone, whatever status it ends with; at most `limit_s`."""
        with self._explained(command, limit_s), self._wire(limit_s) as wire:
            wire.send_command(f"shell:{command}; echo {ENDED}$?")
            wire.check_okay()
            heard = _read_all(wire.conn, time.monotonic() + limit_s)
        text, ended, status = heard.replace("\r\n", "\n").rpartition(ENDED)
        if not ended or not status.strip().isdigit():
            raise self._lost(f"the connection ended in the middle of: {_brief(command)}")
        return Said(text, int(status))

    def read(self, command: str, limit_s: float = COMMAND_S) -> str:
        """Run a line of shell that has to succeed; return what it printed, stripped.

        Raises:
            DeviceError: also if it ended with another status than 0; with what it said.
        """
        said = self.run(command, limit_s)
        if said.status != 0:
            words = _one_line(said.text) or f"status {said.status}"
            raise DeviceError(f"{self}: {_brief(command)} failed: {_full(words) or words}")
        return said.text.strip()

    def push(self, content: bytes, path: str, mode: int = 0o644, limit_s: float = PUSH_S) -> None:
        """Write a file on the phone; `mode` is its permissions."""
        name, mb = PurePosixPath(path).name, len(content) / 1e6
        with self._explained(f"push {path}", limit_s), self._wire(limit_s) as wire:
            wire.send_command("sync:")
            wire.check_okay()
            problem = _send_file(wire.conn, content, f"{path},{stat.S_IFREG | mode}")
        if problem:
            advice = _full(problem) or f"said {problem}"
            raise DeviceError(f"{self}: {name} ({mb:.1f} MB) could not be pushed: {advice}")

    def checksum(self, path: str) -> tuple[str, str]:
        """Return how ("sha256" or "md5") and what the phone computes for a file of its own."""
        for kind in ("sha256", "md5"):
            said = self.run(f"{kind}sum < {shlex.quote(path)}")
            if said.status == 0 and (digest := re.match(r"[0-9a-f]{32,64}\b", said.text)):
                return kind, digest.group()
        raise DeviceError(f"{self}: has neither sha256sum nor md5sum: {_one_line(said.text)}")

    def _check_server(self) -> None:
        """Raise if nobody listens: adbutils would start a server, and not on this port."""
        try:
            socket.create_connection(self._address, SERVER_S).close()
        except OSError as error:
            port = self._address[1]
            raise DeviceError(
                f"no adb server at {self.server} ({error.strerror or error}); "
                f"start one: adb -P {port} start-server"
            ) from error

    @contextlib.contextmanager
    def _wire(self, limit_s: float) -> Iterator[Any]:
        """Have a connection to the phone itself; adbutils' own way to it costs 20 ms more."""
        serial = self.serial
        self._check_server()
        wire = self._adb.make_connection(timeout=limit_s)
        try:
            wire.send_command(f"host:transport:{serial}")
            wire.check_okay()
            yield wire
        finally:
            wire.conn.close()

    @contextlib.contextmanager
    def _explained(self, doing: str, limit_s: float) -> Iterator[None]:
        """Turn whatever goes wrong on the way to the phone into one line of DeviceError."""
        try:
            yield
        except self._failures as error:
            if isinstance(error, TimeoutError) or type(error).__name__ == "AdbTimeout":
                words = f"did not end within {limit_s:.0f} s: {_brief(doing)}"
                raise DeviceError(f"{self} {words}") from error
            raise self._lost(_one_line(error)) from error

    def _lost(self, words: str) -> DeviceError:
        """Return why the phone does not answer: what the server says of it, else `words`."""
        try:
            self.find()
        except DeviceError as why:
            return why
        return DeviceError(f"{self}: {words}")


def _read_all(conn: socket.socket, end: float) -> str:
    """Return what comes until the other side closes; TimeoutError at the monotonic time `end`."""
    parts: list[bytes] = []
    while True:
        conn.settimeout(max(end - time.monotonic(), 0.001))
        part = conn.recv(CHUNK)
        if not part:
            return b"".join(parts).decode(errors="replace")
        parts.append(part)


def _send_file(conn: socket.socket, content: bytes, target: str) -> str:
    """Send one file by adb's sync protocol; return what the phone objects to, or ""."""
    encoded = target.encode()
    try:
        conn.sendall(b"SEND" + struct.pack("<I", len(encoded)) + encoded)
        for start in range(0, len(content), CHUNK):
            part = content[start : start + CHUNK]
            conn.sendall(b"DATA" + struct.pack("<I", len(part)) + part)
        conn.sendall(b"DONE" + struct.pack("<I", int(time.time())))
    except (BrokenPipeError, ConnectionResetError):
        pass  # a phone that is full says so at once and closes: its answer can still be read
    answer, length = struct.unpack("<4sI", _exactly(conn, 8))
    if answer == b"OKAY":
        return ""
    return _one_line(_exactly(conn, length).decode(errors="replace")) or "no"


def _exactly(conn: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = conn.recv(count - len(data))
        if not part:
            raise EOFError("the phone closed the connection")
        data += part
    return data


def _full(words: str) -> str:
    """Return what to do if that is how a full storage sounds, else ""."""
    if "no space left" in words.lower():
        return "its storage is full (No space left on device); free some and try again"
    return ""


def _brief(command: str) -> str:
    return command if len(command) <= 100 else f"{command[:97]}..."


def _one_line(words: object) -> str:
    return " ".join(str(words).split())[:300]
