"""A page of sections, as one HTML file: no script, no other files, no network.

Light and dark follow the reader's system. The page is meant for wide windows,
phones and paper alike.
"""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Sequence

from bert_tf.report.blocks import Block
from bert_tf.report.markup import Markup, clean, tag

_STYLE = pathlib.Path(__file__).with_name("page.css")
# Nothing is fetched from anywhere, whatever is in the data.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: its heading.
        blocks: what it shows.
        id: names it in links; default: made of the title.
    """

    title: str
    blocks: Sequence[Block]
    id: str = ""

    @property
    def anchor(self) -> str:
        """Its id: small letters, digits and hyphens."""
        return re.sub(r"\W+", "-", (self.id or self.title).lower()).strip("-")

    def html(self) -> Markup:
        return tag(
            "section",
            tag("h2", self.title, id=self.anchor),
            [block.html() for block in self.blocks],
        )


@functools.cache
def _style() -> Markup:
    return Markup(f"<style>{_STYLE.read_text('utf-8')}</style>")


def render(
    title: str,
    sections: Sequence[Section],
    *,
    subtitle: str = "",
    head: Sequence[Block] = (),
    footer: str = "",
) -> str:
    """A page as HTML.

    Args:
        title: the heading, and the name of the window.
        sections: in the order of the page; those without blocks are left out.
        subtitle: a line below the heading.
        head: blocks above the table of contents, such as the key scores.
        footer: a line at the end.
    """
    sections = [section for section in sections if section.blocks]
    links = [
        tag("li", tag("a", section.title, href=f"#{section.anchor}"))
        for section in sections
    ]
    contents = tag("nav", tag("ul", links), aria_label="Contents")
    body = tag(
        "body",
        tag(
            "header",
            tag("h1", title),
            tag("p", subtitle, class_="subtitle") if subtitle else None,
            [block.html() for block in head],
        ),
        contents if len(sections) > 1 else None,
        tag("main", [section.html() for section in sections]),
        tag("footer", footer) if footer else None,
    )
    page_head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag(
            "meta",
            name_="viewport",
            content="width=device-width, initial-scale=1",
        ),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", clean(title)),
        _style(),
    )
    html = tag("html", page_head, body, lang="en")
    return f"<!DOCTYPE html>\n{html}\n"
