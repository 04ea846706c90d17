"""A variant's latencies: on which devices, under which identity, known, asked for or missing."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path

from repghost.latency.devices.contract import DeviceError
from repghost.latency.devices.opening import open_device
from repghost.latency.devices.spec import CUDA, HERE, CudaSpec, DeviceSpec
from repghost.latency.queue.requests import FAILED, Request, Requests, Standing
from repghost.latency.queue.workers import KnownDevice, Workers, placeholder
from repghost.latency.record import Budget, Identity, Measurement
from repghost.latency.store import Store
from repghost.preparation import TRACED, reference_network
from repghost.run import Run
from repghost.settings import MNN_FILE, Settings

FRESH_S = 2.0  # for which what the database said of devices and requests is taken as it was
Mark = Measurement | Standing | None  # done; asked for; nobody asked


def device_here(settings: Settings, name: str) -> DeviceSpec:
    """Return one of this machine's own devices as a sweep uses it."""
    return CudaSpec() if name == CUDA else settings.latency.local


class Timings:
    """What the database knows of variants' latencies; a measurement is read once and kept.

    Raises StoreError where the database fails.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self.store, self._clock = store, clock
        self.requests = Requests(store.database)
        self._found: dict[Identity, Measurement] = {}
        self._devices: dict[str, tuple[float, KnownDevice]] = {}
        self._lacking: dict[str, str | None] = {}  # this machine's own devices -> why not there

    @cached_property
    def workers(self) -> Workers:
        """The workers in that database."""
        return Workers(self.store.database)

    def device(self, settings: Settings, name: str) -> KnownDevice:
        """Return what a device is: this machine's own, or as its worker announced it."""
        until, known = self._devices.get(name, (0.0, None))
        if known and self._clock() < until:
            return known
        if name in HERE:
            device = open_device(device_here(settings, name))
            self._devices[name] = float("inf"), KnownDevice(device.profile, device.mnn_version)
        else:
            announced = self.workers.known(name) or placeholder(name)
            self._devices[name] = self._clock() + FRESH_S, announced
        return self._devices[name][1]

    def devices(self, settings: Settings) -> list[str]:
        """Return the devices that are timed on: not a further GPU that this machine lacks."""
        skipped = self.skipped(settings)
        return [name for name in settings.latency.devices if name not in skipped]

    def skipped(self, settings: Settings) -> dict[str, str]:
        """Return the further devices of this machine that are not there -> why.

        Raises:
            DeviceError: the first device, on which all depends, is not there.
        """
        first, *further = settings.latency.devices
        if first in HERE:
            self.device(settings, first)
        own = {name: self._why_lacking(settings, name) for name in further if name in HERE}
        return {name: why for name, why in own.items() if why}

    def _why_lacking(self, settings: Settings, name: str) -> str | None:
        if name not in self._lacking:
            try:
                self.device(settings, name)
                self._lacking[name] = None
            except DeviceError as error:
                self._lacking[name] = str(error)
        return self._lacking[name]

    def identity(self, settings: Settings, fingerprint: str, name: str) -> Identity:
        """Return what a graph's latency on a device is kept under."""
        latency, device = settings.latency, self.device(settings, name)
        return Identity(
            fingerprint,
            device.profile,
            latency.protocol,
            latency.threads,
            device.mnn_version,
            settings.reference,
            latency.numerics,
            latency.repeat,
        )

    def read(self, fingerprints: Iterable[str]) -> None:
        """Read the measurements of these graphs together."""
        for measurement in self.store.of(fingerprints):
            self._found.setdefault(measurement.identity, measurement)

    def find(self, identity: Identity) -> Measurement | None:
        """Return the measurement of this identity, None if it was never measured."""
        if identity not in self._found and (found := self.store.find(identity)):
            self._found[identity] = found
        return self._found.get(identity)

    def latency(self, settings: Settings, run: Run, name: str | None = None) -> Measurement | None:
        """Return the latency of a variant's deployed network, by default on the first device."""
        deployed = run.deployed(settings.timed_shape)
        if deployed is None or name in self.skipped(settings):
            return None
        device = name or settings.latency.devices[0]
        return self.find(self.identity(settings, deployed["fingerprint"], device))

    def of_graph(self, settings: Settings, fingerprint: str) -> Measurement | None:
        """Return the latency of a graph on the first device, timed as `settings` say."""
        name = settings.latency.devices[0]
        return self.find(self.identity(settings, fingerprint, name))

    def marks(self, settings: Settings, fingerprint: str) -> Mapping[str, Mark]:
        """Return how far the latency is on each device that the variant is timed on."""
        names = self.devices(settings)
        wanted = {name: self.identity(settings, fingerprint, name) for name in names}
        marks: dict[str, Mark] = {name: self.find(one) for name, one in wanted.items()}
        if all(marks.values()):
            return marks
        waiting = {one.identity: one for one in self.requests.waiting([fingerprint])}
        for name in (name for name, mark in marks.items() if mark is None):
            # What was done between the two looks is in neither of them.
            marks[name] = waiting.get(wanted[name]) or self.find(wanted[name])
        return marks

    def request(self, settings: Settings, fingerprint: str, mnn: Path, label: str) -> None:
        """Ask for the latency on every device that does not know it, and has not been asked.

        `mnn` is the exported network, called `label`; beside it lies the one for a GPU if that is a
        device.
        """
        marks = self.marks(settings, fingerprint)
        missing = [name for name, mark in marks.items() if mark is None]
        if not missing:
            return
        latency = settings.latency
        budget = Budget(latency.precision, latency.max_rounds, latency.max_seconds)
        for name in missing:
            suffix, paired = TRACED if name == CUDA else MNN_FILE, settings.reference
            model = mnn.with_suffix(suffix).read_bytes()
            reference = reference_network(settings, suffix).read_bytes() if paired else None
            identity = self.identity(settings, fingerprint, name)
            self.requests.add(Request(identity, name, label, budget, model, reference))

    def forgive(self, settings: Settings, run: Run) -> None:
        """Let latencies that could not be measured be measured again."""
        if deployed := run.deployed(settings.timed_shape):
            for name in self.devices(settings):
                identity = self.identity(settings, deployed["fingerprint"], name)
                self.requests.forgive(identity)

    def needed_of_workers(self, settings: Settings, run: Run) -> set[str]:
        """Return the devices on which a variant's latency has yet to be made by a worker."""
        served = {name for name in settings.latency.devices if name not in HERE}
        deployed = run.deployed(settings.timed_shape) if served else None
        if deployed is None:
            return served
        marks = self.marks(settings, deployed["fingerprint"])
        return {
            name for name in served if marks[name] is None or waits_for_worker(name, marks[name])
        }


def waits_for_worker(name: str, mark: Mark) -> bool:
    """Whether a latency has been asked for and a worker will bring it."""
    return name not in HERE and isinstance(mark, Standing) and mark.state != FAILED


def waits_here(name: str, mark: Mark) -> bool:
    """Whether a latency has been asked for and this machine is to measure it."""
    return name in HERE and isinstance(mark, Standing) and mark.state != FAILED
