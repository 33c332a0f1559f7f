"""README.md and the pages of docs: their blocks of code, headings and links."""

import re
import textwrap

from support.common import ROOT

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (README, *DOCS)
}
# A fence may stand in a list, and is indented then.
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


def blocks(language: str, page: str | None = None) -> list[str]:
    """The blocks of a language in one page, or in all, README's first."""
    texts = PAGES.values() if page is None else [PAGES[page]]
    return [
        textwrap.dedent(code)
        for text in texts
        for _, name, code in FENCED.findall(text)
        if name == language
    ]


def prose(page: str) -> str:
    """A page without its blocks of code."""
    return FENCED.sub("", PAGES[page])


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        times = found[name] = found.get(name, -1) + 1
        found[f"{name}-{times}" if times else name] = 0
    return set(found)


def links(page: str) -> list[str]:
    """The targets of a page's links that stay inside the repository."""
    text = prose(page)
    targets = re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", text)
    targets = [link or image for link, image in targets]
    return [target for target in targets if "://" not in target]
