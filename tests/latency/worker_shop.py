"""A database of measurements and workers in processes of their own, for tests."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from repghost.latency.devices.local import LocalDevice
from repghost.latency.queue.requests import Request, Requests
from repghost.latency.queue.workers import KnownDevice, Workers
from repghost.latency.record import Budget, Identity
from repghost.latency.store import Store

ROOT = Path(__file__).parents[2]
HERE = ("device=local", "device.name=desk", "device.wait_s=0", "poll_s=0.1")
SHORT = Budget(0.05, 60, 20.0)


class Shop:
    """A database, a network to be measured, and workers in processes of their own."""

    def __init__(self, url: str, model: Path) -> None:
        self.store = Store(url)
        self.requests, self.workers = Requests(self.store.database), Workers(self.store.database)
        self.url, self._model = url, model.read_bytes()
        device = LocalDevice()
        self.here = KnownDevice(device.profile, device.mnn_version)

    def ask(
        self,
        name: str,
        budget: Budget = SHORT,
        device: KnownDevice | None = None,
        device_name: str = "desk",
    ) -> Identity:
        """Ask for a measurement; return what it will be kept under on a device that is known."""
        known = device or self.here
        identity = Identity(name, known.profile, "paired", 1, known.mnn_version, "chain")
        files = self._model, self._model
        self.requests.add(Request(identity, device_name, f"network {name}", budget, *files))
        return identity

    @contextmanager
    def worker(self, *words: str) -> Iterator["subprocess.Popen[str]"]:
        """Have a worker of this database; a later word replaces an earlier one."""
        command = [sys.executable, "-m", "repghost.latency.worker", *words]
        process = subprocess.Popen(
            [*command, f"storage.url={self.url}"],
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def is_done(self, *identities: Identity) -> bool:
        return all(self.store.find(one) for one in identities)

    def is_claimed(self) -> bool:
        return any(one.state == "claimed" for one in self.requests.waiting())

    def states(self) -> list[str]:
        return [one.state for one in self.workers.seen() if one.alive]


def wait_for(condition: Callable[[], object], seconds: float = 90.0) -> None:
    """Wait until a condition holds, for `seconds` at most."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
