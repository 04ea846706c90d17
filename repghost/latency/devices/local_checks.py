"""What `doctor` says of this machine's CPU: all that makes a number from it doubtful."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repghost.latency.devices.busy import named
from repghost.latency.devices.contract import Check, DeviceError
from repghost.latency.devices.machine import Machine, allowed_cores
from repghost.latency.devices.machine_checks import machine_checks
from repghost.latency.devices.runtime_checks import runtime_checks
from repghost.latency.record import DeviceState

if TYPE_CHECKING:
    from repghost.latency.devices.local import LocalDevice


def local_checks(device: LocalDevice, machine: Machine) -> list[Check]:
    """Look at machine, place, load and runtime; a measurement under way is left in peace."""
    try:
        holder = device.lock.other_holder()
    except DeviceError as error:
        return [Check("machine lock", "fail", str(error), "remove the file, or have it removed")]
    if holder:
        advice = "run doctor again when it has ended, for the rest of the lines"
        found = f"{holder} measures on this machine now"
        return [Check("machine lock", "warn", found, advice), *machine_checks(machine, None)]
    allowed = allowed_cores()
    try:
        with device:
            checks = _entered_checks(device, machine)
    except DeviceError as error:
        return [Check("device", "fail", str(error), "correct the setting")]
    return [Check("machine lock", "ok", "free"), cores_check(allowed), *checks]


def _entered_checks(device: LocalDevice, machine: Machine) -> list[Check]:
    """Look from within; MNN comes before the frequency, which is that of a core at work."""
    load, runtime, state = load_check(device), runtime_checks(device.mnn_version), device.state()
    core = state["core"]
    return [
        pinning_check(state),
        priority_check(state, machine),
        *machine_checks(machine, core if isinstance(core, int) else None),
        load,
        *runtime,
    ]


def pinning_check(state: DeviceState) -> Check:
    """Say whether the timed thread stays on its core."""
    if state["pinned"]:
        return Check("pinning", "ok", f"core {state['core']}")
    advice = "allow sched_setaffinity (containers: the default seccomp profile does)"
    return Check("pinning", "warn", str(state["why_not_pinned"]), advice)


def priority_check(state: DeviceState, machine: Machine) -> Check:
    """Say whether the timed thread goes before others, and before which.

    Seen with a busy process of another session on the same core: half of it is lost under any
    priority while sessions share alike, which is what autogroup makes them do.
    """
    if state["why_not_raised"] is not None:
        advice = "allow it: `ulimit -e 35`, a nice limit in limits.conf, or CAP_SYS_NICE"
        return Check("priority", "warn", str(state["why_not_raised"]), advice)
    raised = f"raised to {state['priority']}"
    if machine.number("proc/sys/kernel/sched_autogroup_enabled"):
        advice = "sudo sysctl kernel.sched_autogroup_enabled=0"
        return Check("priority", "warn", f"{raised}, among this session's processes only", advice)
    return Check("priority", "ok", raised)


def cores_check(allowed: set[int]) -> Check:
    """Say how many cores there are for the timed thread and everything else."""
    if not allowed:
        return Check("threads", "ok", "1 is timed; the system does not say on which cores")
    if len(allowed) == 1:
        advice = "one thread is timed where all else runs too: use a machine with two cores"
        return Check("threads", "warn", f"this process may use {named(allowed)} alone", advice)
    return Check("threads", "ok", f"1 is timed; this process may use {named(allowed)}")


def load_check(device: LocalDevice) -> Check:
    """Say what else runs at this moment."""
    words = device.busy_words()
    if not words:
        return Check("other load", "ok", "quiet: no other process, no steal, no pressure")
    advice = "end it, or let device.wait_s and device.busy decide what a measurement does"
    return Check("other load", "warn", "; ".join(words), advice)
