"""Hooks of MkDocs: the pages of docs, README and CHANGELOG become a site.

The pages are written for GitHub. The site shows the same files, and this
module levels out what the two read differently. It also turns the notebooks
into pages.
"""

import json
import pathlib
import posixpath
import re

from mkdocs.structure.files import File
from pygments.formatters import HtmlFormatter

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOTEBOOKS = [
    path.relative_to(ROOT).as_posix() for path in sorted(DOCS.rglob("*.ipynb"))
]
# A file of the repository, and its place in the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "docs/README.md": "contents.md",
    "Dockerfile": "deploy/Dockerfile.txt",
    "compose.yaml": "deploy/compose.yaml",
}
SOURCES = {page: source for source, page in PAGES.items()}
ROW = re.compile(r"\| \[([^]]+)\]\(([^)]+)\) \|")
LINK = re.compile(r"(\]\(|<img src=\")([^)\s\"#]+)")
ITEM = re.compile(r"(?:[-*]|\d+\.) ")
STYLES = {"light": "default", "dark": "github-dark"}


def on_config(config):
    """Makes the menu, and lets headings have GitHub's anchors."""
    config.nav = menu()
    config.mdx_configs["toc"] = {"slugify": slug}
    return config


def menu() -> list[dict]:
    """The pages as docs/README.md lists them, under a word for each heading."""
    sections = []
    contents = (DOCS / "README.md").read_text(encoding="utf-8")
    for line in contents.splitlines():
        if line.startswith("## "):
            pages = []
            sections.append({line.split()[1]: pages})
        elif row := ROW.match(line):
            pages.append({row[1]: page_of(posixpath.join("docs", row[2]))})
            if row[2] == "notebooks/README.md":
                pages += map(page_of, NOTEBOOKS)
    return [{"Start": "index.md"}, *sections, {"All pages": "contents.md"}]


def page_of(path: str) -> str:
    """The place in the site of a file of the repository."""
    path = posixpath.normpath(path)
    page = PAGES.get(path, path.removeprefix("docs/"))
    return re.sub(r"\.ipynb$", ".md", page)


def on_files(files, config):
    """Adds the pages that are not Markdown of docs, and the colours of code."""
    made = {
        page: (ROOT / source).read_text(encoding="utf-8")
        for source, page in PAGES.items()
    }
    for path in NOTEBOOKS:
        made[page_of(path)] = notebook_page(ROOT / path)
    made["code.css"] = "".join(
        HtmlFormatter(style=style).get_style_defs(
            f"[data-bs-theme={theme}] .highlight"
        )
        for theme, style in STYLES.items()
    )
    files.remove(files.get_file_from_path("README.md"))
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turns a page of GitHub's Markdown into one of Python-Markdown."""
    lines, in_code, before = [], False, ""
    for line in markdown.split("\n"):
        in_code ^= line.lstrip().startswith("```")
        if not in_code:
            line = with_links(line, page.file.src_uri)
            # A list may follow a line of text at GitHub, and not here.
            if ITEM.match(line) and before and before[0] not in " -*0123456789":
                lines.append("")
        lines.append(line)
        before = line
    return "\n".join(lines)


def with_links(line: str, page: str) -> str:
    """A line of a page whose links lead to pages of the site."""
    source = SOURCES.get(page, f"docs/{page}")

    def moved(found):
        link = found[2]
        if "://" in link:
            return found[0]
        target = page_of(posixpath.join(posixpath.dirname(source), link))
        start = posixpath.dirname(page) or "."
        return found[1] + posixpath.relpath(target, start)

    return LINK.sub(moved, line)


def notebook_page(path: pathlib.Path) -> str:
    """A notebook's text, code and outputs as Markdown."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        parts += map(_shown, cell["outputs"])
    return "\n\n".join(parts) + "\n"


def _shown(output: dict) -> str:
    """An output of a cell: a picture, a table, or else its text."""
    data = output.get("data", {})
    if "image/png" in data:
        image = "".join(data["image/png"]).replace("\n", "")
        return f'<img src="data:image/png;base64,{image}" alt="">'
    if "text/html" in data:
        return "".join(data["text/html"])
    text = "".join(output.get("text") or data["text/plain"])
    return f"```\n{text.rstrip()}\n```"


def slug(heading: str, separator: str) -> str:
    """A heading's anchor: `The "server"` has `the-server`."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", separator)
