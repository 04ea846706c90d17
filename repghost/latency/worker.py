"""`latency-worker`: stands beside one device, measures what the queue has for it, and goes on.

Kill it at any moment: what it held is measured by the next one. SIGTERM lets it finish the sample
and give back what it holds. Imports no torch.
"""

import contextlib
import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from repghost.interrupt import Interrupted, Stop
from repghost.latency.bench import Bench, Say, patiently
from repghost.latency.devices.contract import Device, DeviceError
from repghost.latency.devices.opening import open_device
from repghost.latency.devices.spec import (
    DeviceSpec,
    kind_of,
    unit_of,
)
from repghost.latency.pulse import pulsing
from repghost.latency.queue.database import Database, StoreError
from repghost.latency.queue.process import Process
from repghost.latency.queue.requests import Claim, Requests
from repghost.latency.queue.workers import (
    GONE,
    MOST_FAILURES,
    QUARANTINED,
    Announcement,
    KnownDevice,
)
from repghost.latency.worker_words import WorkerSpec, help_text, parsed

BEAT_S = 5.0
PROBE_S, LONGEST_PROBE_S = 10.0, 60.0  # between two looks at a device that is not fit
IDLE, MEASURING, NO_DEVICE = "idle", "measuring", "no device"


class Worker:
    """One device, one process, one loop."""

    def __init__(self, spec: WorkerSpec, chosen: DeviceSpec, say: Say, stop: Stop) -> None:
        self._spec, self._chosen, self._say, self._stop = spec, chosen, say, stop
        self._database = Database(spec.url)
        self._requests = Requests(self._database, spec.lease_s)
        self._row = Announcement(self._database, chosen.name, unit_of(chosen), kind_of(chosen))
        self._state, self._doing, self._failures = IDLE, "", 0
        self._displaced = threading.Event()

    def run(self) -> int:
        """Serve until told to end; return the exit code."""
        with pulsing(BEAT_S, self._beat, "heartbeat"), _folder() as folder:
            try:
                self._serve(self._opened(), folder)
            except Interrupted as told:
                self._say(f"{told}; what was not measured is back in the queue")
            finally:
                self._set(GONE, "")
                with contextlib.suppress(StoreError):
                    self._row.beat(GONE, "", self._failures)
        return 0

    def _opened(self) -> Device:
        """Return the device, announced; wait for one that is not there."""
        pause_s = PROBE_S
        while True:
            try:
                device = open_device(self._chosen, self._say, self._sleep)
                known = KnownDevice(device.profile, device.mnn_version)
            except DeviceError as error:
                self._say(f"{self._chosen.name}: {error}")
                self._set(NO_DEVICE, str(error))
                self._announce(None)
                self._sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PROBE_S)
                continue
            self._failures = self._announce(known)
            self._say(f"{self._chosen.name}: {known.profile}, MNN {known.mnn_version}")
            self._set(IDLE, "")
            return device

    def _announce(self, known: KnownDevice | None) -> int:
        def announce() -> int:
            return self._row.announce(known, self._state, self._doing)

        return patiently(announce, self._say, self._sleep)

    def _serve(self, device: Device, folder: Path) -> None:
        bench = Bench(
            *(device, self._requests, folder),
            say=self._say,
            check=self._check,
            sleep=self._sleep,
        )
        while True:
            self._check()
            if self._failures >= MOST_FAILURES:
                self._wait_in_quarantine(device)
            claims = patiently(lambda: self._claim(device), self._say, self._sleep)
            if not claims:
                if self._spec.once:
                    return
                self._set(IDLE, "")
                self._sleep(self._spec.poll_s)
                continue
            names = ", ".join(claim.label for claim in claims)
            self._say(f"measuring {names}")
            self._set(MEASURING, names)
            try:
                bench.serve(claims)
                self._failures = 0
            except DeviceError as error:
                self._failed(error)
            for file in folder.iterdir():
                file.unlink()

    def _claim(self, device: Device) -> list[Claim]:
        most = self._spec.together
        return self._requests.claim(device.profile, device.mnn_version, Process.this(), most)

    def _failed(self, error: DeviceError) -> None:
        self._failures += 1
        self._say(f"{self._chosen.name}: {error} ({self._failures} in a row); back in the queue")
        self._set(IDLE, str(error))
        if self._failures < MOST_FAILURES:
            self._sleep(min(2.0**self._failures, LONGEST_PROBE_S))

    def _wait_in_quarantine(self, device: Device) -> None:
        """Take nothing from the queue until the device passes its checks again."""
        pause_s = PROBE_S
        self._set(QUARANTINED, self._doing)
        self._say(f"{self._chosen.name}: in quarantine after {self._failures} failures in a row")
        while bad := [check for check in device.checks() if check.level == "fail"]:
            self._set(QUARANTINED, f"{bad[0].what}: {bad[0].found}")
            self._sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PROBE_S)
        self._say(f"{self._chosen.name}: passes its checks again")
        self._failures = 0
        self._set(IDLE, "")

    def _check(self) -> None:
        self._stop.obey()
        if self._displaced.is_set():
            raise Interrupted("another worker serves this device now")

    def _sleep(self, seconds: float) -> None:
        """Sleep, and wake up at once when told to end."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check()
            time.sleep(min(left, 0.2))

    def _set(self, state: str, doing: str) -> None:
        """Note what it does; the row follows at once where the database answers."""
        if (state, doing) != (self._state, self._doing):
            self._state, self._doing = state, doing
            self._beat()

    def _beat(self) -> None:
        with contextlib.suppress(StoreError):  # the database is away: the next one may arrive
            if not self._row.beat(self._state, self._doing, self._failures):
                self._displaced.set()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Have a folder for networks; those of workers that were killed on this host are removed."""
    mine = f"latency-worker-{platform.node()}-"
    for left in Path(tempfile.gettempdir()).glob(f"{mine}*"):
        pid = left.name.removeprefix(mine).partition("-")[0]
        if pid.isdigit() and Process(platform.node(), int(pid)).is_dead:
            shutil.rmtree(left, ignore_errors=True)  # it may be another user's
    with tempfile.TemporaryDirectory(prefix=f"{mine}{os.getpid()}-") as folder:
        yield Path(folder)


def main(words: Sequence[str] | None = None) -> int:
    """Run a worker; return the exit code: 2 with one line for bad input."""
    words = sys.argv[1:] if words is None else words
    if {"--help", "-h"} & set(words):
        print(help_text())
        return 0
    stop = Stop()
    stop.listen()
    signal.signal(signal.SIGINT, _drain_first(stop))
    try:
        spec, chosen = parsed(words)
        with stop.deferred():
            return Worker(spec, chosen, _say, stop).run() or (130 if stop.asked == "SIGINT" else 0)
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _drain_first(stop: Stop) -> Callable[[int, FrameType | None], None]:
    """The first Ctrl-C is like SIGTERM, the second ends at once."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = "SIGINT"

    return handle


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
