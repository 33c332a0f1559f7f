"""The notebooks of docs: their form, and that they run as they show."""

import ast
import json
import os
import re

import pytest
from support.common import ROOT, needs

FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
# What another machine or run would show otherwise.
CHANGES = re.compile(r"/tmp|/home|/root|\\Users|warning|port=?\d{4,}", re.I)
NUMBER = re.compile(r"\d+\.\d+")
MAX_BYTES = 120_000


def cells_of(name: str, kind: str) -> list[dict]:
    book = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return [cell for cell in book["cells"] if cell["cell_type"] == kind]


def shown(outputs) -> list[tuple]:
    """What cells show: kinds, and texts without what is an error stream."""
    found = []
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        data = output.get("data", {})
        text = output.get("text", data.get("text/plain", ""))
        is_picture = "image/png" in data
        text = "" if is_picture else "".join(text)
        found.append((output["output_type"], sorted(data), text))
    return found


def test_every_notebook_is_listed():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert NOTEBOOKS and all(f"]({name})" in page for name in NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_its_form(name):
    nbformat = needs("nbformat", "nbformat")
    path = FOLDER / name
    nbformat.validate(nbformat.read(path, as_version=4))
    assert path.stat().st_size < MAX_BYTES
    first, *_ = cells_of(name, "markdown")
    assert "\nThis notebook is for everybody who " in "".join(first["source"])
    code = cells_of(name, "code")
    assert all(cell["execution_count"] for cell in code)
    assert any(cell["outputs"] for cell in code)
    for cell in code:
        ast.parse("".join(cell["source"]))
        assert not cell["metadata"]
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr"
            assert not CHANGES.search(json.dumps(output.get("text", "")))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_its_links_lead_to_files(name):
    for cell in cells_of(name, "markdown"):
        for link in re.findall(r"\]\(([^)#]+)", "".join(cell["source"])):
            assert "://" in link or (FOLDER / link).exists(), link


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_and_shows_the_same(name, tmp_path):
    nbclient = needs("nbclient", "nbclient")
    nbformat = needs("nbformat", "nbformat")
    needs("ipykernel", "ipykernel")
    book = nbformat.read(FOLDER / name, as_version=4)
    client = nbclient.NotebookClient(
        book,
        timeout=600,
        kernel_name="python3",
        coalesce_streams=True,
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})
    found = [cell for cell in book.cells if cell.cell_type == "code"]
    for cell, expected in zip(found, cells_of(name, "code"), strict=True):
        assert_alike(shown(cell.outputs), shown(expected["outputs"]))


def assert_alike(found, expected):
    """Another machine may round a number to the next one."""
    for one, other in zip(found, expected, strict=True):
        assert one[:2] == other[:2]
        assert NUMBER.sub("0.0", one[2]) == NUMBER.sub("0.0", other[2])
        pairs = zip(
            NUMBER.findall(one[2]), NUMBER.findall(other[2]), strict=True
        )
        for number, shown_number in pairs:
            expected_number = float(shown_number)
            allowed = 0.11 + 0.03 * abs(expected_number)
            assert abs(float(number) - expected_number) <= allowed
