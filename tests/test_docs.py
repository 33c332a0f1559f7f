"""docs/fit.md, docs/models.md: the code runs, and prints what they show."""

import contextlib
import io
import re

import numpy as np
import pytest
from support.common import ROOT

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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")
def test_the_page_about_fit_shows_what_comes_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("fit.md", {}) == 6
    assert (tmp_path / "messages_export" / "saved_model.pb").exists()


@pytest.mark.slow
def test_the_page_about_models_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = ["ham", "spam"]
    model = BertClassifier.from_pretrained("demo", num_labels=2)
    model.save_pretrained("theirs", labels=labels, format="huggingface")
    FullTokenizer.from_pretrained("demo").save_pretrained("theirs")
    names = {"folder": "theirs"}
    assert run("models.md", names) == 1
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
