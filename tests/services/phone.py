"""A phone emulated at the level of adb's protocol on loopback, for the real adb server.

Its storage is a folder. Its shell runs commands for real in `sh`: paths of the phone are replaced
by those in the folder, and Android's own tools are those of `phone_tools/`. What it is, and what
is wrong with it, is set by attributes and methods at any time.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from services import adb_server
from services.adb_protocol import Connection, Stream

HERE = Path(__file__).parent
TOOLS = HERE / "phone_tools"
OUTSIDE = re.compile(r"(?<![\w/.-])/(?=data/local/tmp|sys/devices/system/cpu|proc/)")
SHELL_STORAGE = "data/local/tmp"
MACHINES = {"arm64-v8a": 183, "armeabi-v7a": 40, "x86_64": 62}
PIXEL = {
    "ro.product.manufacturer": "Google",
    "ro.product.model": "Pixel 6",
    "ro.soc.model": "GS101",
    "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a,armeabi",
    "ro.build.version.sdk": "33",
}
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Max charging current: 500000
  status: {status}
  health: 2
  present: true
  level: {level}
  scale: 100
  voltage: 4231
  temperature: TENTHS
  technology: Li-ion
"""
KHZ = (1_803_000,) * 4 + (2_253_000,) * 2 + (2_802_000,) * 2
ATTACHED_S = 15.0


class Phone:
    """A phone in `folder`; `benchmark` is the socket of `phone_benchmark.py`.

    `trusts` False asks for an authorisation that never comes, `answers` False is a phone that
    hangs. `free_bytes` is what its storage still takes. A pushed file whose name is `corrupts` is
    changed on its way. A command that contains `unplugs_at` is the last one that it hears.
    """

    def __init__(self, folder: Path, benchmark: Path) -> None:
        if " " in str(folder):
            raise ValueError(f"{folder}: its shell needs a folder without a space in its path")
        self.root, self._notes = folder / "root", folder / "notes"
        self.trusts = self.answers = True
        self.free_bytes = 10**9
        self.corrupts = self.unplugs_at = ""
        self.old_line_ends = False  # a terminal's, as before Android 7
        self.heard: list[str] = []  # the commands
        self.pushed: list[str] = []  # the names of files
        self._listener: socket.socket | None = None
        self._port = 0
        self._connections: list[Connection] = []
        self._processes: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._tools = folder / "bin"
        self._install(self._tools)
        self.note("socket", str(benchmark))

    @property
    def serial(self) -> str:
        """Its serial number: where it listens."""
        return f"127.0.0.1:{self._port}"

    @property
    def storage(self) -> Path:
        """The folder that the phone calls /data/local/tmp."""
        return self.root / SHELL_STORAGE

    def note(self, name: str, text: str) -> None:
        """Write one of the files that the tools read, such as "hang"; see `phone_tools/`."""
        (self._notes / name).write_text(text)

    def noted(self, name: str) -> list[str]:
        """Return the lines that the tools wrote, such as the "masks" of taskset."""
        path = self._notes / name
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def forget(self, name: str) -> None:
        """Remove a note."""
        (self._notes / name).unlink()

    def lacks(self, tool: str) -> None:
        """Be without a tool that phones mostly have."""
        path = self._tools / tool
        path.write_text(f'#!/bin/sh\necho "sh: {tool}: inaccessible or not found"\nexit 127\n')
        path.chmod(0o755)

    def running(self) -> list[str]:
        """Return the commands that have not ended."""
        return [command for command, process in self._processes if process.poll() is None]

    def properties(self, values: Mapping[str, str]) -> None:
        """Be this phone: what `getprop` says, and the machine that its programs are for."""
        for name, value in values.items():
            self.note(f"prop/{name}", f"{value}\n")
        abis = values.get("ro.product.cpu.abilist", "").split(",")
        self.note("machine", ",".join(str(MACHINES[abi]) for abi in abis if abi in MACHINES))

    def battery(self, celsius: Sequence[float], level: int = 80, charging: bool = False) -> None:
        """Have a battery; each look finds the next of the temperatures, the last one for ever."""
        self.note("battery", BATTERY.format(level=level, status=2 if charging else 3))
        self.note("temperatures", "".join(f"{round(10 * one)}\n" for one in celsius))

    def heat(self, status: int) -> None:
        """Have Android's thermal status, 0 to 6."""
        words = "IsStatusOverride: false\nThermal Status: {}\nCached temperatures:\n"
        self.note("thermalservice", words.format(status))

    def screen(self, state: str) -> None:
        """Have the screen ON or OFF."""
        wake = "Awake" if state == "ON" else "Asleep"
        self.note("power", f"  mWakefulness={wake}\nDisplay Power: state={state}\n")

    def clocks(self, khz: Sequence[int], allowed_khz: Sequence[int] | None = None) -> None:
        """Have one core for each clock, at most `allowed_khz` at present."""
        shutil.rmtree(self.root / "sys/devices/system/cpu", ignore_errors=True)
        for core, most in enumerate(khz):
            folder = self.root / f"sys/devices/system/cpu/cpu{core}/cpufreq"
            folder.mkdir(parents=True, exist_ok=True)
            allowed = (allowed_khz or khz)[core]
            (folder / "cpuinfo_max_freq").write_text(f"{most}\n")
            (folder / "scaling_max_freq").write_text(f"{allowed}\n")
            (folder / "scaling_cur_freq").write_text(f"{allowed // 2}\n")
            (folder / "scaling_governor").write_text("sched_pixel\n")

    def plug_in(self) -> None:
        """Be found by the adb server, also by a new one, at the same address as before.

        A server that has died is started again: adb 29 dies now and then of a phone of an earlier
        test that went while it still connected.
        """
        try:
            self._plug_in()
        except ConnectionError:
            adb_server.script("start")
            self._plug_in()

    def _plug_in(self) -> None:
        if not self._listener:
            self._listen()
        answers, self.answers = self.answers, True
        adb_server.ask(f"connect:{self.serial}")
        self._await("device" if self.trusts else "unauthorized")
        if not answers:  # it hangs later: adb 29 dies of a phone that goes while it still connects
            self.answers = False
            self._cut()
            self._await("offline")

    def unplug(self) -> None:
        """Be gone at once, in the middle of everything."""
        if self._listener:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self._cut()

    def remove(self) -> None:
        """Be gone, and forgotten by the adb server."""
        self.unplug()
        with contextlib.suppress(RuntimeError, OSError):
            adb_server.ask(f"disconnect:{self.serial}")

    def banner(self) -> bytes:
        """What it calls itself; no features, so that the oldest protocol is spoken."""
        return b"device::ro.product.name=emulated;ro.product.model=emulated;"

    def local(self, path: str) -> Path:
        """Where a file of the phone lies on this machine."""
        return Path(self._inside(path))

    def store(self, path: str, content: bytes, mode: int) -> str:
        """Write a file as adb's daemon does; return what is wrong, or ""."""
        local = self.local(path)
        if len(content) > self.free_bytes:
            return "couldn't write: No space left on device"
        if local.name == self.corrupts:
            content = content[:-1] + bytes([content[-1] ^ 1])
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(content)
        local.chmod(mode)
        self.free_bytes -= len(content)
        self.pushed.append(local.name)
        return ""

    def shell(self, command: str, stream: Stream) -> None:
        """Run a command in `sh`; it is killed when the other side goes away."""
        self.heard.append(command)
        process = subprocess.Popen(
            ["sh", "-c", self._inside(command)],
            cwd=self.root,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._processes.append((command, process))
        stream.on_close = lambda: _kill(process)
        if self.unplugs_at and self.unplugs_at in command:
            self.unplug()
        assert process.stdout
        for line in process.stdout:
            stream.write(self._outside(line))
        process.wait()

    def _cut(self) -> None:
        for connection in self._connections:
            connection.cut()
        self._connections.clear()

    def _inside(self, text: str) -> str:
        return OUTSIDE.sub(lambda _: f"{self.root}/", text)

    def _outside(self, line: bytes) -> bytes:
        line = line.replace(str(self.root).encode(), b"")
        return line.replace(b"\n", b"\r\n") if self.old_line_ends else line

    def _install(self, tools: Path) -> None:
        for folder in (tools, self.storage, self.root / "proc", self._notes / "prop"):
            folder.mkdir(parents=True)
        for tool in TOOLS.iterdir():
            (tools / tool.name).symlink_to(tool)
        python = f'exec "{sys.executable}" -I -S "{HERE / "phone_taskset.py"}" "$@"'
        (tools / "taskset").write_text(f"#!/bin/sh\n{python}\n")
        (tools / "taskset").chmod(0o755)
        self._environment = {"PATH": f"{tools}:/usr/bin:/bin", "PHONE": str(self._notes)}
        (self.root / "proc/cpuinfo").write_text("Features : fp asimd fphp asimdhp asimddp\n")
        idle = "".join(f"cpu{core} 90 0 10 900 0 0 0 0 0 0\n" for core in range(len(KHZ)))
        (self.root / "proc/stat").write_text(idle)
        self.properties(PIXEL)
        self.battery([27.5])
        self.heat(0)
        self.screen("OFF")
        self.clocks(KHZ)

    def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        listener.listen()
        self._listener, self._port = listener, listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            connection = Connection(conn, self)
            self._connections.append(connection)
            threading.Thread(target=connection.serve, daemon=True).start()

    def _await(self, state: str) -> None:
        end = time.monotonic() + ATTACHED_S
        while (seen := adb_server.states().get(self.serial)) != state:
            if time.monotonic() > end:
                raise RuntimeError(f"adb sees {self.serial} as {seen}, expected {state}")
            time.sleep(0.02)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def elf(machine: int, text: str = "") -> bytes:
    """Return a stand-in for a program or library of a machine, with a C string in it."""
    kind = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    return kind + struct.pack("<HHI", 3, machine, 1) + bytes(40) + text.encode() + b"\0" * 64


@contextlib.contextmanager
def benchmark_server(folder: Path) -> Iterator[Path]:
    """Have MNN's Python runtime ready behind a socket, for any number of phones."""
    path = folder / "benchmark"
    process = subprocess.Popen([sys.executable, str(HERE / "phone_benchmark.py"), str(path)])
    try:
        end = time.monotonic() + ATTACHED_S
        while not path.exists():
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError("phone_benchmark.py did not start")
            time.sleep(0.02)
        yield path
    finally:
        process.kill()
        process.wait()
