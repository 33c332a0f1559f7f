"""What the tool `explain` shows: in a terminal, in a file, on a page."""

import io
import re

import pytest

from bert_tf.explanations import Explanation, ScoredWord
from bert_tf.tools import explain_output

HOSTILE = "<script>alert(1)</script> &amp; \x1b[2J\x07 \u202eCafé"


def explained(text, **changes):
    """An explanation whose words are the text's, with scores that alternate."""
    words = tuple(
        ScoredWord("text", *found.span(), found[0], 2.0 * (-0.5) ** place)
        for place, found in enumerate(re.finditer(r"\S+", text))
    )
    values = {
        "kind": "single_label",
        "target": "spam",
        "answer": "ham",
        "logit": 1.5,
        "baseline_logit": 0.5,
        "texts": {"text": text},
        "words": words,
        "word": None,
        "num_steps": 13,
        "error": 0.001,
        "is_complete": True,
        "truncated": False,
    }
    return Explanation(**values | changes)


def test_lines_without_colours_have_the_text_and_its_scores():
    shown = explain_output.in_terminal(explained("call me now"), False)
    head, text, *scores = shown.strip().split("\n")
    assert head == (
        "spam: the words add +1.00 to its logit, 0.50 to 1.50 (the answer is "
        "ham)"
    )
    assert text == "  call me now"
    numbers = [line.split() for line in scores]
    assert numbers[:2] == [["+2.00", "call"], ["-1.00", "me"]]


def test_a_text_cannot_change_the_terminal():
    plain = explain_output.in_terminal(explained(HOSTILE), False)
    assert "\x1b" not in plain and "\x07" not in plain
    coloured = explain_output.in_terminal(explained(HOSTILE), True)
    assert {*re.findall(r"\x1b\[(\S*?m)?", coloured)} >= {"0m"}
    assert "\x1b[2J" not in coloured


@pytest.mark.parametrize(
    "is_terminal, variables, expected",
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colours(monkeypatch, is_terminal, variables, expected):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    stream.isatty = lambda: is_terminal
    assert explain_output.is_coloured(stream) == expected


def test_texts_stay_texts_on_the_page():
    one = explained(HOSTILE, target=HOSTILE, truncated=True, is_complete=False)
    page = explain_output.page(HOSTILE, [one])
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "does not read all of it" in page
    assert "prefers-color-scheme: dark" in page
    many = [one] * (explain_output.MOST_ON_PAGE + 1)
    assert "The first 200 of 201 texts" in explain_output.page("m", many)
