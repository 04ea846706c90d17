"""HTML that is escaped by construction: a plain str is text, only `Html` is markup."""

from collections.abc import Iterable, Sequence
from html import escape


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str) -> Html:
    """Return an element; a trailing _ of an attribute is dropped, others become - (class_)."""
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    opening = "".join(f' {key}="{escape(value)}"' for key, value in pairs)
    return Html(f"<{name}{opening}>{join(children)}</{name}>")


def join(children: Iterable[str]) -> Html:
    """Return the children side by side, text among them escaped; quotes may stand in text."""
    parts = (c if isinstance(c, Html) else escape(c, quote=False) for c in children)
    return Html("".join(parts))


def items(lines: Sequence[str]) -> Html:
    return tag("ul", *(tag("li", line) for line in lines))


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    """Return a definition list of names and values."""
    rows = (tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs)
    return tag("dl", *rows, class_="facts")
