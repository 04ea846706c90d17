"""From a device's settings to the device; what a kind needs is imported when it is opened."""

import time
from collections.abc import Callable

from repghost.latency.devices.contract import Device
from repghost.latency.devices.machine_lock import Say, log
from repghost.latency.devices.spec import AdbSpec, CudaSpec, DeviceSpec


def open_device(
    spec: DeviceSpec, say: Say = log.warning, sleep: Callable[[float], None] = time.sleep
) -> Device:
    """Return the device; nothing is timed, and it need not be there yet.

    `say` is told what it waits for, in `sleep`, which may raise what should end the waiting.

    Raises:
        DeviceError: it cannot be reached at all, such as for want of a package.
    """
    if isinstance(spec, AdbSpec):
        from repghost.latency.devices.adb import AdbDevice

        return AdbDevice(spec)
    if isinstance(spec, CudaSpec):
        from repghost.latency.devices.cuda import CudaDevice

        return CudaDevice(spec, say=say, sleep=sleep)
    from repghost.latency.devices.local import LocalDevice

    return LocalDevice(spec, say=say, sleep=sleep)
