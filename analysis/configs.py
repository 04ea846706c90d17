"""The runs' config.yaml files: flat, and what one has that another has not."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from analysis.results import Results, Row

Config = Mapping[str, str]  # "model.width" -> "0.5", as it is typed on the command line
NOT_SET = "-"
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where it is built


def read_configs(results: Results) -> dict[str, Config]:
    """Return each run's flat config by key; a run whose file cannot be read has none."""
    found = {
        row.key: read_config(results.runs_dir / row.key / "config.yaml") for row in results.rows
    }
    return {key: config for key, config in found.items() if config}


def read_config(path: Path) -> Config:
    """Return a config.yaml with dotted keys, {} where there is none that can be read."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return dict(_flat(tree, "")) if isinstance(tree, dict) else {}


def differences(config: Config, base: Config) -> list[tuple[str, str, str]]:
    """Return (key, value in `base`, value here) of all that differs, in the order of the files."""
    keys = dict.fromkeys([*base, *config])
    pairs = ((key, base.get(key, NOT_SET), config.get(key, NOT_SET)) for key in keys)
    return [(key, before, now) for key, before, now in pairs if before != now]


def common(configs: Iterable[Config]) -> Config:
    """Return what all of them agree on."""
    first, *others = list(configs) or [{}]
    return {k: v for k, v in first.items() if all(one.get(k) == v for one in others)}


def baseline(results: Results) -> Row:
    """Return the run that others are compared with: the first one of the file.

    A sweep writes its values in the order of the command, so that is each key's first value.
    """
    return results.rows[0]


def _flat(value: object, name: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else str(key))
    else:
        yield name, _text(value)


def _text(value: object) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
