"""HTML from plain values: all text of a report is escaped here, and only here.

    tag("td", "a < b", class_="n")      <td class="n">a &lt; b</td>

A child that is a `Markup` has been made by `tag` or `svg`, and is HTML already.
Any other child is text.
"""

import html
import re
import unicodedata
from collections.abc import Iterable
from typing import TypeAlias

# Characters that neither HTML nor XML may hold.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
)
_WITHOUT_END = frozenset(("br", "hr", "meta"))


class Markup(str):
    """HTML, in which all text is escaped."""

    __slots__ = ()


Child: TypeAlias = "str | int | float | None | Iterable[Child]"


def clean(text: object) -> str:
    """A text without characters that a page or a picture cannot hold."""
    return _FORBIDDEN.sub("\ufffd", str(text))


def isolated(text: str) -> str:
    """A text that what follows it does not join.

    Words that are written from right to left pull numbers and brackets after
    them to their left. Unicode's "first strong isolate" keeps them apart.
    """
    if any(unicodedata.bidirectional(c) in ("R", "AL") for c in text):
        return f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}"
    return text


def escaped(value: object) -> Markup:
    """A value as HTML; a `Markup` stays as it is."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(clean(value), quote=True))


def joined(children: Iterable[Child]) -> Markup:
    """Several children, one after the other; None is left out."""
    parts = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, str | int | float):
            parts.append(escaped(child))
        else:
            parts.append(joined(child))
    return Markup("".join(parts))


def tag(name: str, *children: Child, **attributes: object) -> Markup:
    """An element.

    Args:
        name: of the element.
        *children: what is in it, see the top of this file.
        **attributes: an underscore at the end is left out (`class_`), others
            become hyphens. None and False leave an attribute out.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _WITHOUT_END:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{joined(children)}</{name}>")


def svg(picture: str) -> Markup:
    """A picture of `pictures`, whose text is escaped by what drew it."""
    return Markup(picture)
