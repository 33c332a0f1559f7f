"""The pages of docs as a site: it is whole, and loads nothing from afar."""

import importlib.util
import json
import re
import subprocess
import sys

import pytest
from support.common import ROOT, needs
from support.pages import PAGES, links, prose

SETTINGS = ROOT / "docs" / "site" / "mkdocs.yml"
TABLE = re.compile(r"^\|[ :|-]+-[ :|-]*\|$", re.MULTILINE)
LIST_ITEM = re.compile(r"^ *(?:[-*]|\d+\.) ", re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site; a warning of MkDocs is an error."""
    needs("mkdocs", "mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*command, "-f", str(SETTINGS), "-d", str(folder)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def hooks(site):
    path = SETTINGS.with_name("pages.py")
    spec = importlib.util.spec_from_file_location("site_pages", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def html_of(page, site, hooks):
    """The part of a page's HTML that comes from its Markdown."""
    name = hooks.PAGES.get(page, page.removeprefix("docs/"))
    path = site / name.replace("README.md", "index.md")
    text = path.with_suffix(".html").read_text(encoding="utf-8")
    return text[text.index('role="main"') : text.index("<footer")]


@pytest.mark.parametrize("page", PAGES)
def test_lists_tables_and_code_arrive(page, site, hooks):
    """GitHub and Python-Markdown do not read all Markdown alike."""
    html, text = html_of(page, site, hooks), prose(page)
    assert html.count("<li>") == len(LIST_ITEM.findall(text))
    assert html.count("<table>") == len(TABLE.findall(text))
    fences = len(re.findall(r"^```\w*$", PAGES[page], re.MULTILINE)) // 2
    assert html.count("<pre") == fences + len(re.findall(r"\n\n    \S", text))
    shown = re.sub(r"<(pre|code)\b.*?</\1>", "", html, flags=re.DOTALL)
    assert re.findall(r"``|\*\*|\]\(|^\|", shown, re.MULTILINE) == []


def test_links_lead_to_files_of_the_site(site, hooks):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for link in re.findall(r'(?:href|src)="([^"#?]+)', text):
            if path.name != "404.html" and not re.match(r"\w+:", link):
                assert (path.parent / link).exists(), (path, link)


def test_it_loads_nothing_from_other_hosts(site):
    loads = re.compile(r"<(?:script|img|link|iframe)\b[^>]*\"(?:https?:)?//")
    for path in site.rglob("*.html"):
        assert loads.findall(path.read_text(encoding="utf-8")) == [], path
    for path in site.rglob("*.css"):
        style = path.read_text(encoding="utf-8")
        assert (
            re.findall(r"(?:url\(|@import )['\"]?(?:https?:)?//", style) == []
        )


def test_the_menu_has_the_pages_that_the_list_has(hooks):
    named = json.dumps(hooks.menu())
    for link in links("docs/README.md"):
        assert f'"{hooks.page_of(f"docs/{link}")}"' in named


def test_its_search_knows_the_pages(site):
    index = json.loads(
        (site / "search" / "search_index.json").read_text("utf-8")
    )
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"index.html", "serving.html", "changes.html"} <= found


def test_notebooks_are_pages_with_what_they_show(site):
    pages = [*(ROOT / "docs" / "notebooks").glob("*.ipynb")]
    texts = {
        path.stem: (site / "notebooks" / f"{path.stem}.html").read_text("utf-8")
        for path in pages
    }
    assert 'src="data:image/png' in texts["vectors"]
    assert 'class="dataframe"' in texts["classify"]
