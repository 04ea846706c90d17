"""Whether a phone's state allows a measurement, and what makes it doubtful; in words."""

from repghost.latency.devices.phone import Reading
from repghost.latency.devices.spec import AdbSpec


def is_hopeless(reading: Reading, spec: AdbSpec) -> bool:
    """Return whether waiting is in vain: a battery that is low, and not being charged."""
    return reading.charging is False and _is_low(reading, spec)


def unfit(reading: Reading, spec: AdbSpec) -> str:
    """Return why nothing should be timed in this state, "" if it may."""
    celsius, percent = reading.battery_c, reading.battery_percent
    if percent is not None and _is_low(reading, spec):
        needed = f"needed are {spec.min_battery_percent:.0f} %"
        return f"its battery is charged to {percent:.0f} %, {needed}; charge it"
    if celsius is not None and celsius > spec.max_battery_c:
        allowed = f"allowed are {spec.max_battery_c:.1f} C"
        return f"its battery is at {celsius:.1f} C, {allowed}; let it cool"
    if reading.thermal not in (None, "none"):
        return f"it throttles for heat (thermal status {reading.thermal}); let it cool"
    return ""


def doubts(reading: Reading, core: int) -> list[str]:
    """Return in words what does not forbid a measurement and yet may move it."""
    clock = reading.cores.get(core)
    found = ["the screen is on"] if reading.screen == "on" else []
    if reading.charging:
        found.append("the battery is being charged")
    if reading.thermal is None:
        found.append("it does not tell its thermal status")
    if clock is None:
        found.append(f"it does not tell the clock of core {core}")
    elif clock.allowed_mhz and clock.max_mhz and clock.allowed_mhz < clock.max_mhz:
        capped = f"{clock.allowed_mhz:.0f} of {clock.max_mhz:.0f} MHz"
        found.append(f"core {core} is capped at {capped}")
    return found


def _is_low(reading: Reading, spec: AdbSpec) -> bool:
    percent = reading.battery_percent
    return percent is not None and percent < spec.min_battery_percent
