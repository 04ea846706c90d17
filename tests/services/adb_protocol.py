"""The phone's side of adb's protocol on loopback: messages, streams, `shell:` and `sync:`."""

import contextlib
import queue
import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

VERSION, MAX_DATA = 0x01000000, 4096
TOKEN = 1  # the kind of AUTH message in which a phone asks for a signature
PUBLIC_KEY = 3  # ... and in which a server shows its key: the phone then asks its user
HEADER = struct.Struct("<4s5I")
SYNC_CHUNK = 64 * 1024


class Handset(Protocol):
    """What is behind the protocol: a shell and files."""

    trusts: bool
    answers: bool

    def banner(self) -> bytes:
        """What it calls itself, as `device::name=value;...`."""
        ...

    def shell(self, command: str, stream: "Stream") -> None:
        """Run a command; write what it prints."""
        ...

    def local(self, path: str) -> Path:
        """Where a file of the phone lies on this machine."""
        ...

    def store(self, path: str, content: bytes, mode: int) -> str:
        """Write a file; return what is wrong, or ""."""
        ...


class Stream:
    """One open service: what the server writes arrives by `read`; `write` waits for its OKAY."""

    def __init__(self, connection: "Connection", own: int, other: int) -> None:
        self._connection, self._own, self._other = connection, own, other
        self._arrived: queue.Queue[bytes] = queue.Queue()
        self._rest = b""
        self._acknowledged = threading.Semaphore(0)
        self.is_closed = False
        self.on_close: Callable[[], None] = lambda: None

    def read(self, count: int) -> bytes:
        """Return exactly `count` bytes; EOFError if the other side closes before."""
        while len(self._rest) < count:
            part = self._arrived.get()
            if not part:
                raise EOFError
            self._rest += part
        data, self._rest = self._rest[:count], self._rest[count:]
        return data

    def write(self, data: bytes) -> None:
        """Send bytes; EOFError if the other side is gone."""
        for start in range(0, len(data), MAX_DATA):
            if self.is_closed:
                raise EOFError
            part = data[start : start + MAX_DATA]
            self._connection.send(b"WRTE", self._own, self._other, part)
            self._acknowledged.acquire()

    def close(self) -> None:
        """Tell the other side that nothing more comes."""
        if not self.is_closed:
            self._connection.send(b"CLSE", self._own, self._other)
        self.closed()

    def arrive(self, data: bytes) -> None:
        """Take what the server wrote."""
        self._arrived.put(data)
        self._connection.send(b"OKAY", self._own, self._other)

    def acknowledge(self) -> None:
        """Take the server's OKAY: the next write may go."""
        self._acknowledged.release()

    def closed(self) -> None:
        """Take that the other side is gone, however it went."""
        if not self.is_closed:
            self.is_closed = True
            self._arrived.put(b"")
            self._acknowledged.release()
            self.on_close()


class Connection:
    """One adb server's connection to the phone."""

    def __init__(self, conn: socket.socket, handset: Handset) -> None:
        self._conn, self._handset = conn, handset
        self._sending = threading.Lock()
        self._streams: dict[int, Stream] = {}

    def serve(self) -> None:
        """Answer messages until the connection ends."""
        try:
            for command, first, second, data in self._messages():
                self._take(command, first, second, data)
        except OSError:
            pass
        finally:
            self.cut()

    def cut(self) -> None:
        """End it as a pulled cable does."""
        with contextlib.suppress(OSError):
            self._conn.shutdown(socket.SHUT_RDWR)  # `close` alone waits for who reads from it
        self._conn.close()
        for stream in list(self._streams.values()):
            stream.closed()

    def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        """Send one message; one to a server that is gone is lost."""
        magic = struct.unpack("<I", command)[0] ^ 0xFFFFFFFF
        header = HEADER.pack(command, first, second, len(data), sum(data) & 0xFFFFFFFF, magic)
        try:
            with self._sending:
                self._conn.sendall(header + data)
        except OSError:
            for stream in list(self._streams.values()):
                stream.closed()

    def _messages(self) -> Iterator[tuple[bytes, int, int, bytes]]:
        while header := self._exactly(HEADER.size):
            command, first, second, length, _, _ = HEADER.unpack(header)
            yield command, first, second, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._conn.recv(count - len(data))
            if not part:
                return b""
            data += part
        return data

    def _take(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if command == b"CNXN" or (command == b"AUTH" and first != PUBLIC_KEY):
            self._greet()
        elif command == b"OPEN":
            self._open(first, data.rstrip(b"\0").decode())
        elif stream := self._streams.get(second):
            if command == b"WRTE":
                stream.arrive(data)
            elif command == b"OKAY":
                stream.acknowledge()
            elif command == b"CLSE":
                stream.closed()

    def _greet(self) -> None:
        if not self._handset.answers:
            return
        if self._handset.trusts:
            self.send(b"CNXN", VERSION, MAX_DATA, self._handset.banner())
        else:
            self.send(b"AUTH", TOKEN, 0, bytes(20))

    def _open(self, other: int, service: str) -> None:
        kind, _, rest = service.partition(":")
        if kind not in ("shell", "sync"):
            self.send(b"CLSE", 0, other)
            return
        own = len(self._streams) + 1
        stream = self._streams[own] = Stream(self, own, other)
        self.send(b"OKAY", own, other)
        threading.Thread(target=self._run, args=(kind, rest, stream), daemon=True).start()

    def _run(self, kind: str, rest: str, stream: Stream) -> None:
        try:
            if kind == "shell":
                self._handset.shell(rest, stream)
            else:
                synchronise(stream, self._handset)
        except EOFError:
            pass
        finally:
            stream.close()


def synchronise(stream: Stream, handset: Handset) -> None:
    """Serve the requests of one `sync:` until the other side is done."""
    while True:
        request, length = struct.unpack("<4sI", stream.read(8))
        path = stream.read(length).decode()
        if request == b"QUIT":
            return
        SYNC_REQUESTS[request](stream, handset, path)


def _stat(stream: Stream, handset: Handset, path: str) -> None:
    local = handset.local(path)
    found = local.stat() if local.exists() else None
    values = (found.st_mode, found.st_size, int(found.st_mtime)) if found else (0, 0, 0)
    stream.write(struct.pack("<4s3I", b"STAT", *values))


def _send(stream: Stream, handset: Handset, path: str) -> None:
    target, _, mode = path.rpartition(",")
    parts = []
    while True:
        word, length = struct.unpack("<4sI", stream.read(8))
        if word == b"DONE":
            break
        parts.append(stream.read(length))
    problem = handset.store(target, b"".join(parts), stat.S_IMODE(int(mode)))
    answer = b"FAIL" if problem else b"OKAY"
    stream.write(struct.pack("<4sI", answer, len(problem)) + problem.encode())


def _receive(stream: Stream, handset: Handset, path: str) -> None:
    local = handset.local(path)
    if not local.is_file():
        problem = b"No such file or directory"
        stream.write(struct.pack("<4sI", b"FAIL", len(problem)) + problem)
        return
    content = local.read_bytes()
    for start in range(0, len(content), SYNC_CHUNK):
        part = content[start : start + SYNC_CHUNK]
        stream.write(struct.pack("<4sI", b"DATA", len(part)) + part)
    stream.write(struct.pack("<4sI", b"DONE", 0))


SYNC_REQUESTS = {b"STAT": _stat, b"SEND": _send, b"RECV": _receive}
