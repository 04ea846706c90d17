"""`python -m repghost.latency profile`: from words to profiles, shown and written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from repghost.atomic import write_text
from repghost.latency.devices.opening import open_device
from repghost.latency.devices.spec import device_spec
from repghost.latency.profile import Profile, Subject, profile, write_profiles

if TYPE_CHECKING:
    from rich.console import Console

    from repghost.settings import Settings

CONF = Path(__file__).resolve().parents[2] / "conf"
DEFAULTS = ("data=imagenet", "recipe=none")
OWN_WORDS = re.compile(r"[+~]*model([.@=]|$)")  # what the second network does not take over
DEVICE = re.compile(r"device[.=]")
MNN_FILE = ".mnn"
SLOWEST = 20  # operators that --layers shows
NON_TERMINAL_WIDTH = 120


@dataclass(frozen=True)
class Asked:
    """The words of one or two networks, and how to profile them."""

    words: list[str]
    against: list[str]
    rounds: int
    layers: bool
    outputs: str


def profile_command(asked: Asked) -> None:
    """Profile the networks asked for, print the tables and write JSON and SVG.

    Raises:
        ValueError: a word or a network is refused, with one clear line.
    """
    if asked.rounds < 1:
        raise ValueError(f"--rounds {asked.rounds}: must be a whole number of at least 1")
    words, more = _split(asked.words), _split(asked.against)
    devices = [word for word in words if DEVICE.match(word)]
    words = [word for word in words if word not in devices]
    device = open_device(device_spec(devices))
    shared = [word for word in words if not (OWN_WORDS.match(word) or _is_file(word))]
    choices = [_choice(words)]  # all words are checked before anything is built
    if more:
        choices.append(_choice(more if any(map(_is_file, more)) else [*shared, *more]))
    console = _console()
    with TemporaryDirectory(prefix="repghost-profile-") as folder, console.status("") as status:
        subjects = []
        for i, choice in enumerate(choices):
            status.update(f"preparing network {i + 1} of {len(choices)}")
            subjects.append(_subject(choice, Path(folder) / f"{i}.mnn"))

        def on_round(done: int) -> None:
            status.update(f"round {done} of {asked.rounds}")

        profiles = profile(subjects, device, asked.rounds, on_round=on_round)
    _show(profiles, SLOWEST if asked.layers else 0, console)
    _write(profiles, Path(asked.outputs) / "profiles", console)


def _split(words: Sequence[str]) -> list[str]:
    """Return the words one by one: "a=1 b=2" in quotes is two; a path may hold spaces."""
    return [part for word in words for part in ([word] if _is_file(word) else shlex.split(word))]


def _is_file(word: str) -> bool:
    return word.endswith(MNN_FILE) and "=" not in word


def _choice(words: Sequence[str]) -> Path | Settings:
    """Return one network as asked for: a `.mnn` file as it is, or settings to make one from."""
    wrong = [word for word in words if not (_is_file(word) or "=" in word or word[:1] == "~")]
    if wrong:
        raise ValueError(f"{wrong[0]}: neither a setting key=value nor a {MNN_FILE} file")
    if not any(map(_is_file, words)):
        return _settings(words)
    if len(words) > 1:
        said = " ".join(words)
        raise ValueError(f"{said}: a {MNN_FILE} file is taken as it is, alone, without settings")
    return Path(words[0])


def _settings(words: Sequence[str]) -> Settings:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from repghost.settings import settings_from

    swept = [
        one
        for one in OverridesParser.create().parse_overrides(list(words))
        if one.is_sweep_override()
    ]
    if swept:
        raise ValueError(f"{swept[0].input_line}: a profile is of one network, give one value")
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return settings_from(compose("config", overrides=[*DEFAULTS, *words]))


def _subject(choice: Path | Settings, mnn: Path) -> Subject:
    """Return the network to profile; made from settings, it is certified first."""
    if isinstance(choice, Path):
        return Subject(choice.stem, choice)
    from repghost.preparation import prepare

    prepared = prepare(choice, mnn)
    prepared.certificate.require()
    return Subject(choice.model.describe(), mnn, prepared.fingerprint)


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=NON_TERMINAL_WIDTH)
    return console


def _show(profiles: Sequence[Profile], slowest: int, console: Console) -> None:
    from analysis.operators import summary

    for part in summary(profiles, slowest):
        console.print(part)


def _write(profiles: Sequence[Profile], folder: Path, console: Console) -> None:
    from analysis.operators_picture import picture

    path = folder / f"{_slug(profiles)}.json"
    write_profiles(path, profiles)
    write_text(path.with_suffix(".svg"), picture(profiles))
    for written in (path, path.with_suffix(".svg")):
        console.print(str(written), markup=False, soft_wrap=True)


def _slug(profiles: Sequence[Profile]) -> str:
    """Return a name for files: the networks and their input, such as "a-vs-b-1x3x224x224"."""
    shapes = dict.fromkeys("x".join(map(str, one.input_shape)) for one in profiles)
    names = " vs ".join(one.network for one in profiles)
    return re.sub(r"[^a-z0-9.]+", "-", f"{names} {' '.join(shapes)}".lower()).strip("-.")
