"""What `doctor` looks at on a phone: from the adb server to the clock of the core."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from repghost.latency.devices.adb_build import Build
from repghost.latency.devices.adb_link import PhoneLink
from repghost.latency.devices.contract import Check, DeviceError
from repghost.latency.devices.phone import Core, Reading, busy_share, mask
from repghost.latency.devices.spec import AdbSpec

if TYPE_CHECKING:
    from repghost.latency.devices.adb import AdbDevice

WATCH_S = 1
MUCH = 0.1  # share of the core that others may use before a number is doubtful
Step = tuple[str, Callable[[], str]]


def examine(device: AdbDevice, spec: AdbSpec, phone: PhoneLink, build: Build) -> list[Check]:
    """Return one line each for everything between this machine and a good number; never raises.

    The first that fails is the last line but for what the phone says of its own state: what would
    follow needs it.
    """
    reach: list[Step] = [
        ("adb server", lambda: f"{phone.server} answers, {len(phone.attached())} attached"),
        ("phone", lambda: f"{phone.find()} is ready"),
        ("which phone", lambda: device.profile),
    ]
    checks, reached = _steps(reach)
    if not reached:
        return checks
    try:
        state = [*_state_checks(device.reading(), spec), *_core_checks(device, phone)]
    except DeviceError as error:
        state = [_failed("state", error)]
    files, _ = _steps(
        [
            ("files", lambda: f"MNN {build.version}, {build.size_mb:.1f} MB"),
            ("ABI", lambda: f"{build.check_abi(device.abis())} fits the phone"),
            ("benchmark.out", lambda: _enter(device)),
        ]
    )
    return checks + state + files


def _steps(steps: list[Step]) -> tuple[list[Check], bool]:
    """Look at one after the other, up to the first that fails; return whether all went well."""
    checks = []
    for what, look in steps:
        try:
            checks.append(Check(what, "ok", look()))
        except DeviceError as error:
            return [*checks, _failed(what, error)], False
    return checks, True


def _failed(what: str, error: DeviceError) -> Check:
    """Return the check for an error, whose line is "what was found; what to do"."""
    found, _, advice = str(error).partition("; ")
    return Check(what, "fail", found, advice)


def _enter(device: AdbDevice) -> str:
    """Push everything, start the program, and take it away again."""
    with device:
        if device.has_fixed_performance:
            return "pushed, checked and started; clocks held in fixed performance mode"
        return "pushed, checked and started; no fixed performance mode: paired ratios matter more"


def _state_checks(now: Reading, spec: AdbSpec) -> list[Check]:
    celsius, percent, heat = now.battery_c, now.battery_percent, now.thermal
    return [
        _limit(
            "battery temperature",
            None if celsius is None else celsius <= spec.max_battery_c,
            f"{celsius} C, limit {spec.max_battery_c} C",
            "let it cool: off the charger, screen off",
        ),
        _limit(
            "battery charge",
            None if percent is None else percent >= spec.min_battery_percent,
            f"{percent} %, limit {spec.min_battery_percent} %",
            "charge it",
        ),
        _limit(
            "thermal status",
            None if heat is None else heat == "none",
            str(heat),
            "let it cool: it throttles",
        ),
        _doubt("screen", now.screen, "off", "switch it off"),
        _doubt(
            "charging",
            None if now.charging is None else "yes" if now.charging else "no",
            "no",
            "a charging battery is a warm one: charge it before",
        ),
        Check("precision", "ok", "fp32 and fp16" if now.fp16 else "fp32; fp16 is run as fp32 here"),
        Check("clock resolution", "ok", "0.001 ms, means of 10 runs and more"),
    ]


def _core_checks(device: AdbDevice, phone: PhoneLink) -> list[Check]:
    (core, *_), now = device.cores(), device.reading()
    clock = now.cores.get(core, Core())
    busy = busy_share(phone.read(f"cat /proc/stat; sleep {WATCH_S}; cat /proc/stat"), core)
    found = None if busy is None else f"others use {100 * busy:.0f} % of core {core}"
    return [
        Check("core", "ok", f"{core} of {len(now.cores)}, mask {mask([core])}"),
        _frequency(core, clock),
        _governor(clock),
        _limit("other load", busy is None or busy < MUCH, found, "close what runs there", "warn"),
    ]


def _frequency(core: int, clock: Core) -> Check:
    if clock.allowed_mhz is None or clock.max_mhz is None:
        return Check("frequency", "warn", "not told", "watch the ratio's drift instead")
    found = f"core {core} may run at {clock.allowed_mhz:.0f} of {clock.max_mhz:.0f} MHz"
    if clock.allowed_mhz < clock.max_mhz:
        return Check("frequency", "warn", found, "let it cool, switch battery saver off")
    return Check("frequency", "ok", found)


def _governor(clock: Core) -> Check:
    if clock.governor == "performance":
        return Check("governor", "ok", "performance")
    advice = "only root can set performance; the warm-up of each call brings the clock up"
    return Check("governor", "warn", clock.governor or "not told", advice)


def _limit(
    what: str, fine: bool | None, found: str | None, advice: str, bad: str = "fail"
) -> Check:
    """Return the check of a number with a limit; `fine` None: the phone does not tell it."""
    if fine is None or found is None:
        return Check(what, "warn", "not told", "older than Android 10, or a board: look yourself")
    return Check(what, "ok", found) if fine else Check(what, bad, found, advice)


def _doubt(what: str, found: str | None, wanted: str, advice: str) -> Check:
    if found is None:
        return Check(what, "ok", "not told")
    return Check(what, "ok", found) if found == wanted else Check(what, "warn", found, advice)
