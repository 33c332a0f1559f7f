"""Rows of words with other columns, and files that only look like them."""

import pytest

from bert_tf.data import tagging
from bert_tf.data.splits import FileSettings
from bert_tf.errors import UserError

WORDS = "Anna saw New York .".split()
TAGS = "B-PER O B-LOC I-LOC O".split()


def read(tmp_path, text, strict=False, **columns):
    path = tmp_path / "words.conll"
    path.write_text(text, encoding="utf-8")
    settings = FileSettings(train_file=str(path), strict=strict)
    columns = tagging.WordColumns(**columns)
    found = tagging.read_sets(settings, ["train"], None, columns)
    return found.sets["train"], found.tags


def rows(form, end="\n"):
    return "".join(
        "".join(f"{form(k, i, w, t)}\n" for i, (w, t) in enumerate(pairs)) + end
        for k, pairs in enumerate([[*zip(WORDS, TAGS, strict=True)]] * 3)
    )


@pytest.mark.parametrize(
    "form, end",
    [
        (lambda k, i, w, t: f"doc1 {i} {w} NN {t}", "\n"),
        (lambda k, i, w, t: f"doc{k}\t{w}\t{t}", "\n"),
        (lambda k, i, w, t: f"s-{k} {w} {t}", ""),
        (lambda k, i, w, t: f"s{k} {i + 1} {w} {t}", ""),
    ],
)
def test_names_of_sentences_are_no_words(form, end, tmp_path):
    sentences, tags = read(tmp_path, rows(form, end))
    assert [s.words for s in sentences] == [WORDS] * 3
    assert [s.labels for s in sentences] == [TAGS] * 3
    assert tags.scheme == "BIO"


def test_line_ends_of_old_macs(tmp_path):
    text = rows(lambda k, i, w, t: f"{w} {t}").replace("\n", "\r")
    assert [s.words for s in read(tmp_path, text)[0]] == [WORDS] * 3


def test_names_of_sentences_before_words_alone(tmp_path):
    path = tmp_path / "train.conll"
    path.write_text(rows(lambda k, i, w, t: f"{w} {t}"), encoding="utf-8")
    alone = rows(lambda k, i, w, t: f"s{k}\t{w}", "")
    with pytest.raises(UserError, match="which column holds the tags"):
        read(tmp_path, alone)
    settings = FileSettings(
        train_file=str(path), test_file=str(tmp_path / "words.conll")
    )
    found = tagging.read_sets(settings, ["train", "test"]).sets["test"]
    assert [s.words for s in found] == [WORDS] * 3
    assert all(s.labels is None for s in found)


def test_lines_around_a_document(tmp_path):
    text = "#begin document (x); part 000\n"
    text += rows(lambda k, i, w, t: f"{w} NN {t}")[:-1] + "#end document\n"
    assert len(read(tmp_path, text)[0]) == 3


@pytest.mark.parametrize(
    "text, message",
    [
        ("T1\tPER 0 4\tAnna Smith\nT2\tLOC 9 13\tRome\n", "brat"),
        ("#FORMAT=WebAnno TSV 3.3\n\n1-1\t0-4\tAnna\tPER\n", "CoNLL 2002"),
        ('<ENAMEX TYPE="PERSON">Anna</ENAMEX> saw Rome.\n', "in XML"),
        ("TRAIN_DATA = [\n  ('Anna', {'entities': []}),\n]\n", "Python"),
        ("File,Line,Begin Offset,End Offset,Type\na,0,0,4,PER\n", "places"),
    ],
)
def test_files_of_other_tools_are_named(text, message, tmp_path):
    with pytest.raises(UserError, match=rf"words.conll:1: .*{message}"):
        read(tmp_path, text)


def test_a_header_of_unknown_names(tmp_path):
    text = "Wort;Typ\n" + rows(lambda k, i, w, t: f"{w};{t}".replace(" ", ""))
    with pytest.raises(UserError, match=":1: tag 'Typ' .*if this row is a h"):
        read(tmp_path, text)
    sentences, _ = read(tmp_path, text, tag_column="Typ")
    assert [s.labels for s in sentences] == [TAGS] * 3


def test_numbers_in_place_of_tags(tmp_path):
    with pytest.raises(UserError, match=r"tags in the last column are numbers"):
        read(tmp_path, rows(lambda k, i, w, t: f"{w} {t} 0.{i + 1}3"))


def test_two_columns_of_tags_and_several_tags_in_one(tmp_path, caplog):
    read(tmp_path, rows(lambda k, i, w, t: f"{w} NN {t} {t if i else 'O'}"))
    assert ":1: columns 3 and 4 both hold tags" in caplog.text
    caplog.clear()
    text = rows(lambda k, i, w, t: f"{w} {t}|B-X" if i == 2 else f"{w} {t}")
    read(tmp_path, text)
    assert ":3: 3 words have several tags in one" in caplog.text
    with pytest.raises(UserError, match="several tags in one"):
        read(tmp_path, text, strict=True)
    caplog.clear()
    read(tmp_path, rows(lambda k, i, w, t: f"{w} NN B-NP {t}"))
    assert not caplog.text
