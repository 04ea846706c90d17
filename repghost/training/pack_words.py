"""The words of `python -m repghost.training.pack`: what to pack, where to, how."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from repghost.training.pack_index import PackSpec
from repghost.training.spec import DataSpec

OWN = {"out": str, "workers": int, "check": bool, "short": int, "encoding": str, "quality": int}


@dataclass(frozen=True)
class Asked:
    """The words: what to pack, where to, how."""

    words: Sequence[str]
    data: DataSpec
    out: Path
    spec: PackSpec
    workers: int
    check: bool


def asked_for(words: Sequence[str], conf: Path) -> Asked:
    """Return what `words` ask for.

    Raises:
        ValueError: a word is unknown, missing, or has a value that is not allowed.
    """
    values: dict[str, Any] = {}
    others = []
    for word in words:
        name, equals, value = word.partition("=")
        if name in OWN:
            values[name] = _value(word, value, OWN[name])
        elif equals and name.lstrip("+").split(".")[0] == "data":
            others.append(word)
        else:
            raise ValueError(f"{word}: a word is data=..., data.KEY=... or {'=, '.join(OWN)}=")
    if not values.get("out"):
        raise ValueError("out=FOLDER is missing: where should the shards be written?")
    workers = values.pop("workers", len(os.sched_getaffinity(0)))
    if workers < 1:
        raise ValueError(f"workers={workers}: must be at least 1")
    out, check = Path(values.pop("out")), values.pop("check", False)
    return Asked(words, _data(others, conf), out, PackSpec(**values), workers, check)


def _data(words: list[str], conf: Path) -> DataSpec:
    """Compose the settings of data as a training would."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from repghost.settings import settings_from

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        data = settings_from(compose("config", overrides=words)).data
    if data.kind != "folder":
        raise ValueError(
            f"data={data.kind}: is bundled and needs no packing; give data=imagenet or"
            " data=folder, and data.root=FOLDER"
        )
    return data


def _value(word: str, value: str, kind: type) -> Any:
    """Return a word's value as its kind, or refuse it."""
    try:
        if kind is bool:
            return {"true": True, "false": False}[value.lower()]
        return kind(value)
    except (ValueError, KeyError):
        expected = "true or false" if kind is bool else "a whole number"
        raise ValueError(f"{word}: expected {expected}") from None


def in_words(spec: PackSpec) -> str:
    """Return the words that would ask for `spec`."""
    return " ".join(f"{one.name}={getattr(spec, one.name)}" for one in fields(spec))
