"""What a sweep says of the devices that workers serve: at once, and when something changes."""

import time
from collections.abc import Callable, Iterable, Mapping

from repghost.latency.devices.spec import HERE
from repghost.latency.queue.database import StoreError
from repghost.latency.queue.workers import QUARANTINED, Seen, Workers
from repghost.settings import Settings

LOOK_S = 5.0  # between two looks at the workers


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
        self._workers, self._url, self._clock = workers, url, clock
        self._next = 0.0
        self._said: dict[str, str] = {}
        self._seen: list[Seen] = []

    def is_served(self, name: str) -> bool:
        """Whether a worker is there that takes measurements for this device."""
        self._look()
        return any(one.name == name and _serves(one) for one in self._seen)

    def notices(self) -> list[str]:
        """Return a line for each device of which there is something new to say."""
        if not self.names:
            return []
        self._look()
        now = {name: self._line(name) for name in self.names}
        new = [line for name, line in now.items() if self._said.get(name) != line]
        self._said = now
        return new

    def _look(self) -> None:
        if self.names and self._clock() >= self._next:
            try:
                self._seen = self._workers.seen(self.names)
            except StoreError:
                return  # who needs the answer asks again, and others say that it is away
            self._next = self._clock() + LOOK_S

    def _line(self, name: str) -> str:
        mine = [one for one in self._seen if one.name == name]
        if serving := [one for one in mine if _serves(one)]:
            places = ", ".join(f"process {one.pid} on {one.host}" for one in serving)
            return f"device {name}: served by {places}"
        if ill := [one for one in mine if one.alive]:
            return f"device {name}: {ill[0].state}, {ill[0].doing}"
        return (
            f"device {name}: no worker serves it; what does not depend on it goes on; start one:"
            f" latency-worker device=local|adb device.name={name} storage.url={self._url}"
        )


def left_to_workers(counts: Mapping[str, int]) -> list[str]:
    """Say how many measurements of further devices are still to come."""
    return [
        f"{count} measurement{'' if count == 1 else 's'} on {name} still to come: run the same"
        " command again when a worker has made them"
        for name, count in counts.items()
    ]


def _serves(one: Seen) -> bool:
    return one.alive and one.profile is not None and one.state != QUARANTINED
