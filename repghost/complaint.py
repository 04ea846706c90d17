"""What is wrong with the user's input, in one line: what was found, and what is allowed."""

import difflib
import errno
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from repghost.latency.devices.contract import DeviceError

LAUNCHER = "hydra.launcher."


def complaint(error: Exception, conf: Path, words: Sequence[str]) -> str | None:
    """Return the line for an error that the user can mend; None for one that is ours.

    `words` are those of the command line: which files of `conf` they choose decides the known keys.
    """
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full: {error.filename or error}; free some space and run it again"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; outputs=FOLDER writes elsewhere"
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _with_suggestion(str(error), conf, words)
    if isinstance(error, ValueError | DeviceError):
        return " ".join(str(error).split())
    return None


def _with_suggestion(said: str, conf: Path, words: Sequence[str]) -> str:
    """Return Hydra's message without its hints; for an unknown name, with the known ones."""
    if missing := re.search(r"Could not find '([\w/]+)/([^'/]+)'", said):
        return _no_such_file(conf, missing.group(1), missing.group(2))
    found = re.search(r"Could not override '([^']+)'|Key '([^']+)' is not in struct", said)
    if not found:
        useful = said.split("Config search path")[0].split("full_key:")[0]
        return " ".join(useful.split())
    key = found.group(1) or found.group(2)
    if key.startswith(LAUNCHER):
        from repghost.sweep.jobs.launchers import unknown_key

        chosen = "slurm" if "hydra/launcher=slurm" in words else "local"
        return unknown_key(key.removeprefix(LAUNCHER), chosen)
    return f"unknown key {key}; {_allowed(key, _keys(conf, _choices(conf, words)))}"


def _no_such_file(conf: Path, group: str, name: str) -> str:
    known = sorted(path.stem for path in (conf / group).glob("*.yaml"))
    near = difflib.get_close_matches(name, known, n=len(known), cutoff=0.0)
    return f"{group}={name}: there is none of this name; allowed are {', '.join(near)}"


def _choices(conf: Path, words: Sequence[str]) -> list[str]:
    """Return the words that choose one existing file of a group, such as model=ghostnet."""
    pairs = (word.lstrip("+").partition("=") for word in words)
    return [
        f"{group}={name}" for group, _, name in pairs if (conf / group / f"{name}.yaml").exists()
    ]


def _allowed(key: str, known: list[str]) -> str:
    """Name the keys of the group of `key`, or else the known keys that are nearest."""
    group = key.rpartition(".")[0]
    siblings = [name for name in known if group and name.rpartition(".")[0] == group]
    if siblings:
        return f"{group} has {', '.join(name.rpartition('.')[2] for name in siblings)}"
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return f"{hint}`python launch.py --help` lists all keys"


def _keys(conf: Path, choices: list[str]) -> list[str]:
    """Return every key of the config with these choices, dotted."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        return list(
            _dotted(compose("config", [c for c in choices if not c.startswith("sweeps=")]), "")
        )


def _dotted(config: DictConfig, prefix: str) -> list[str]:
    keys: list[str] = []
    for name in map(str, config):
        node: Any = config._get_node(name)
        path = f"{prefix}{name}"
        keys += _dotted(node, f"{path}.") if isinstance(node, DictConfig) else [path]
    return keys
