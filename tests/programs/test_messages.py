"""The log of a program writes settings as flags."""

import logging

import pytest

from bert_tf.errors import UserError
from bert_tf.programs import program

WHY = "no text in `text_column`=body"


@pytest.mark.parametrize(
    ("message", "values", "expected"),
    [
        ("%s: left out", (UserError(WHY),), "no text in --text_column=body"),
        ("%s: left out", (WHY,), "no text in --text_column=body"),
        ("`text_column`=%s: left out", ("body",), "--text_column=body"),
        ("`other`: left out", (), "`other`"),
        ("50 %: left out", None, "50 %"),
    ],
)
def test_settings_in_the_log_are_flags(message, values, expected, monkeypatch):
    monkeypatch.setattr(program, "FLAGS", {"text_column"})
    record = logging.LogRecord("absl", 30, "", 0, message, values, None)
    assert program.name_flags(record)
    assert record.getMessage() == f"{expected}: left out"
