"""Combinations that a sweep leaves out: `exclude: ["model.module=a model.reparam=bn"]`."""

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Self

from repghost.models.registry import FAMILIES
from repghost.models.spec import ModelSpec
from repghost.settings import Settings

Scalar = str | int | float | bool | None
WORD = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
TERM = re.compile(r"([^\s=!<>]+)(!=|<=|>=|=|<|>)(.+)")
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
FORM = (
    'write KEY OP VALUE[,VALUE...] without spaces, joined by spaces for "and", such as'
    ' "model.module=a model.width>1"; OP is one of = != < <= > >='
)


@dataclass(frozen=True)
class Term:
    """One comparison; with `=` any of the values will do, with `!=` none may."""

    key: str
    op: str
    values: tuple[Scalar, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "KEY OP VALUE[,VALUE...]".

        Raises:
            ValueError: it has another form, or compares the size of what is no number.
        """
        found = TERM.fullmatch(text)
        if not found:
            raise ValueError(f"{text!r} is no comparison; {FORM}")
        key, op, right = found.groups()
        values = tuple(scalar(part) for part in right.split(","))
        if op in ORDERS and (len(values) > 1 or not _is_number(values[0])):
            raise ValueError(f"{text!r}: {op} needs one number on its right")
        return cls(key.lstrip("+"), op, values)

    def meets(self, given: Mapping[str, Scalar], composed: Sequence[Scalar]) -> bool:
        """Whether the term holds; on a key that a combination does not have it does not.

        `given` is what the user wrote, which a spec may have put in other words (`composed`): = < >
        hold for either; != looks at the user's own word where there is one.
        """
        own = [given[self.key]] if self.key in given else []
        if self.op == "!=":
            seen = own or composed
            return bool(seen) and not any(same(a, b) for a in seen for b in self.values)
        seen = [*own, *composed]
        if self.op == "=":
            return any(same(a, b) for a in seen for b in self.values)
        return any(ORDERS[self.op](a, self.values[0]) for a in seen if _is_number(a))


@dataclass(frozen=True)
class Exclude:
    """Expressions, each a conjunction of terms; what meets one of them is left out."""

    expressions: Mapping[str, tuple[Term, ...]]

    @classmethod
    def parse(cls, texts: Iterable[str], given: Iterable[str] = ()) -> Self:
        """Read expressions; `given` are keys that the sweep names beside those of the settings.

        Raises:
            ValueError: an expression cannot be read, or names an unknown key.
        """
        known = sorted({*_known_keys(), *given})
        return cls({text: tuple(_terms(text, known)) for text in texts})

    def hits(self, given: Mapping[str, Scalar], settings: Settings | None = None) -> list[str]:
        """Return the expressions that a combination meets.

        Without `settings` these are only those that `given` alone decides: what it composes to may
        not be allowed, and be left out for that.
        """
        return [
            text
            for text, terms in self.expressions.items()
            if all(term.meets(given, _composed(settings, term.key)) for term in terms)
        ]


def scalar(text: str) -> Scalar:
    """Return the number, boolean, null or string that an override's text stands for."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    known: dict[str, Scalar] = {"true": True, "false": False, "null": None}
    return known.get(text.lower(), text.strip("'\""))


def same(one: Scalar, other: Scalar) -> bool:
    """Whether two values are equal: numbers as numbers, and true is not 1."""
    if _is_number(one) and _is_number(other):
        return one == other
    if isinstance(one, bool | None) or isinstance(other, bool | None):
        return one is other
    return str(one) == str(other)


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _terms(text: str, known: Sequence[str]) -> list[Term]:
    """Read one expression.

    Raises:
        ValueError: see `Exclude.parse`.
    """
    try:
        terms = [Term.parse(word) for word in WORD.findall(text)]
        if not terms:
            raise ValueError(f"nothing in it; {FORM}")
    except ValueError as error:
        raise ValueError(f"exclude {text!r}: {error}") from None
    for term in terms:
        if term.key not in known:
            near = difflib.get_close_matches(term.key, known, n=3, cutoff=0.5)
            hint = f"did you mean {', '.join(near)}?" if near else "`--help` lists all keys"
            raise ValueError(f"exclude {text!r}: unknown key {term.key}; {hint}")
    return terms


def _known_keys() -> list[str]:
    """Return the keys of all settings, of every family of networks, and the groups' own."""
    default = Settings()
    specs: list[tuple[str, Any]] = [("model", family.spec) for family in FAMILIES.values()]
    keys = [item.name for item in fields(default)]
    specs += [(key, getattr(default, key)) for key in keys if is_dataclass(getattr(default, key))]
    return keys + [f"{group}.{item.name}" for group, spec in specs for item in fields(spec)]


def _composed(settings: Settings | None, key: str) -> list[Scalar]:
    """Return the composed value of a key, or a list's elements; [] where there is none.

    Of the groups, model alone knows its choice: it is the family. The others count where given.
    """
    node: Any = settings
    for name in key.split("."):
        node = getattr(node, name, ...) if is_dataclass(node) else ...
    if isinstance(node, ModelSpec):
        return [node.family]
    if node is ... or is_dataclass(node):
        return []
    return list(node) if isinstance(node, list | tuple) else [node]
