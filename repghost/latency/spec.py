"""How a latency is to be measured and where it is kept, checked; imports no package but our own."""

import re
from dataclasses import dataclass, field
from typing import Any

from repghost.latency.devices.spec import BUSY, LocalSpec, OwnCpuSpec

PROTOCOLS = ("paired", "paper")
NUMERICS = ("fp32", "fp16")
DEVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
OPTIONAL = ("max_ms", "max_ratio", "input_size")  # may be None
WHOLE = ("input_size", "batch_size", "max_rounds", "threads")
URL_PASSWORD = re.compile(r"://[^:/]*:[^@]+@|[?&](ssl)?passw(or)?d=", re.IGNORECASE)


@dataclass(frozen=True)
class StorageSpec:
    """Where measurements of latency are kept: an SQLAlchemy URL, without a password in it."""

    url: str = "sqlite:///outputs/latency.db"

    def __post_init__(self) -> None:
        if URL_PASSWORD.search(self.url):  # it would end up in every run's config.yaml
            raise ValueError(
                "storage.url: holds a password; take it out and put it into the environment as"
                " PGPASSWORD, or into ~/.pgpass"
            )


@dataclass(frozen=True)
class LatencySpec:
    """Devices, protocol and budget of the latency measurements.

    `devices` are names: "local" and "cuda" are this machine's, any other is that of a worker
    (`latency-worker device.name=...`); the first is the objective. `reference` is the network that
    `paired` compares with: an entry of the paper's list such as "repghostnet-1.0x", or a `.mnn`
    file. `max_ms` and `max_ratio` (to the reference) are the sweep's latency budget: a variant
    above one of them is not trained. `input_size` is the side of the timed input in pixels, None
    for the data's own; `batch_size` its number of images; `threads` those of one run; `numerics`
    what MNN computes in. `precision` is the half-width of the ratio's interval at which `paired`
    stops; `max_rounds` and `max_seconds` are where it gives up. `repeat` is like a seed: another
    number measures the same network again. `core`, `busy` and `wait_s` are of this machine's CPU
    (see `LocalSpec`). `profile` keeps the time of each operator as well.
    """

    devices: list[str] = field(default_factory=lambda: ["local"])
    protocol: str = "paired"
    reference: str = "repghostnet-0.5x"
    max_ms: float | None = None
    max_ratio: float | None = None
    input_size: int | None = None
    batch_size: int = 1
    threads: int = 1
    numerics: str = "fp32"
    precision: float = 0.01
    max_rounds: int = 600
    max_seconds: float = 120.0
    repeat: int = 0
    core: int | None = None
    busy: str = "flag"
    wait_s: float = 10.0
    profile: bool = False

    def __post_init__(self) -> None:
        wrong = [name for name in self.devices if not DEVICE_NAME.fullmatch(str(name))]
        if wrong or not self.devices or len(set(self.devices)) != len(self.devices):
            raise ValueError(
                f"latency.devices={self.devices}: must be a list of names such as [local,pixel], at"
                " least one, each at most once; letters, digits, dots and dashes"
            )
        for name, allowed in (("protocol", PROTOCOLS), ("numerics", NUMERICS), ("busy", BUSY)):
            if getattr(self, name) not in allowed:
                said = f"latency.{name}={getattr(self, name)}"
                raise ValueError(f"{said}: allowed are {', '.join(allowed)}")
        if self.max_ratio is not None and self.protocol != "paired":
            raise ValueError(
                f"latency.max_ratio={self.max_ratio}: needs latency.protocol=paired, which times a"
                " reference network; or set latency.max_ms"
            )
        if not _is_number(self.repeat, whole=True) or self.repeat < 0:
            raise ValueError(f"latency.repeat={self.repeat}: must be a whole number from 0 on")
        self._require_positive("max_ms", "max_ratio", "precision", "input_size", "batch_size")
        self._require_positive("max_rounds", "max_seconds", "threads")

    @property
    def has_budget(self) -> bool:
        """Whether a latency decides if a variant is trained."""
        return self.max_ms is not None or self.max_ratio is not None

    @property
    def local(self) -> LocalSpec:
        """This machine's CPU as a device of the sweep."""
        return OwnCpuSpec(core=self.core, busy=self.busy, wait_s=self.wait_s)

    def excess(self, latency_ms: float, ratio: float | None) -> str | None:
        """Say by how much a latency is over the budget; None where it is within."""
        if self.max_ms is not None and latency_ms > self.max_ms:
            return f"{latency_ms:.3f} ms is over latency.max_ms={self.max_ms:g}"
        if self.max_ratio is not None and ratio is not None and ratio > self.max_ratio:
            return f"ratio {ratio:.3f} is over latency.max_ratio={self.max_ratio:g}"
        return None

    def _require_positive(self, *names: str) -> None:
        for name in names:
            value: Any = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            kind = "whole number" if name in WHOLE else "number"
            if not _is_number(value, whole=name in WHOLE) or not 0 < value < float("inf"):
                raise ValueError(f"latency.{name}={value}: must be a {kind} greater than 0")


def _is_number(value: object, whole: bool) -> bool:
    kinds = (int,) if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool)
