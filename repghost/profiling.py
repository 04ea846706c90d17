"""The operator profile of a variant's deployed network, beside that of another one."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from repghost.latency.devices.opening import open_device
from repghost.latency.profile import Subject, profile, write_profiles
from repghost.preparation import prepare, reference_network
from repghost.settings import Settings
from repghost.timing import Timings

PROFILED = "local"  # the device whose operators can be timed
Say = Callable[[str], None]


def profile_path(settings: Settings, fingerprint: str, timings: Timings) -> Path:
    """Return where the operator profile of a deployed graph on this machine is kept."""
    device = timings.device(settings, PROFILED)
    place = re.sub(r"[^a-z0-9.]+", "-", f"{device.profile} mnn-{device.mnn_version}".lower())
    return Path(settings.outputs) / "profiles" / f"{fingerprint}-{place.strip('-')}.json"


def profile_operators(settings: Settings, mnn: Path, path: Path, say: Say) -> None:
    """Time the operators on this machine, in rounds with those of another network."""
    if path.exists():
        return
    other = _counterpart(settings, mnn.parent / "counterpart.mnn")
    subjects = [Subject(settings.network.describe(), mnn, path.name.partition("-")[0]), other]
    device = open_device(settings.latency.local)
    profiles = profile(subjects, device, max_seconds=settings.latency.max_seconds)
    write_profiles(path, profiles)
    say(f"operators of {settings.network.describe()} in {path} ({profiles[0].rounds} rounds)")


def _counterpart(settings: Settings, mnn: Path) -> Subject:
    """Return the network to compare operators with: the model's own counterpart or the reference.

    What disturbs a round disturbs both: only so are their operators compared round by round.
    """
    spec = settings.model.counterpart
    if spec is None:
        reference = reference_network(settings)
        return Subject(reference.stem, reference)
    other = replace(settings, model=spec)
    found = prepare(other, mnn)
    found.certificate.require()
    return Subject(other.network.describe(), mnn, found.fingerprint)
