"""Many points through Hydra at the price of a few.

One composition costs 90 ms. Points that differ in plain fields alone, such as `seed` or
`model.width`, are one family: its first point is composed, the others are the same settings with
these fields set anew, through the same conversions and checks.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Self, get_args, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from repghost.settings import HYDRAS_KEYS, Settings, check_together, settings_from

SCALARS = (str, int, float, bool, NoneType)
TOP = ""  # the group of the keys that are in none
DATA = "data"  # its classes are counted in folders, and told to the model
# Of these hangs more than one field: a class, a file's digest, whether images are needed.
DECIDING = (
    "model.family",
    "model.weights",
    "model.weights_digest",
    "model.from_run",
    "recipe.epochs",
    "task.kind",
)
FILLED = ("model.num_classes", "model.weights", "model.weights_digest")  # by `settings_from`
INTERPOLATION = re.compile(r"\$\{([^{}]*)\}")
NESTED = re.compile(r"\$\{[^{}]*\$\{")


class Composer:
    """Turns lists of overrides into settings; `load` is Hydra's full composition of one list."""

    def __init__(self, load: Callable[[list[str]], DictConfig]) -> None:
        self._load = load
        self._parsed = functools.cache(_parse)
        self._references: dict[object, References] = {}
        self._bases: dict[object, Base] = {}

    def settings(self, overrides: list[str]) -> Settings:
        """Return what `overrides` compose to.

        Raises:
            ValueError: a value is not allowed, in the words of `settings_from`.
            HydraException: a key, or a group's choice, does not exist.
        """
        plain, rest = _split([self._parsed(text) for text in overrides])
        family = (tuple(override.input_line for override in rest), frozenset(plain))
        base = self._base(family, plain)
        if base is None:
            return self._composed(overrides, family, plain)
        try:
            return base.with_fields(plain)
        except (ValueError, TypeError, OmegaConfBaseException):
            return settings_from(self._load(overrides))  # which finds the words, if it is an error

    def _base(self, family: object, plain: Mapping[str, Any]) -> "Base | None":
        if references := self._references.get(family):
            return self._bases.get((family, references.among(plain)))
        return None

    def _composed(self, overrides: list[str], family: object, plain: Mapping[str, Any]) -> Settings:
        """Compose in full, and keep the outcome as a base for the rest of the family."""
        config = self._load(overrides)
        settings = settings_from(config)
        references = self._references.setdefault(family, References.of(config))
        self._bases[family, references.among(plain)] = Base(config, settings, plain)
        return settings


@dataclass(frozen=True)
class References:
    """What a config's interpolations look at; `everything` where one is made of others."""

    names: frozenset[str]
    everything: bool

    @classmethod
    def of(cls, config: DictConfig) -> Self:
        """Read them from an unresolved config, Hydra's own part left out."""
        own = OmegaConf.masked_copy(config, [str(key) for key in config if key not in HYDRAS_KEYS])
        text = " ".join(_texts(OmegaConf.to_container(own)))
        inside = " ".join(INTERPOLATION.findall(text)).replace("[", ".").replace("]", "")
        return cls(frozenset(re.findall(r"\w[\w.]*", inside)), bool(NESTED.search(text)))

    def among(self, plain: Mapping[str, Any]) -> tuple[str, ...]:
        """Return those of the fields that are looked at, with their values, as one comparable."""
        return tuple(f"{key}={plain[key]!r}" for key in sorted(plain) if self._touch(key))

    def _touch(self, key: str) -> bool:
        """Whether `key`, or a group that it is in, may be meant; a name may be relative."""
        parts = key.split(".")
        paths = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
        named = any(f".{path}".endswith(f".{name}") for path in paths for name in self.names)
        return self.everything or named


class Base:
    """One composed point of a family, from which the others are made."""

    def __init__(self, config: DictConfig, settings: Settings, plain: Mapping[str, Any]) -> None:
        self._top = Fields(settings, config, TOP)
        groups = {key.rpartition(".")[0] for key in plain} - {TOP}
        self._groups = {
            group: Fields(getattr(settings, group), config[group], group) for group in groups
        }

    def with_fields(self, plain: Mapping[str, Any]) -> Settings:
        """Return the settings of another point, checked as `settings_from` does it.

        Raises:
            ValueError, OmegaConfBaseException: a value is not allowed.
        """
        changes: dict[str, dict[str, Any]] = {group: {} for group in (TOP, *self._groups)}
        for key, value in plain.items():
            group, _, name = key.rpartition(".")
            changes[group][name] = value
        specs = {group: part.once(changes[group]) for group, part in self._groups.items()}
        settings: Settings = self._top.built(changes[TOP], **specs)
        check_together(settings)
        return settings


class Fields:
    """One dataclass's fields as they were composed, before it put any of them in other words.

    (RepGhostNetSpec replaces `module=b` by what it stands for: with that, `module=c` would clash.)
    """

    def __init__(self, spec: Any, config: DictConfig, group: str) -> None:
        self._kind = type(spec)
        self._made: dict[str, Any] = {}  # by its changes: most groups of a sweep differ rarely
        self._schema = OmegaConf.structured(self._kind)
        OmegaConf.set_readonly(self._schema, False)
        self._values = {item.name: getattr(spec, item.name) for item in fields(spec)}
        for name in _scalars(self._kind):
            if name in config and f"{group}.{name}" not in FILLED:
                self._values[name] = self._typed(name, config[name])

    def once(self, changes: Mapping[str, Any]) -> Any:
        """Return the dataclass with these fields changed; the same object for the same changes."""
        key = repr(sorted(changes.items()))
        if key not in self._made:
            self._made[key] = self.built(changes)
        return self._made[key]

    def built(self, changes: Mapping[str, Any], **parts: Any) -> Any:
        """Return the dataclass with these fields changed, and `parts` as they are."""
        typed = {name: self._typed(name, value) for name, value in changes.items()}
        return self._kind(**(self._values | typed | parts))

    def _typed(self, name: str, value: Any) -> Any:
        """Convert to the field's type as OmegaConf does."""
        self._schema[name] = value
        return self._schema[name]


def _parse(text: str) -> Override:
    """Read one override; Hydra's parser takes 0.2 ms for it."""
    (override,) = OverridesParser.create().parse_overrides([text])
    return override


def _split(overrides: Sequence[Override]) -> tuple[dict[str, Any], list[Override]]:
    """Return the plain fields with their values, and the rest, whose effect only Hydra knows."""
    plain = {override.key_or_group: override.value() for override in overrides if _plain(override)}
    rest = [override for override in overrides if not _plain(override)]
    if any(_overlap(override, key) for override in rest for key in plain):
        return {}, list(overrides)
    return plain, rest


def _plain(override: Override) -> bool:
    """Whether it gives one scalar field of the settings a value, and does nothing else."""
    key, value = override.key_or_group, override.value()
    if override.get_key_element() != key or not isinstance(value, SCALARS):
        return False
    if isinstance(value, str) and ("${" in value or value == "???"):
        return False
    group, _, name = key.rpartition(".")
    if group == DATA or key in DECIDING:
        return False
    return group == "model" or name in _plain_names(group)  # a model's: see `Fields`


def _overlap(override: Override, key: str) -> bool:
    """Whether it may concern the plain field `key` too, by other means, such as `++`."""
    own, is_choice = f"{override.key_or_group}.", isinstance(override.value(), str)
    return own.startswith(f"{key}.") or (not is_choice and f"{key}.".startswith(own))


@functools.cache
def _plain_names(group: str) -> frozenset[str]:
    """Return the scalar fields of a group of the settings; none if there is no such group."""
    kind = Settings if group == TOP else get_type_hints(Settings).get(group)
    return _scalars(kind) if is_dataclass(kind) else frozenset()


def _scalars(kind: Any) -> frozenset[str]:
    """Return the names of the fields that hold a text, a number, a boolean or null."""
    known, names = get_type_hints(kind), [item.name for item in fields(kind)]
    return frozenset(name for name in names if _is_scalar(known[name]))


def _is_scalar(hint: Any) -> bool:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return set(kinds) <= set(SCALARS)


def _texts(node: Any) -> Iterator[str]:
    """Yield every text in nested dicts and lists."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for item in node.values() if isinstance(node, dict) else node:
            yield from _texts(item)
