"""Which device, and how it is reached: words such as device=adb device.serial=..."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

BOOLEANS = {"true": True, "false": False}
BUSY = ("flag", "refuse")
CUDA = "cuda"
HERE = ("local", CUDA)  # names of devices that a sweep serves itself, without a worker
NAME = "device."  # what the words of a device's own settings begin with


@dataclass(frozen=True)
class LocalSpec:
    """This machine's CPU.

    `core` is the one to pin to, None for the quietest. A machine that others use is waited for, at
    most `wait_s` seconds before each block of rounds; then `busy` says: "flag" measures and notes
    it, "refuse" does not measure.
    """

    prefix: ClassVar[str] = NAME  # of its words
    name: str = "local"
    core: int | None = None
    busy: str = "flag"
    wait_s: float = 10.0


@dataclass(frozen=True)
class OwnCpuSpec(LocalSpec):
    """This machine's CPU as a sweep's settings describe it."""

    prefix: ClassVar[str] = "latency."


@dataclass(frozen=True)
class AdbSpec:
    """A phone or board behind an adb server, timed with MNN's own `benchmark.out`.

    `serial` may be empty where only one is attached. `benchmark` and `libraries` are files on this
    machine, built for the phone as MNN's documentation says (project/android/build_64.sh).
    `folder` is made on the phone, and removed. `core` is the one to run on, None for a fast one. A
    battery or thermal status above the limits is waited for, at most `wait_s` seconds.
    """

    name: str = "adb"
    serial: str = ""
    benchmark: str = ""
    libraries: list[str] = field(default_factory=list)
    folder: str = "/data/local/tmp/repghost-lab"
    core: int | None = None
    max_battery_c: float = 38.0
    min_battery_percent: float = 20.0
    wait_s: float = 600.0
    server: str = "127.0.0.1:5037"


@dataclass(frozen=True)
class CudaSpec:
    """One NVIDIA GPU of this machine, through PyTorch's CUDA graphs."""

    name: str = "cuda"
    index: int = 0


DeviceSpec = LocalSpec | AdbSpec | CudaSpec
KINDS: dict[str, type[LocalSpec] | type[AdbSpec] | type[CudaSpec]] = {
    "local": LocalSpec,
    "adb": AdbSpec,
    "cuda": CudaSpec,
}


def kind_of(spec: DeviceSpec) -> str:
    """Return the word for the kind of device that a spec is of."""
    return next(kind for kind, cls in KINDS.items() if isinstance(spec, cls))


def unit_of(spec: DeviceSpec) -> str:
    """Return which one of several of that name it is, without asking the device.

    A phone's serial number; else this machine's name, of which each may serve a name once.
    """
    if isinstance(spec, AdbSpec) and spec.serial:
        return spec.serial
    return platform.node() + (f"/{spec.index}" if isinstance(spec, CudaSpec) else "")


def device_spec(words: Sequence[str]) -> DeviceSpec:
    """Return the device that words such as ["device=adb", "device.serial=X"] describe.

    Raises:
        ValueError: a word is no setting of that device, or its value is of another type.
    """
    pairs = dict(word.partition("=")[::2] for word in words)
    kind = pairs.pop("device", "local")
    if kind not in KINDS:
        raise ValueError(f"device={kind}: allowed are {', '.join(KINDS)}")
    hints = get_type_hints(KINDS[kind])
    known = [one.name for one in fields(KINDS[kind])]
    settings = {}
    for word, text in pairs.items():
        name = word.removeprefix(NAME)
        if not word.startswith(NAME) or name not in known:
            raise ValueError(f"{word}={text}: device={kind} has {', '.join(known)}")
        settings[name] = typed(f"{word}={text}", text, hints[name])
    return KINDS[kind](**settings)


def typed(said: str, text: str, hint: Any) -> Any:
    """Return the value of a word of the command line as its type; `said` is the word.

    Raises:
        ValueError: it is of another type.
    """
    if text in ("null", "None", "") and type(None) in get_args(hint):
        return None
    if get_origin(hint) is list:
        return [part.strip() for part in text.strip("[]").split(",") if part.strip()]
    if hint is bool:
        if text.lower() not in BOOLEANS:
            raise ValueError(f"{said}: must be true or false")
        return BOOLEANS[text.lower()]
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not type(None)]
    try:
        return kinds[0](text)
    except ValueError:
        words = {int: "a whole number", float: "a number"}
        raise ValueError(f"{said}: must be {words.get(kinds[0], kinds[0].__name__)}") from None
