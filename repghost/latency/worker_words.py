"""The words of `latency-worker`: what they ask for, and their help."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from repghost.latency.devices.adb_build import HOW
from repghost.latency.devices.busy import named
from repghost.latency.devices.machine import allowed_cores
from repghost.latency.devices.spec import (
    CUDA,
    HERE,
    KINDS,
    AdbSpec,
    DeviceSpec,
    LocalSpec,
    device_spec,
    kind_of,
    typed,
)
from repghost.latency.here import TOGETHER
from repghost.latency.queue.requests import LEASE_S
from repghost.latency.spec import DEVICE_NAME, StorageSpec

INDENT = " " * 4
HELP = """\
latency-worker: measures networks on one device, for all sweeps that use the same database.

  latency-worker device=local device.name=desk
  latency-worker device=adb device.name=pixel device.serial=SERIAL \\
      device.benchmark=build/benchmark.out device.libraries=[build/libMNN.so]
  latency-worker device=local device.name=board storage.url=postgresql+psycopg://USER@HOST/DB

A sweep asks for it by name: python launch.py -m ... latency.devices=[desk]
The password of a PostgreSQL is taken from PGPASSWORD or ~/.pgpass.

words:
  device=local|adb|cuda     the kind; its own words are
{devices}
  storage.url=URL           the database (default: {url})
  lease_s=SECONDS           after which a dead worker's work is free (default: {lease_s:g})
  poll_s=SECONDS            between two looks at an empty queue (default: {poll_s:g})
  together=N                networks of one session (default: {together})
  once=true                 end when nothing waits
"""


@dataclass(frozen=True)
class WorkerSpec:
    """How a worker works; see the help text."""

    url: str = StorageSpec().url
    lease_s: float = LEASE_S
    poll_s: float = 2.0
    together: int = TOGETHER
    once: bool = False

    def __post_init__(self) -> None:
        StorageSpec(self.url)  # refuses a password
        for name in ("lease_s", "poll_s", "together"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be greater than 0")


def parsed(words: Sequence[str]) -> tuple[WorkerSpec, DeviceSpec]:
    """Return what the words of the command line ask for.

    Raises:
        ValueError: a word is none, or its value is of another type; the known ones are named. Or
            the device could never be served so.
    """
    wrong = [word for word in words if "=" not in word]
    if wrong:
        raise ValueError(f"{wrong[0]}: not of the form key=value; `latency-worker --help`")
    own = {"storage.url" if f.name == "url" else f.name: f.name for f in fields(WorkerSpec)}
    hints = get_type_hints(WorkerSpec)
    values: dict[str, Any] = {}
    for word in words:
        key, _, text = word.partition("=")
        if key in own:
            values[own[key]] = typed(word, text, hints[own[key]])
        elif key.partition(".")[0] != "device":
            raise ValueError(f"unknown word {key}: allowed are device, device.*, {', '.join(own)}")
    others = [word for word in words if word.partition("=")[0] not in own]
    chosen = device_spec(others)
    _check_name(chosen)
    _check_settings(chosen)
    return WorkerSpec(**values), chosen


def _check_name(chosen: DeviceSpec) -> None:
    """Refuse a name that no sweep can ask for, or that is another kind's."""
    kind, said = kind_of(chosen), f"device.name={chosen.name}"
    if not DEVICE_NAME.fullmatch(chosen.name):
        raise ValueError(f"{said}: must be of letters, digits, dots and dashes, as sweeps ask")
    if chosen.name in HERE and chosen.name != kind:
        raise ValueError(f"{said}: is what device={chosen.name} is called; give another name")
    if kind == CUDA and chosen.name != CUDA:  # what waits under another name has a .mnn file
        raise ValueError(f"{said}: a GPU has the name {CUDA} in every sweep; leave device.name out")


def _check_settings(chosen: DeviceSpec) -> None:
    """Refuse what no waiting makes right; `doctor` has the same as checks."""
    if isinstance(chosen, AdbSpec) and not chosen.benchmark:
        raise ValueError(f"no benchmark.out is named; {HOW.format('device.benchmark')}")
    core, cores = getattr(chosen, "core", None), allowed_cores()
    if core is None:
        return
    if core < 0 or (isinstance(chosen, LocalSpec) and cores and core not in cores):
        known = f"this process may use {named(cores)}" if cores else "must be at least 0"
        raise ValueError(f"device.core={core}: {known}")


def help_text() -> str:
    """Return what `latency-worker --help` prints."""
    lines = []
    for kind, cls in KINDS.items():
        names = ", ".join(f"device.{field.name}" for field in fields(cls))
        line = f"{kind}: {names}"
        lines += textwrap.wrap(line, 90, initial_indent=INDENT, subsequent_indent=2 * INDENT)
    spec = WorkerSpec()
    return HELP.format(devices="\n".join(lines), **vars(spec))
