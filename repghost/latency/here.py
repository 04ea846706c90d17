"""Measuring in the process that asks: a sweep serves this machine's own devices itself."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from repghost.latency.bench import Bench, Say, patiently
from repghost.latency.devices.contract import Device
from repghost.latency.queue.process import Process
from repghost.latency.queue.requests import FAILED, Requests
from repghost.latency.record import Identity
from repghost.latency.store import Store

POLL_S = 0.5
TOGETHER = 8  # networks in one session


def serve_until_done(
    identity: Identity,
    store: Store,
    device: Device,
    folder: Path,
    *,
    say: Say,
    check: Callable[[], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Serve what waits for the device until one measurement is done, here or by somebody else.

    Raises:
        ValueError: the measurement has failed, or nobody asked for it.
        DeviceError: the device cannot be timed on.
    """
    requests = Requests(store.database)
    bench = Bench(device, requests, folder, say=say, check=check, sleep=sleep)
    claim = partial(requests.claim, device.profile, device.mnn_version, Process.this(), TOGETHER)
    asked_for = partial(requests.waiting, [identity.fingerprint])
    while patiently(partial(store.find, identity), say, sleep) is None:
        check()
        if claims := patiently(claim, say, sleep):
            bench.serve(claims)
            continue
        waiting = patiently(asked_for, say, sleep)
        asked = [one for one in waiting if one.identity == identity]
        if not asked and store.find(identity):  # done between the two looks
            return
        if not asked or asked[0].state == FAILED:
            why = asked[0].why if asked else "its request is gone; run the same command again"
            raise ValueError(f"latency on {device.name}: {why}")
        sleep(POLL_S)
