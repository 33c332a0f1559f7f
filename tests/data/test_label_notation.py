"""Labels in the notation of other programs."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_tf.data.tabular.label_notation import Marked, from_json, parse


@pytest.mark.parametrize(
    "text, labels",
    [
        ("['joy', 'anger']", "joy anger"),
        ('["joy", "anger"]', "joy anger"),
        ("[joy, anger]", "joy anger"),
        ("['joy' 'anger']", "joy anger"),
        ("['joy'\n 'anger']", "joy anger"),
        ("{'joy', 'anger'}", "joy anger"),
        ("{joy,anger}", "joy anger"),
        ("('joy',)", "joy"),
        ("('joy', 'anger')", "joy anger"),
        ("['joy']", "joy"),
        ("[]", ""),
        ("{}", ""),
        ("()", ""),
        ("set()", ""),
        ("frozenset({'joy'})", "joy"),
        ("array(['joy', 'anger'], dtype=object)", "joy anger"),
        ("[np.str_('joy'), np.str_('anger')]", "joy anger"),
        ("[u'joy', u'anger']", "joy anger"),
        ("[1, 0, 0]", "1 0 0"),
        ("[1 0 0]", "1 0 0"),
        ("[1. 0. 0.]", "1 0 0"),
        ("[True, False]", "true false"),
        ("[np.int64(1), np.int64(0)]", "1 0"),
        ('"[""joy"", ""anger""]"', "joy anger"),
        ('{"choices": ["joy", "anger"]}', "joy anger"),
        ('[{"choices": ["joy"]}]', "joy"),
    ],
)
def test_lists(text, labels):
    assert parse(text) == tuple(labels.split())


def test_labels_in_lists_are_whole_texts():
    assert parse("['don\\'t know', \"it's\"]") == ("don't know", "it's")
    assert parse('["a, b", "caf\\u00e9"]') == ("a, b", "café")
    assert parse("['very good', 'bad']") == ("very good", "bad")
    assert parse("[very good, bad]") == ("very good", "bad")
    assert parse("['a', None]") == ("a", "")
    assert parse("['np.str_(1)', 'a']") == ("np.str_(1)", "a")
    assert parse(r"['\d', 'a']") == (r"\d", "a")


@pytest.mark.parametrize(
    "text",
    ["{'joy': True, 'anger': 0}", '{"joy": true, "anger": 0}'],
)
def test_objects(text):
    assert parse(text) == Marked((("joy", "true"), ("anger", "0")))


@pytest.mark.parametrize(
    "text",
    [
        "joy",
        "don't",
        "(a)",
        "Cause-Effect(e1,e2)",
        "Fruit (fresh)",
        "rock 'n' roll",
        ":-)",
        "<b>",
        "[1] see below",
        '5"',
        "'90s",
        "",
        "'",
        "(b) other",
    ],
)
def test_texts_stay_as_they_are(text):
    assert parse(text) == text


@pytest.mark.parametrize("text", ["'joy'", '"joy"', " 'joy' "])
def test_quotes_around_a_label_do_not_count(text):
    assert parse(text) == "joy"


@pytest.mark.parametrize(
    "text",
    ["['joy'", "'anger']", "['joy', 'ang", "[['a'], 'b']", '"joy', "{'a': }"],
)
def test_what_is_broken_is_refused(text):
    with pytest.raises(ValueError, match="brackets or quotes"):
        parse(text)


@pytest.mark.parametrize(
    "value, found",
    [
        ("['a']", "['a']"),
        (["a", 1, 1.0, True, None], ("a", "1", "1.0", "true", "")),
        ([], ()),
        (None, None),
        (float("nan"), None),
        (2, "2"),
        ({"POS": 1, "NEG": 0.0}, Marked((("POS", "1"), ("NEG", "0.0")))),
        ({"cats": {"POS": True}}, Marked((("POS", "true"),))),
        ({"choices": ["a", "b"]}, ("a", "b")),
        ({"label": 1}, "1"),
        ({"label": True}, Marked((("label", "true"),))),
    ],
)
def test_json(value, found):
    assert from_json(value) == found
    if not isinstance(value, str) and value == value and value is not None:
        assert parse(json.dumps(value)) == found


@pytest.mark.parametrize("value", [[["a"]], [{"a": 1}, "b"], {"a": {}}])
def test_json_that_holds_no_labels(value):
    with pytest.raises(ValueError, match="list of texts or numbers"):
        from_json(value)


@settings(max_examples=300, deadline=None)
@given(st.text("[]{}()'\",:; abN1.\\unp-#", max_size=12))
def test_any_text_is_read_or_refused(text):
    try:
        found = parse(text)
    except ValueError:
        return
    if isinstance(found, tuple):
        assert all(isinstance(item, str) for item in found)
    else:
        assert isinstance(found, str | Marked)


@given(st.lists(st.text(max_size=5), max_size=4))
def test_lists_of_any_texts(labels):
    """Python's and JSON's print of a list is the list."""
    for text in (repr(labels), json.dumps(labels)):
        assert parse(text) == tuple(labels)
