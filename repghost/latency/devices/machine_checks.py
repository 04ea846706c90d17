"""What `doctor` reads of this machine: speed, heat, neighbours; files only, nothing is run."""

from repghost.latency.devices.busy import named
from repghost.latency.devices.contract import Check
from repghost.latency.devices.machine import CPU, Machine

STEADY = ("performance", "userspace")
SLOWED = 0.95  # of the highest frequency
GOOD_CLOCKS = ("tsc", "arch_sys_counter", "kvm-clock")
TURBOS = {f"{CPU}/intel_pstate/no_turbo": "0", f"{CPU}/cpufreq/boost": "1"}  # file -> turbo is on


def machine_checks(machine: Machine, core: int | None) -> list[Check]:
    """Look at all that changes the speed of a core, or shares it; `core` None: at core 0."""
    which = core or 0
    checks = [governor(machine, which), frequency(machine, which), turbo(machine)]
    checks += [throttling(machine, which), siblings(machine, which), quota(machine)]
    return [*checks, clock_source(machine)]


def governor(machine: Machine, core: int) -> Check:
    """Look at who decides on the frequency of the core."""
    found = machine.cpufreq(core, "scaling_governor")
    if found is None:
        where = "a virtual machine" if machine.is_virtual() else "this system"
        advice = "the frequency may change unseen: trust ratios rather than milliseconds"
        return Check("governor", "warn", f"{where} does not show it", advice)
    if found in STEADY:
        return Check("governor", "ok", found)
    advice = "sudo cpupower frequency-set -g performance"
    return Check("governor", "warn", f"{found} changes the frequency as it goes", advice)


def frequency(machine: Machine, core: int) -> Check:
    """Compare the frequency of the core, just used, with its highest and with what is allowed."""
    now, most = machine.mhz(core, "scaling_cur_freq"), machine.mhz(core, "cpuinfo_max_freq")
    allowed = machine.mhz(core, "scaling_max_freq")
    if now is None or most is None:
        return Check("frequency", "ok", "not shown here")
    found = f"{now:.0f} of {most:.0f} MHz"
    if allowed is not None and allowed < SLOWED * most:
        advice = f"it is held at {allowed:.0f} MHz; fine if that is wanted and kept"
        return Check("frequency", "warn", found, advice)
    if now < SLOWED * most:
        return Check("frequency", "warn", found, "see governor and throttling; let it cool down")
    return Check("frequency", "ok", found)


def turbo(machine: Machine) -> Check:
    """Look whether the core may run faster for as long as heat and neighbours allow."""
    for path, on in TURBOS.items():
        found = machine.read(path)
        if found is not None:
            if found != on:
                return Check("turbo", "ok", "off")
            off = "1" if on == "0" else "0"
            advice = f"it ends with heat and other load: echo {off} | sudo tee /{path}"
            return Check("turbo", "warn", "on", advice)
    return Check("turbo", "ok", "not shown here")


def throttling(machine: Machine, core: int) -> Check:
    """Look whether heat slows the core now, or has done so since the start."""
    now = [
        path for path in machine.paths("sys/class/thermal/cooling_device*") if _cools(machine, path)
    ]
    if now:
        found = f"{len(now)} cooling devices slow the processor now"
        return Check("throttling", "warn", found, "let it cool down, or cool it better")
    files = ("core_throttle_count", "package_throttle_count")
    counts = [machine.number(f"{CPU}/cpu{core}/thermal_throttle/{file}") for file in files]
    known = [count for count in counts if count is not None]
    if sum(known) > 0:
        found = f"slowed by heat {sum(known):.0f} times since the start"
        return Check("throttling", "warn", found, "cool it better; run doctor again under load")
    return Check("throttling", "ok", "none since the start" if known else "not shown here")


def _cools(machine: Machine, device: str) -> bool:
    kind = (machine.read(f"{device}/type") or "").lower()
    is_processor = "cpufreq" in kind or kind == "processor"
    return is_processor and (machine.number(f"{device}/cur_state") or 0) > 0


def siblings(machine: Machine, core: int) -> Check:
    """Look whether another hardware thread shares the core."""
    others = machine.siblings(core)
    if not others:
        return Check("SMT", "ok", f"core {core} is shared with no other thread")
    advice = f"keep {named(others)} idle, or echo off | sudo tee /{CPU}/smt/control"
    return Check("SMT", "warn", f"core {core} shares its units with {named(others)}", advice)


def quota(machine: Machine) -> Check:
    """Look whether a container's quota stops us when its time is used up."""
    cores = machine.quota_cores()
    if cores is None:
        return Check("CPU quota", "ok", "none")
    stopped = machine.stopped_s() or 0.0
    found = f"{cores:g} cores' worth; it has stopped this container for {stopped:.1f} s"
    if cores >= 2 and stopped == 0:
        return Check("CPU quota", "ok", found)
    advice = "give the container a whole core of its own (cpuset), without a quota"
    return Check("CPU quota", "warn", found, advice)


def clock_source(machine: Machine) -> Check:
    """Look which hardware the clock is read from."""
    found = machine.read("sys/devices/system/clocksource/clocksource0/current_clocksource")
    if found is None or found in GOOD_CLOCKS:
        return Check("clock source", "ok", found or "not shown here")
    return Check("clock source", "warn", found, "boot with clocksource=tsc if the machine has it")
