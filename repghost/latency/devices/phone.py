"""What a phone says of itself: battery, heat, screen, cores; from the text of Android's tools."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

CPUS = "/sys/devices/system/cpu"
CPUFREQ = ("cpuinfo_max_freq", "scaling_max_freq", "scaling_cur_freq", "scaling_governor")
PART = "repghost-part:"
PROPERTIES = {  # the first that the phone has counts
    "maker": ("ro.product.manufacturer", "ro.product.brand"),
    "model": ("ro.product.model", "ro.product.device"),
    "soc": ("ro.soc.model", "ro.board.platform", "ro.hardware"),
    "abis": ("ro.product.cpu.abilist", "ro.product.cpu.abi"),
    "sdk": ("ro.build.version.sdk",),
}
THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
CHARGING = "2"  # Android's BATTERY_STATUS_CHARGING
# One call for all: each costs tens of milliseconds. `grep` on two files or more names each file.
READ = "; ".join(
    (
        f"echo {PART}battery; dumpsys battery 2>/dev/null",
        f"echo {PART}thermal; dumpsys thermalservice 2>/dev/null | grep 'Thermal Status'",
        f"echo {PART}power; dumpsys power 2>/dev/null | grep -E 'Display Power|mWakefulness='",
        f"echo {PART}cpus; grep . /dev/null "
        + " ".join(f"{CPUS}/cpu[0-9]*/cpufreq/{name}" for name in CPUFREQ)
        + " 2>/dev/null",
        f"echo {PART}fp16; grep -c -m 1 asimdhp /proc/cpuinfo",
        "true",
    )
)
IDENTIFY = "; ".join(
    f"echo {PART}{name}; getprop {name}" for row in PROPERTIES.values() for name in row
)


@dataclass(frozen=True)
class Core:
    """The clock of one core as the kernel tells it, in MHz; None where it does not."""

    max_mhz: float | None = None
    allowed_mhz: float | None = None
    now_mhz: float | None = None
    governor: str | None = None


@dataclass(frozen=True)
class Reading:
    """A phone's state at one moment; None where it does not tell (boards have no battery)."""

    battery_percent: float | None = None
    battery_c: float | None = None
    charging: bool | None = None
    thermal: str | None = None
    screen: str | None = None
    fp16: bool = False
    cores: Mapping[int, Core] = field(default_factory=dict)

    def fastest(self, count: int, first: int | None = None) -> tuple[int, ...]:
        """Return `count` cores (fewer where it has fewer), the fastest ones; `first` is among them.

        Equally fast ones are taken from the end: the first cores serve the system's interrupts.
        """
        order = sorted(self.cores, key=lambda core: (self.cores[core].max_mhz or 0.0, core))
        chosen = [] if first is None else [first]
        chosen += [core for core in reversed(order) if core != first]
        return tuple(chosen[:count])


def parse_properties(text: str) -> dict[str, str]:
    """Return the keys of PROPERTIES -> the value, "" where the phone has none; from IDENTIFY."""
    values = {name: " ".join(value.split()) for name, value in _parts(text).items()}
    return {
        key: next((values[name] for name in names if values.get(name)), "")
        for key, names in PROPERTIES.items()
    }


def parse_reading(text: str) -> Reading:
    """Return what the text of READ says."""
    parts = _parts(text)
    battery = dict(re.findall(r"^\s*([\w ]+): (\S+)\s*$", parts.get("battery", ""), re.MULTILINE))
    has_battery = battery.get("present", "true") == "true" and "temperature" in battery
    level, scale = _number(battery.get("level")), _number(battery.get("scale")) or 100.0
    tenths = _number(battery.get("temperature"))
    return Reading(
        battery_percent=100 * level / scale if has_battery and level is not None else None,
        battery_c=tenths / 10 if has_battery and tenths is not None else None,
        charging=battery.get("status") == CHARGING if has_battery else None,
        thermal=_thermal(parts.get("thermal", "")),
        screen=_screen(parts.get("power", "")),
        fp16=parts.get("fp16", "").strip() == "1",
        cores=_cores(parts.get("cpus", "")),
    )


def mask(cores: Sequence[int]) -> str:
    """Return the hex mask of some cores as `taskset` takes it: core 7 is "80"."""
    return f"{sum(1 << core for core in cores):x}"


def busy_share(twice: str, core: int) -> float | None:
    """Return the share of time that a core was not idle between two texts of /proc/stat in one.

    None where the text does not tell it.
    """
    rows = re.findall(rf"^cpu{core} (.+)$", twice, re.MULTILINE)
    if len(rows) != 2:
        return None
    before, after = ([int(tick) for tick in row.split()[:8]] for row in rows)
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return 1 - sum(spent[3:5]) / sum(spent) if sum(spent) else 0.0


def _parts(text: str) -> dict[str, str]:
    """Return name -> what follows the line that PART begins, up to the next one."""
    pieces = re.split(rf"^{PART}(\S+)\n?", text, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def _thermal(text: str) -> str | None:
    found = re.search(r"Thermal Status: (\d+)", text)
    return THERMAL[min(int(found.group(1)), len(THERMAL) - 1)] if found else None


def _screen(text: str) -> str | None:
    found = re.search(r"Display Power: state=(\w+)", text)
    if found:
        return "off" if found.group(1) == "OFF" else "on"
    found = re.search(r"mWakefulness=(\w+)", text)
    return None if not found else "on" if found.group(1) == "Awake" else "off"


def _cores(text: str) -> dict[int, Core]:
    told: dict[int, dict[str, str]] = {}
    for core, name, value in re.findall(r"/cpu(\d+)/cpufreq/(\w+):(\S+)", text):
        told.setdefault(int(core), {})[name] = value
    return {
        core: Core(
            _mhz(row.get("cpuinfo_max_freq")),
            _mhz(row.get("scaling_max_freq")),
            _mhz(row.get("scaling_cur_freq")),
            row.get("scaling_governor"),
        )
        for core, row in told.items()
    }


def _mhz(khz: str | None) -> float | None:
    number = _number(khz)
    return None if number is None else number / 1000


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"-?\d+", text) else None
