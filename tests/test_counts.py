"""Numbers in messages have the right number and verb."""

import re

import pytest
from support.common import ROOT

from bert_tf.counts import counted, number_of, plural


@pytest.mark.parametrize(
    ("number", "total", "expected"),
    [
        (2, 5, "2 of 5 rows have"),
        (1, 5, "1 of 5 rows has"),
        (1, 1, "1 of 1 row has"),
        (0, 1, "0 of 1 row have"),
    ],
)
def test_counted(number, total, expected):
    assert counted(number, total, "row") == expected


def test_verbs_and_places():
    assert counted(1, 3, "label", "look", "in column 2") == (
        "1 of 3 labels in column 2 looks"
    )
    assert counted(1, 3, "row", "are") == "1 of 3 rows is"
    assert counted(1, 3, "row", "do") == "1 of 3 rows does"


def test_plural():
    assert number_of(1, "row") == "1 row"
    assert number_of(0, "row") == "0 rows"
    assert plural("entity") == "entities"
    assert plural("key") == "keys"


def test_no_message_has_both():
    """Such as "2 column(s)"."""
    for path in (ROOT / "bert_tf").rglob("*.py"):
        assert not re.search(r"[a-z]\(s\)", path.read_text("utf-8")), path
