"""The files built for the phone: `benchmark.out` and the libraries beside it."""

import hashlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from repghost.latency.devices.contract import DeviceError

HOW = "build it with MNN's project/android/build_64.sh and set {}"
ELF_ABIS = {  # the ELF header's e_machine -> what Android calls it
    3: "x86",
    40: "armeabi-v7a",
    62: "x86_64",
    183: "arm64-v8a",
    243: "riscv64",
}
VERSION = re.compile(rb"\0(\d{1,2}\.\d{1,3}\.\d{1,3})\0")  # a C string of its own


@dataclass(frozen=True)
class Build:
    """The program and its libraries on this machine; all methods raise DeviceError if one fails."""

    program: str
    libraries: Sequence[str]

    @cached_property
    def contents(self) -> dict[str, bytes]:
        """What goes to the phone: file name there -> content; the program is `benchmark.out`."""
        if not self.program:
            raise DeviceError(f"no benchmark.out is named; {HOW.format('device.benchmark')}")
        contents = {"benchmark.out": _content(self.program, "device.benchmark")}
        for path in self.libraries:
            name = Path(path).name
            if name in contents:
                raise DeviceError(f"{path}: two files of the name {name}; they share one folder")
            contents[name] = _content(path, "device.libraries")
        return contents

    @property
    def size_mb(self) -> float:
        """What it takes on the phone."""
        return sum(map(len, self.contents.values())) / 1e6

    def check_abi(self, supported: Sequence[str]) -> str:
        """Return the ABI that all files are built for, one of those that the phone supports.

        Raises:
            DeviceError: a file is no ELF file, is for another ABI, or they differ.
        """
        abis = {name: elf_abi(content) for name, content in self.contents.items()}
        for name, abi in abis.items():
            if abi is None:
                raise DeviceError(f"{name}: is no program or library for Android (no ELF file)")
            if abi not in supported or abi != abis["benchmark.out"]:
                wanted = ", ".join(supported) if abi not in supported else abis["benchmark.out"]
                raise DeviceError(f"{name}: is built for {abi}, needed is {wanted}; build it again")
        return str(abis["benchmark.out"])

    @cached_property
    def version(self) -> str:
        """MNN's version, such as "3.6.1"; a digest of the files where they do not tell it."""
        ordered = sorted(self.contents.items(), key=lambda item: "libMNN.so" not in item[0])
        for _, content in ordered:
            versions = mnn_versions(content)
            if len(versions) == 1:
                return versions.pop()
        digest = hashlib.sha256()
        for name, content in sorted(self.contents.items()):
            digest.update(hashlib.sha256(name.encode() + b"\0" + content).digest())
        return f"sha-{digest.hexdigest()[:8]}"


def elf_abi(content: bytes) -> str | None:
    """Return what Android calls the machine that an ELF file is for; None if it is none."""
    if len(content) < 20 or content[:4] != b"\x7fELF":
        return None
    (machine,) = struct.unpack("<H", content[18:20])
    return ELF_ABIS.get(machine, f"ELF machine {machine}")


def mnn_versions(content: bytes) -> set[str]:
    """Return the version strings in a library that may be MNN's: 0.x are of parts inside it."""
    texts = {match.decode() for match in VERSION.findall(content)}
    return {text for text in texts if not text.startswith("0")}


def _content(path: str, key: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        words = error.strerror or str(error)
        raise DeviceError(f"{key}: {path}: {words}; {HOW.format(key)}") from error
