"""What a sweep says of the devices that workers serve: at once, and when something changes."""

import shlex
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from repghost.latency.devices.spec import HERE
from repghost.latency.queue.database import StoreError
from repghost.latency.queue.workers import QUARANTINED, Seen, Workers
from repghost.settings import Settings
from repghost.words import counted

LOOK_S = 5.0  # between two looks at the workers
SQLITE, ELSEWHERE = "sqlite:///", ("/", ":memory:", "file:")  # what no folder changes


class WorkerWatch:
    """Says which of a sweep's devices nobody serves, and when that changes."""

    def __init__(
        self,
        workers: Workers,
        settings: Iterable[Settings],
        url: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        names = (name for one in settings for name in one.latency.devices)
        self.names = [name for name in dict.fromkeys(names) if name not in HERE]
        self._workers, self._clock = workers, clock
        self._where = f"storage.url={from_anywhere(url)}"
        self._next, self._is_new = 0.0, False
        self._said = dict.fromkeys(self.names, "")
        self._seen: list[Seen] = []

    def is_served(self, name: str) -> bool:
        """Whether a worker is there that takes measurements for this device."""
        self._look()
        return any(one.name == name and _serves(one) for one in self._seen)

    def notices(self, needed: Callable[[], Collection[str]]) -> list[str]:
        """Return a line for each device that is `needed` and of which there is something new.

        `needed` is asked after a look at the workers, where one of them has changed.
        """
        if not self._look():
            return []
        self._is_new = False
        new = {name: line for name in self.names if (line := self._line(name)) != self._said[name]}
        if new:
            wanted = needed()
            new = {name: line for name, line in new.items() if name in wanted}
        self._said |= new
        return list(new.values())

    def _look(self) -> bool:
        """Look at the workers now and then; return whether there is something new to look at."""
        if self.names and self._clock() >= self._next:
            try:
                self._seen = self._workers.seen(self.names)
            except StoreError:
                return False  # who needs the answer asks again, and others say that it is away
            self._next, self._is_new = self._clock() + LOOK_S, True
        return self._is_new

    def _line(self, name: str) -> str:
        mine = [one for one in self._seen if one.name == name]
        if serving := [one for one in mine if _serves(one)]:
            places = ", ".join(f"process {one.pid} on {one.host}" for one in serving)
            return f"device {name}: served by {places}"
        if ill := [one for one in mine if one.alive]:
            return f"device {name}: {ill[0].state}, {ill[0].doing}"
        return (
            f"device {name}: no worker serves it; what does not depend on it goes on; start one"
            " (with device=adb ... for a phone):"
            f" latency-worker device=local device.name={name} {shlex.quote(self._where)}"
        )


def from_anywhere(url: str) -> str:
    """Return a `storage.url` that means the same database from every folder."""
    path = url.removeprefix(SQLITE)
    if not url.startswith(SQLITE) or not path or path.startswith(ELSEWHERE):
        return url
    return f"{SQLITE}{Path(path).absolute()}"


def left_to_workers(counts: Mapping[str, int]) -> list[str]:
    """Say how many measurements of further devices are still to come."""
    return [
        f"{counted(count, 'measurement')} on {name} still to come: run the same"
        " command again when a worker has made them"
        for name, count in counts.items()
    ]


def _serves(one: Seen) -> bool:
    return one.alive and one.profile is not None and one.state != QUARANTINED
