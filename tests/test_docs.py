"""The pages of docs: their code runs, and names and links lead somewhere."""

import ast
import contextlib
import importlib
import importlib.util
import io
import re

import numpy as np
import pytest
from support.common import ROOT
from support.pages import DOCS, PAGES, anchors, blocks, links, prose

from bert_tf import FullTokenizer
from bert_tf.heads import BertClassifier

NUMBER = re.compile(r"\b\d+\.\d+\b")


# What these blocks need is not here: a server, a checkpoint of another library.
NOT_RUN = ("BertClient", "BertEncoderV2")


def blocks_of(page):
    """[(code, what the page shows as its output, or "")]"""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [
        (code, shown if following == "" else "")
        for (language, code), (following, shown) in zip(
            blocks, [*blocks[1:], ("end", "")], strict=True
        )
        if language == "python" and not any(n in code for n in NOT_RUN)
    ]


def run(page, names):
    """Runs the code of a page; returns the number of outputs that it shows."""
    blocks = blocks_of(page)
    for code, shown in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        assert_about_equal(printed.getvalue(), shown)
    return sum(1 for _, shown in blocks if shown)


def exists(name: str) -> bool:
    """Whether `bert_tf.folder.module.Class.method` can be imported."""
    if name.startswith("bert_tf.tools."):  # An import would define its flags.
        return importlib.util.find_spec(name) is not None
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            found = importlib.import_module(".".join(parts[:end]))
            break
    for part in parts[end:]:
        found = getattr(found, part, None)
    return found is not None


def imported_names(code: str):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("page", PAGES)
def test_python_compiles_and_names_of_the_package_exist(page):
    names = set(re.findall(r"\bbert_tf(?:\.\w+)+", prose(page)))
    names = {name for name in names if not name.endswith(".NAME")}
    for code in blocks("python", page):
        compile(code, page, "exec")
        names.update(imported_names(code))
    ours = {name for name in names if name.split(".")[0] == "bert_tf"}
    assert {name for name in ours if not exists(name)} == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            name = str(target.resolve().relative_to(ROOT))
            assert anchor in anchors(name), link


@pytest.mark.parametrize("page", PAGES)
def test_rows_of_a_table_have_as_many_cells(page):
    for table in re.findall(r"(?:^\|.*\n)+", prose(page), re.MULTILINE):
        cells = {len(re.findall(r"(?<!\\)\|", x)) for x in table.splitlines()}
        assert len(cells) == 1, table[:200]


def test_every_page_says_whom_it_serves_and_is_listed():
    (contents,) = [path for path in DOCS if path == ROOT / "docs/README.md"]
    listed = links(str(contents.relative_to(ROOT)))
    for path in (ROOT / "docs").glob("*.md"):
        title, blank, first, *_ = path.read_text("utf-8").split("\n")
        assert title.startswith("# ") and blank == "", path
        assert first.startswith("This page "), path
        assert path.name in listed or path == contents, path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")
def test_the_page_about_fit_shows_what_comes_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("fit.md", {}) == 6
    assert (tmp_path / "messages_export" / "saved_model.pb").exists()


@pytest.mark.slow
@pytest.mark.parametrize("call", ["bert_tf.fine_tune(", "model.fit("])
def test_the_short_examples_show_what_comes_out(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ((code, shown),) = [
        block for block in blocks_of("python.md") if call in block[0]
    ]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert shown
    assert_about_equal(printed.getvalue(), shown)
    assert (tmp_path / "tickets" / "saved_model.pb").exists()


@pytest.mark.slow
def test_the_pages_about_models_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = ["ham", "spam"]
    model = BertClassifier.from_pretrained("demo", num_labels=2)
    model.save_pretrained("theirs", labels=labels, format="huggingface")
    FullTokenizer.from_pretrained("demo").save_pretrained("theirs")
    names = {"folder": "theirs"}
    assert run("models.md", names) == 1
    assert run("coming_from.md", names) == 0
    inputs = names["preprocess"](names["texts"])
    expected = model(inputs).numpy()
    np.testing.assert_allclose(names["logits"], expected, atol=1e-5)
    answers = names["Predictor"]("messages_export").predict(names["texts"])
    found = [labels.index(answer["label"]) for answer in answers]
    assert found == expected.argmax(axis=1).tolist()


def assert_about_equal(printed, shown):
    """Another machine may round a score to the next tenth."""
    assert NUMBER.sub("0", printed) == NUMBER.sub("0", shown)
    found, expected = (
        [float(number) for number in NUMBER.findall(text)]
        for text in (printed, shown)
    )
    np.testing.assert_allclose(found, expected, atol=0.11)
