"""What the start of a text shows: JSON, tables, fastText, running text."""

import pytest
from support.common import TESTS, shared

from bert_tf.data.tabular import file_shape
from bert_tf.data.tabular.file_shape import likely_delimiter, shape_of

pytestmark = pytest.mark.usefixtures("here")
REPORTS = TESTS / "reports"
TEXTS = "It was late, and dark.\nNobody came.\n\nWe left: at last.\n"


@pytest.mark.parametrize(
    "head, name, delimiter",
    [
        ('{"text": "a"}\n{"text": "b"}\n', "json_lines", ""),
        ('\ufeff{"text": "a"}\n', "json_lines", ""),
        ('{\n "text": "a"\n}\n', "json_object", ""),
        ('{"data": [\n', "json_object", ""),
        ('[{"text": "a"}]\n', "json_list", ""),
        ('[\n  {\n    "te', "json_list", ""),
        ("__label__a b\n__label__c d\n", "fasttext", ""),
        ("text,label\na,x\n", "table", ","),
        ("id;text;label\n1;a, b;x\n", "table", ";"),
        ("text\tlabel\na\tx\n", "table", "\t"),
        ('"text"|"label"\n"a"|"x"\n', "table", "|"),
        ('text,label\n"a, b\nc",x\n', "table", ","),
        ("a\tO\nb\tB-PER\n\nc\tO\n", "conll", ""),
        ("a NN O\nb NN I-PER\n", "conll", ""),
        ("<!DOCTYPE html>\n<html>", "page", ""),
        ('<?xml version="1.0"?>\n', "page", ""),
        (TEXTS, "text", ""),
        ("a ||| b\n" * 20, "text", ""),
        ("Well, yes.\nNo, not he.\n", "text", ""),
        (
            "1\n00:00:01,000 --> 00:00:02,000\nHello.\n\n" * 4,
            "subtitles",
            "",
        ),
        ("text,label\ra,x\rb,y\r", "table", ","),
        ("{he} said\n[sic] it\n", "text", ""),
        ("[CLS] is a token\n", "text", ""),
        ("", "text", ""),
    ],
)
def test_shapes(head, name, delimiter):
    found = shape_of(head)
    assert (found.name, found.delimiter) == (name, delimiter)


@pytest.mark.parametrize(
    "name", ["pride_and_prejudice_1342.txt", "sample_text.txt"]
)
def test_books_are_text(name, warnings):
    path = shared("data/corpus") / name
    file_shape.warn_unless_text(str(path))
    assert not warnings()


@pytest.mark.parametrize(
    "header, in_use, wanted, found",
    [
        ("text;label", ",", [], ";"),
        ("text\tlabel", ",", [], "\t"),
        ("text,label", "\t", [], ","),
        ("text||label", ",", [], "||"),
        ("text~label", ",", [], "~"),
        ("id;text;a, b", ",", ["text"], ";"),
        ("id,words", ",", ["text"], None),
        ("time 10:30", ",", ["text"], None),
    ],
)
def test_the_likely_delimiter(header, in_use, wanted, found):
    assert likely_delimiter(header, in_use, wanted) == found


@pytest.mark.parametrize(
    "name, what",
    [
        ("C12_array.json", "a list in JSON"),
        ("C18_doccano.jsonl", "JSON lines"),
        ("C09_train.csv", "CSV with the columns text, label"),
        ("C11_train.ft.txt", "fastText's lines"),
        ("N_train.conll", "words with tags"),
    ],
)
def test_other_files_as_running_text_are_said(name, what, warnings):
    file_shape.warn_unless_text(str(REPORTS / name))
    (message,) = warnings()
    assert f"it looks like {what}, and is read as lines of text" in message


@pytest.mark.parametrize(
    "num_documents, num_lines, message",
    [
        (1, 1, "x: 1 document with 1 line of text: a line is a sentence, and"),
        (9, 9, "x: 9 documents with 9 lines of text: a line is a sentence"),
        (1, 50, "x: 1 document with 50 lines of text: an empty line ends a"),
    ],
)
def test_too_few_documents_are_said(
    num_documents, num_lines, message, warnings
):
    file_shape.warn_of_few_documents("x", num_documents, num_lines)
    (found,) = warnings()
    assert found.startswith(message)


def test_documents_of_several_lines_are_good(warnings):
    file_shape.warn_of_few_documents("x", 2, 3)
    file_shape.warn_of_few_documents("x", 0, 0)
    assert not warnings()
