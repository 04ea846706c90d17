"""A phone behind a real adb server as a device: MNN's own benchmark.out on one fast core."""

import hashlib
import re
import shlex
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path

from repghost.latency.devices import adb_doctor, benchmark_out
from repghost.latency.devices.adb_build import Build
from repghost.latency.devices.adb_link import PhoneLink
from repghost.latency.devices.adb_network import PhoneNetwork, check_network
from repghost.latency.devices.contract import Check, DeviceError
from repghost.latency.devices.entering import Reentrant
from repghost.latency.devices.phone import (
    IDENTIFY,
    READ,
    Core,
    Reading,
    mask,
    parse_properties,
    parse_reading,
)
from repghost.latency.devices.phone_fitness import doubts, is_hopeless, unfit
from repghost.latency.devices.spec import AdbSpec
from repghost.latency.record import DeviceState

POLL_S = 5.0
REBUILD = "name all of its libraries in device.libraries, built together for this phone"
SESSION = "session-"  # begins the name of a session's folder
STALE_DAYS = 1  # a session's folder is touched before each block of rounds
FIXED_PERFORMANCE_SDK = 30  # Android 11
FIXED_PERFORMANCE = "cmd power set-fixed-performance-mode-enabled"


class AdbDevice(Reentrant):
    """Any phone or board that adb sees, timed in short calls of MNN's `benchmark.out`.

    Entered, it has a folder of its own on the phone with the program and its libraries, checked by
    checksum; leaving removes it. What the phone is, is asked of it on first use.

    Raises:
        DeviceError: adbutils is missing, or a setting is no address or no folder.
    """

    fewest_runs = 10  # a call costs as much as some runs do

    def __init__(self, spec: AdbSpec) -> None:
        if not re.fullmatch(r"/[^/\0\n]+(/[^/\0\n]+)+", spec.folder) or "/../" in f"{spec.folder}/":
            raise DeviceError(
                f"device.folder={spec.folder!r}: must be a folder of its own on the phone, "
                "such as /data/local/tmp/repghost-lab"
            )
        self.name = spec.name
        self._spec = spec
        self._phone = PhoneLink(spec.server, spec.serial)
        self._build = Build(spec.benchmark, tuple(spec.libraries))
        # Another worker has another one.
        self._folder = f"{spec.folder}/{SESSION}{uuid.uuid4().hex[:12]}"
        self._models: set[str] = set()
        self._tried: set[tuple[str, int, str]] = set()
        self._fixed_performance = False

    @property
    def profile(self) -> str:
        """What the phone is, such as "adb: Google Pixel 6 (gs101)"."""
        told = self._told
        return f"adb: {told['maker']} {told['model']} ({told['soc']})"

    @property
    def mnn_version(self) -> str:
        """That of the pushed library, or a digest of what is pushed."""
        return self._build.version

    @cached_property
    def _told(self) -> dict[str, str]:
        return parse_properties(self._phone.read(IDENTIFY))

    def _enter(self, stack: ExitStack) -> None:
        stack.callback(self._close)
        self._open()

    def load(self, path: Path, threads: int = 1, numerics: str = "fp32") -> PhoneNetwork:
        """Push a `.mnn` file, once in a session, and run it once.

        Raises:
            ValueError: the file is missing, is no network of a fixed input shape, or crashes MNN.
            DeviceError: the device is not entered, is gone, is full, or says no time.
        """
        if numerics not in benchmark_out.PRECISION:
            raise ValueError(
                f"numerics={numerics}: allowed are {', '.join(benchmark_out.PRECISION)}"
            )
        check_network(path)
        if not self.is_entered:
            raise DeviceError(f"{self._phone}: enter the device before a network is loaded")
        digest, cores = self._push_model(path), self.cores(threads)
        network = PhoneNetwork(
            self._phone, path, self._folder, digest, threads, numerics, mask(cores)
        )
        if (digest, threads, numerics) not in self._tried:
            network.try_out()
            self._tried.add((digest, threads, numerics))
        return network

    def ready(self, sleep: Callable[[float], None]) -> list[str]:
        """Wait until it is cool and charged enough; return what makes its numbers doubtful.

        Raises:
            DeviceError: it did not become so within `wait_s`, or cannot.
        """
        waited = 0.0
        while reason := unfit(reading := self.reading(), self._spec):
            if waited >= self._spec.wait_s or is_hopeless(reading, self._spec):
                raise DeviceError(f"after {waited:.0f} s of waiting for {self._phone}: {reason}")
            sleep(POLL_S)
            waited += POLL_S
        if self.is_entered:
            self._phone.read(f"touch {shlex.quote(self._folder)}")
        return doubts(reading, self.cores()[0])

    def state(self) -> DeviceState:
        """Return what may disturb a number now: core and its clock, battery, heat, screen."""
        reading, cores = self.reading(), self.cores()
        clock = reading.cores.get(cores[0], Core())
        return {
            "pinned": self.is_entered,
            "core": cores[0],
            "mask": mask(cores),
            "frequency_mhz": clock.now_mhz,
            "allowed_frequency_mhz": clock.allowed_mhz,
            "max_frequency_mhz": clock.max_mhz,
            "governor": clock.governor,
            "battery_percent": reading.battery_percent,
            "battery_c": reading.battery_c,
            "charging": reading.charging,
            "thermal_status": reading.thermal,
            "screen": reading.screen,
            "fixed_performance_mode": self._fixed_performance,
        }

    def checks(self) -> list[Check]:
        """Look at everything between here and a good number, pushing included; never raises."""
        return adb_doctor.examine(self, self._spec, self._phone, self._build)

    def reading(self) -> Reading:
        """Ask the phone for its state."""
        return parse_reading(self._phone.read(READ))

    def cores(self, threads: int = 1) -> tuple[int, ...]:
        """Return the cores that `threads` threads run on, `device.core` or the fastest first.

        Raises:
            DeviceError: the phone does not tell its cores, and none was named.
        """
        cores = self._at_first.fastest(threads, self._spec.core)
        known = ", ".join(map(str, sorted(self._at_first.cores)))
        if not cores:
            raise DeviceError(
                f"{self._phone}: does not tell the clocks of its cores; set device.core"
            )
        if known and self._spec.core is not None and self._spec.core not in self._at_first.cores:
            raise DeviceError(f"{self._phone}: device.core={self._spec.core}: it has {known}")
        return cores

    @cached_property
    def _at_first(self) -> Reading:
        """The cores do not change; one that is switched off now is none to run on."""
        return self.reading()

    def abis(self) -> list[str]:
        """Return the ABIs that the phone runs, the best first."""
        return [abi for abi in self._told["abis"].split(",") if abi]

    @property
    def has_fixed_performance(self) -> bool:
        """Whether its clocks are held where it can sustain them (Android 11 and later)."""
        return self._fixed_performance

    def _open(self) -> None:
        self._phone.find()
        self._build.check_abi(self.abis())
        self.cores()
        self._make_folder()
        for name, content in self._build.contents.items():
            self._push(content, f"{self._folder}/{name}", 0o755)
        self._start_program()
        if self._told["sdk"].isdigit() and int(self._told["sdk"]) >= FIXED_PERFORMANCE_SDK:
            self._fixed_performance = self._phone.run(f"{FIXED_PERFORMANCE} true").status == 0

    def _start_program(self) -> None:
        """See that benchmark.out starts: that its libraries are the right ones, and all there."""
        said = self._phone.run(benchmark_out.start(self._folder, mask(self.cores())))
        if benchmark_out.STARTED not in said.text:
            words = benchmark_out.last_words(said)
            raise DeviceError(f"{self._phone}: benchmark.out does not start: {words}; {REBUILD}")

    def _make_folder(self) -> None:
        """Make this session's folder anew; remove those of sessions that were killed."""
        above, own = shlex.quote(self._spec.folder), shlex.quote(self._folder)
        ours = f"-mindepth 1 -maxdepth 1 -type d -name '{SESSION}*'"
        old = f"{ours} -mtime +{STALE_DAYS}"
        self._phone.run(f"find {above} {old} -exec rm -rf {{}} ';' 2>/dev/null")
        self._phone.read(f"rm -rf {own} && mkdir -p {above} && mkdir -m 700 {own}")

    def _close(self) -> None:
        """Leave nothing behind; that a phone is gone, the next call will tell."""
        self._models.clear()
        self._tried.clear()
        above, own = shlex.quote(self._spec.folder), shlex.quote(self._folder)
        last_one = (
            f"rmdir {above} 2>/dev/null"  # a session that goes on keeps the clocks as it has them
        )
        restore = f"{FIXED_PERFORMANCE} false" if self._fixed_performance else "true"
        with suppress(DeviceError):
            self._phone.run(f"rm -rf {own}; if {last_one}; then {restore}; fi")
        self._fixed_performance = False

    def _push_model(self, path: Path) -> str:
        """Return the folder on the phone that holds this model and nothing else."""
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:16]
        if digest not in self._models:
            folder = f"{self._folder}/{digest}"
            self._phone.read(f"mkdir -p {shlex.quote(folder)}")
            self._push(content, f"{folder}/model.mnn", 0o644)
            self._models.add(digest)
        return digest

    def _push(self, content: bytes, path: str, mode: int) -> None:
        self._phone.push(content, path, mode)
        kind, there = self._phone.checksum(path)
        if there != hashlib.new(kind, content).hexdigest():
            name = path.rpartition("/")[2]
            raise DeviceError(
                f"{self._phone}: {name} arrived damaged ({kind} differs); try a new cable"
            )
