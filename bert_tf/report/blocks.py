"""What a section of a page is made of. All of it is plain data.

Paragraph   a sentence or more
Figures     a few key numbers, large
Table       rows of texts and numbers
Picture     an SVG with its caption
Side        blocks next to each other, where there is room
Examples    texts of the data, each with its answer and its place in a file
Code        commands or lines of Python
Details     blocks that a click on a line opens
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import TypeAlias

from bert_tf import files
from bert_tf.report.markup import Child, Markup, escaped, svg, tag

LONG_WORD = 30  # Characters of a word that does not fit a narrow column.
MAX_CHARACTERS = 400  # More of an example's text is folded.


class Block:
    """Base of all blocks."""

    def html(self) -> Markup:
        """The block as HTML."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Paragraph(Block):
    """A sentence or more.

    Attributes:
        text: what it says.
        kind: "", "note" for small print, or "warning".
    """

    text: str
    kind: str = ""

    def html(self) -> Markup:
        return tag("p", self.text, class_=self.kind or None)


@dataclasses.dataclass(frozen=True)
class Figures(Block):
    """A few key numbers.

    Attributes:
        items: (name, value, a few words about it or "") of each.
    """

    items: Sequence[tuple[str, str, str]]

    def html(self) -> Markup:
        return tag(
            "dl",
            [
                tag(
                    "div",
                    tag("dt", name),
                    tag("dd", value, tag("small", note) if note else None),
                )
                for name, value, note in self.items
            ],
            class_="figures",
        )


def number(value: object, digits: int = 4) -> str:
    """A number for people; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value != value or abs(value) == float("inf"):
        return str(value)
    is_odd = value and not 1e-3 <= abs(value) < 1e6
    return f"{value:.3g}" if is_odd else f"{value:.{digits}f}"


@dataclasses.dataclass(frozen=True)
class Place:
    """A line of a file.

    Attributes:
        path: the file's, absolute; one of another machine gets no link.
        line: from 1; 0 if it is not known.
    """

    path: str
    line: int = 0

    def html(self) -> Markup:
        name = os.path.basename(self.path)
        text = f"{name}:{self.line}" if self.line else name
        if files.is_remote(self.path) or not os.path.isabs(self.path):
            return tag("span", text, class_="place", title=self.path)
        link = pathlib.PurePath(self.path).as_uri()
        if self.line:
            link += f"#L{self.line}"
        return tag("a", text, class_="place", href=link, title=self.path)


@dataclasses.dataclass(frozen=True)
class Share:
    """A share from 0 to 1, which a table shows as a bar with its number."""

    value: float

    def html(self) -> Markup:
        width = 100 * min(max(self.value, 0.0), 1.0)
        style = f"background-size:{width:.1f}% 100%"
        return tag("span", f"{self.value:.3f}", class_="share", style=style)


Cell: TypeAlias = "str | int | float | None | Share | Place"


def _cell(value: Cell) -> Markup:
    if isinstance(value, Share | Place):
        is_number, shown = isinstance(value, Share), value.html()
    else:
        is_number = isinstance(value, int | float)
        shown = escaped("" if value is None else number(value))
    kind = "n" if is_number else _kind_of_text(value)
    return tag("td", shown, class_=kind, dir=_direction(value))


def _kind_of_text(value: Cell) -> str | None:
    """ "long" for a word that must be broken in a narrow column."""
    words = value.split() if isinstance(value, str) else ()
    return "long" if any(len(w) > LONG_WORD for w in words) else None


def _direction(value: Cell) -> str | None:
    """ "auto" for a text that may be written from right to left."""
    is_plain = not isinstance(value, str) or value.isascii()
    return None if is_plain else "auto"


@dataclasses.dataclass(frozen=True)
class Table(Block):
    """Rows of texts and numbers.

    Attributes:
        header: names of the columns.
        rows: a list of cells for each row; numbers are aligned to the right.
        caption: what the table shows; "" for nothing.
        is_key_first: whether the first cell names its row.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    is_key_first: bool = True

    def html(self) -> Markup:
        def row(cells):
            first, rest = list(cells[:1]), cells[1:]
            if not self.is_key_first:
                first, rest = [], cells
            keys = [
                tag(
                    "th",
                    number(key),
                    scope="row",
                    class_=_kind_of_text(key),
                    dir=_direction(key),
                )
                for key in first
            ]
            return tag("tr", keys, map(_cell, rest))

        def is_number(index):
            return any(
                isinstance(cells[index], int | float | Share)
                for cells in self.rows
                if len(cells) > index
            )

        head = [
            tag(
                "th",
                name,
                scope="col",
                class_="n" if is_number(index) else None,
            )
            for index, name in enumerate(self.header)
        ]
        table = tag(
            "table",
            tag("caption", self.caption) if self.caption else None,
            tag("thead", tag("tr", head)),
            tag("tbody", map(row, self.rows)),
        )
        return tag("div", table, class_="wide", tabindex=0)


@dataclasses.dataclass(frozen=True)
class Picture(Block):
    """A picture.

    Attributes:
        svg: of `pictures`; it holds its own text alternative.
        alt: the same text, for who makes pages.
        caption: a sentence below it.
        is_large: whether it keeps its size in a narrow window, which scrolls.
    """

    svg: str
    alt: str
    caption: str = ""
    is_large: bool = False

    def html(self) -> Markup:
        caption = tag("figcaption", self.caption) if self.caption else None
        kind = "wide picture large" if self.is_large else "wide picture"
        picture = tag("div", svg(self.svg), class_=kind)
        return tag("figure", picture, caption)


@dataclasses.dataclass(frozen=True)
class Side(Block):
    """Blocks next to each other, where there is room."""

    blocks: Sequence[Block]

    def html(self) -> Markup:
        blocks = [tag("div", block.html()) for block in self.blocks]
        return tag("div", blocks, class_="side")


@dataclasses.dataclass(frozen=True)
class Marked:
    """A part of a text that stands out.

    Attributes:
        text: the part.
        kind: "right", "wrong", "missed" or "plain": its colour.
        label: a small word after it, such as the type of an entity.
    """

    text: str
    kind: str = "plain"
    label: str = ""

    def html(self) -> Markup:
        label = tag("small", self.label) if self.label else None
        return tag("mark", self.text, label, class_=self.kind)


# A text, or the parts that it has.
Text: TypeAlias = "str | Sequence[str | Marked]"


def shortened(text: str, most: int = MAX_CHARACTERS) -> str:
    """A text with its middle left out if it is long, cut between words."""
    if len(text) <= most:
        return text
    head, tail = text[: most * 2 // 3], text[-(most // 3) :]
    head = head.rsplit(None, 1)[0] if " " in head[-40:] else head
    tail = tail.split(None, 1)[-1] if " " in tail[:40] else tail
    return f"{head} […] {tail}"


@dataclasses.dataclass(frozen=True)
class Example:
    """A text of the data, and what the model made of it.

    Attributes:
        texts: (name or "", text) of each of its texts. A long text that has
            no marked parts is shortened; it can be opened as a whole.
        facts: (name, value) of each, such as ("gold", "spam").
        place: where it stands; None if that is not known.
        is_right: whether the answer is right; None if nobody knows.
    """

    texts: Sequence[tuple[str, Text]]
    facts: Sequence[tuple[str, str]] = ()
    place: Place | None = None
    is_right: bool | None = None

    def html(self) -> Markup:
        facts = [
            tag("span", name, " ", tag("b", value), class_="fact")
            for name, value in self.facts
        ]
        place = [self.place.html()] if self.place else []
        kinds = {True: "right", False: "wrong", None: None}
        return tag(
            "li",
            [self._text(name, text) for name, text in self.texts],
            tag("p", facts, place, class_="facts"),
            class_=kinds[self.is_right],
        )

    @staticmethod
    def _text(name: str, text: Text) -> Markup:
        title = tag("b", name, " ") if name else None
        if not isinstance(text, str):
            parts: list[Child] = [
                part.html() if isinstance(part, Marked) else part
                for part in text
            ]
            return tag("p", title, parts, class_="text", dir="auto")
        short = shortened(text)
        if short == text:
            shown = text or tag("i", "(empty)")
            return tag("p", title, shown, class_="text", dir="auto")
        # The whole of a very long text would make a very large page.
        whole = shortened(text, 20 * MAX_CHARACTERS)
        return tag(
            "details",
            tag("summary", title, short),
            tag("p", whole),
            class_="text",
            dir="auto",
        )


@dataclasses.dataclass(frozen=True)
class Examples(Block):
    """A list of texts.

    Attributes:
        items: the texts, the most important first.
        nothing: what is said if there are none.
    """

    items: Sequence[Example]
    nothing: str = "There are none."

    def html(self) -> Markup:
        if not self.items:
            return tag("p", self.nothing, class_="note")
        items = [item.html() for item in self.items]
        return tag("ol", items, class_="examples")


@dataclasses.dataclass(frozen=True)
class Code(Block):
    """Commands, or lines of Python."""

    text: str

    def html(self) -> Markup:
        return tag("pre", tag("code", self.text), tabindex=0)


@dataclasses.dataclass(frozen=True)
class Details(Block):
    """Blocks that a click on a line opens."""

    summary: str
    blocks: Sequence[Block]
    is_open: bool = False

    def html(self) -> Markup:
        inside = [block.html() for block in self.blocks]
        summary = tag("summary", self.summary)
        return tag(
            "details", summary, inside, open="" if self.is_open else None
        )
