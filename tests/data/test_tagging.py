"""CoNLL files → windows → features, and back to files."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from hypothesis import given
from hypothesis import strategies as st
from support.common import ROOT

from bert_tf import FullTokenizer
from bert_tf.data import features, tagging
from bert_tf.data.splits import FileSettings
from bert_tf.data.tagged.learned_tags import LearnedTags
from bert_tf.data.tagged.tag_reading import TagReader
from bert_tf.data.tagging import Sentence
from bert_tf.data.tagging_windows import (
    Window,
    convert_window,
    first_piece_rows,
    join_windows,
    split_into_windows,
    tagging_specs,
)
from bert_tf.errors import UserError

VOCAB = "[PAD] [UNK] [CLS] [SEP] john johan ##son visited paris ! a ##b"
LABELS = ["O", "B-PER", "I-PER", "B-LOC"]
LABEL_IDS = {label: index for index, label in enumerate(LABELS)}


@pytest.fixture
def tokenizer(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCAB.split()) + "\n", encoding="utf-8")
    return FullTokenizer(str(path))


DEMO = FullTokenizer(str(ROOT / "bert_tf" / "assets" / "demo" / "vocab.txt"))


def read(folder, content, set_type="train", labels=None):
    path = folder / "words.txt"
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(content)
    file = tagging.read_file(str(path), set_type)
    if labels is not None:
        reader = TagReader(file, set_type, FileSettings())
        reader.fit(LearnedTags(labels), file.num_columns)
    return file.sentences


def sentence_of(text, labels=None):
    words = text.split(" ")
    return Sentence("test-0", words, labels and labels.split(), words)


@pytest.fixture
def warnings(monkeypatch):
    lines = []
    monkeypatch.setattr(
        logging, "warning", lambda text, *args: lines.append(text % args)
    )
    return lines


TWO_SENTENCES = """-DOCSTART- -X- O O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER
"""


def test_sentences_of_a_file(tmp_path):
    first, second = read(tmp_path, TWO_SENTENCES, "dev")
    assert first == Sentence(
        guid="dev-0",
        words=["EU", "rejects"],
        labels=["B-ORG", "O"],
        rows=["EU NNP B-NP B-ORG", "rejects VBZ B-VP O"],
        before=["-DOCSTART- -X- O O", ""],
    )
    assert (second.guid, second.words) == ("dev-1", ["Peter"])
    assert (second.before, second.after) == ([""], [])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace(" ", " \t  "),
        lambda text: text.replace("\n\n", "\n \t \n"),
        lambda text: text.replace("\n", " \n").replace("EU", "  EU"),
        lambda text: text.removesuffix("\n"),
    ],
)
def test_other_spellings_of_the_same_file(tmp_path, change):
    expected = read(tmp_path, TWO_SENTENCES)
    found = read(tmp_path, change(TWO_SENTENCES))
    for sentence, other in zip(found, expected, strict=True):
        assert (sentence.words, sentence.labels) == (other.words, other.labels)
        if sentence.separator == " ":
            assert sentence == other
        else:  # Tabs come back as tabs.
            rows = [" ".join(row.split()) for row in sentence.rows]
            assert rows == other.rows
            assert "\t" in sentence.rows[0]


@pytest.mark.parametrize("content", ["a O", "a x O\n", "a x y O\n", "a\tO\n\n"])
def test_any_number_of_columns(tmp_path, content):
    (sentence,) = read(tmp_path, content)
    assert (sentence.words, sentence.labels) == (["a"], ["O"])
    assert sentence.after == ([""] if content.endswith("\n\n") else [])


def test_rows_that_start_a_document_are_no_words(tmp_path):
    content = "-DOCSTART- O\na x O\n-DOCSTART- (2)\n\n\nb x O\n-DOCSTART-\n"
    first, second = read(tmp_path, content)
    assert (first.words, second.words) == (["a"], ["b"])
    assert second.before == ["-DOCSTART- (2)", "", ""]
    assert second.after == ["-DOCSTART-"]


def test_only_spaces_and_tabs_separate(tmp_path):
    (sentence,) = read(tmp_path, "10\u00a0000 O\n\u2028 O\na\u3000b\x0bc O\n")
    assert sentence.words == ["10\u00a0000", "\u2028", "a\u3000b\x0bc"]


FORMS = "O, B-type, I-type, E-type, S-type, where a type is such as PER"
NO_TAG = (
    "no tag: the row is 'b' alone, but its last column must be the word's tag "
    "(columns are separated by spaces or tabs)"
)


@pytest.mark.parametrize(
    "content, message",
    [
        ("", ": no sentence in this file"),
        ("\n \t\n-DOCSTART- O\n", ": no sentence in this file"),
        ("a O\n\nb\n", f":3: {NO_TAG}"),
        ("b", f":1: {NO_TAG}"),
        (
            "\na x O\nNew York x O\n",
            ":3: 4 columns, but line 2 has 3; all rows must have the same "
            "number",
        ),
        (b"a O\ncaf\xe9 O\n", ":2: not UTF-8: byte 0xe9 at position 4 of the "),
    ],
)
@pytest.mark.parametrize("set_type", ["train", "dev"])
def test_bad_files(tmp_path, content, message, set_type):
    with pytest.raises(UserError) as error:
        read(tmp_path, content, set_type)
    expected = f"{tmp_path / 'words.txt'}{message}"
    end = "line; encoding=latin-1 is another common one"
    assert str(error.value).removesuffix(end) == expected


@pytest.mark.parametrize(
    "content, tag",
    [
        ("a O\nx B-LOC\nb PER\n", "3: tag 'PER'"),
        ("a O\nx B-LOC\nb B-\n", "3: tag 'B-'"),
        ("a O\nb B-LOC\nc X-PER\n", "3: tag 'X-PER'"),
        ("a O\nx B-LOC\nb O-PER\n", "3: tag 'O-PER'"),
    ],
)
def test_tags_that_do_not_go_together(tmp_path, content, tag):
    (tmp_path / "words.txt").write_text(content)
    settings = FileSettings(train_file=str(tmp_path / "words.txt"))
    with pytest.raises(UserError, match=f"{tag} is not one of {FORMS}$"):
        tagging.read_sets(settings, ["train"])


def test_tags_that_training_had_not(tmp_path, warnings):
    assert len(read(tmp_path, "a B-LOC\n", "dev", LABELS)) == 1
    assert warnings == []
    (sentence,) = read(tmp_path, "a O\nb B-ORG\n", "dev", LABELS)
    assert sentence.labels == ["O", "B-ORG"]
    assert warnings == [
        f"{tmp_path / 'words.txt'}:2: 1 of 2 words has a tag that training "
        "does not have: B-ORG (1); counted as missed (the tags are O, "
        "B-PER, I-PER, B-LOC)"
    ]
    with pytest.raises(UserError, match="words.txt:1: tag 'VBZ' is not one of"):
        read(tmp_path, "a VBZ\nb NN\n", "dev", LABELS)


@pytest.mark.parametrize(
    "content, tags, warning",
    [
        ("a\nb\n", None, None),
        ("-DOCSTART- O\na O\nb B-PER\n", ["O", "B-PER"], None),
        ("a x O\nb O\n", ["O", "O"], None),
        ("a NNP\nb O\n", None, ":1: tag 'NNP'"),
        ("a O\nb VBZ\n", None, ":2: tag 'VBZ'"),
        ("a O\nb\n", ["O", None], None),
        ("O\nb O\n", [None, "O"], None),
    ],
)
def test_files_for_prediction(tmp_path, warnings, content, tags, warning):
    (sentence,) = read(tmp_path, content, "test", LABELS)
    assert sentence.labels == tags and sentence.guid == "test-0"
    assert warnings == [
        f"{tmp_path / 'words.txt'}{place} is not one of O, B-PER, I-PER, "
        "B-LOC; the file is read as one without tags"
        for place in [warning]
        if place
    ]


def test_a_file_for_prediction_needs_words(tmp_path):
    with pytest.raises(UserError, match="no sentence in this file"):
        read(tmp_path, "\n\n", "test")


def test_labels_are_in_order(tmp_path):
    content = "".join(
        f"a {tag}\n\n"
        for tag in "S-PER I-PER I-LOC E-PER B-a-b B-PER B-LOC I-PER".split()
    )
    labels = tagging.infer_labels(read(tmp_path, content))
    assert labels == ("O B-LOC I-LOC B-PER I-PER E-PER S-PER B-a-b".split())


def test_one_label_is_not_enough(tmp_path):
    sentences = read(tmp_path, "a O\n\nb O\n")
    assert tagging.infer_labels(sentences) == ["O"]
    path = str(tmp_path / "words.txt")
    with pytest.raises(UserError) as error:
        tagging.read_sets(FileSettings(train_file=path), ["train"])
    assert str(error.value) == (
        f"{path}: all words have the tag 'O' in the last column: there is "
        "nothing to learn"
    )


@pytest.fixture
def settings(tmp_path):
    """A file for each set."""
    contents = {
        "train": "a B-PER\nb O\n\nc B-LOC\n",
        "dev": "a B-LOC\n",
        "test": "a\n\nb\n",
    }
    paths = {}
    for name, content in contents.items():
        path = tmp_path / f"{name}.txt"
        path.write_text(content)
        paths[f"{name}_file"] = str(path)
    return FileSettings(**paths)


def test_sets_with_files_of_their_own(settings):
    read = tagging.read_sets(settings, ["dev", "train", "test"])
    found = read.sets
    assert list(found) == ["dev", "train", "test"]
    assert read.tags.labels == ["O", "B-LOC", "B-PER"]
    guids = {n: [s.guid for s in sentences] for n, sentences in found.items()}
    assert guids == {
        "dev": ["dev-0"],
        "train": ["train-0", "train-1"],
        "test": ["test-0", "test-1"],
    }
    assert found["test"][0].labels is None


def test_under_strict_dev_has_the_tags_of_training(settings, tmp_path):
    (tmp_path / "dev.txt").write_text("a O\nb B-ORG\n")
    strict = dataclasses.replace(settings, strict=True)
    message = "dev.txt:2: 1 of 2 words has a tag that training does not have"
    with pytest.raises(UserError, match=message):
        tagging.read_sets(strict, ["dev", "train"])
    with pytest.raises(UserError, match=message):
        tagging.read_sets(strict, ["dev"], LearnedTags(["O", "B-PER"]))


def test_tags_that_were_learned(settings, warnings):
    learned = ["O", "B-ORG", "B-PER", "B-LOC"]
    for sets in ["train"], ["dev"], ["test"]:
        found = tagging.read_sets(settings, sets, LearnedTags(learned))
        assert found.tags.labels == learned
    fewer = LearnedTags(["O", "B-PER"])
    found = tagging.read_sets(settings, ["train"], fewer)
    assert found.tags.labels == ["O", "B-LOC", "B-PER"]
    part = dataclasses.replace(settings, dev_file=None, dev_fraction=0.5)
    found = tagging.read_sets(part, ["dev"], fewer)
    assert found.tags == fewer
    assert "train.txt:4: 1 of 3 words has a tag that training" in warnings[0]


def test_tags_are_those_of_the_whole_training_file(tmp_path):
    """A part may have one that the rest has not."""
    path = tmp_path / "words.txt"
    path.write_text("".join(f"a B-{i}\n\n" for i in range(10)))
    settings = FileSettings(train_file=str(path), dev_fraction=0.5)
    found = tagging.read_sets(settings, ["train", "dev"])
    assert [len(sentences) for sentences in found.sets.values()] == [5, 5]
    assert found.tags.labels == ["O", *(f"B-{i}" for i in range(10))]


@pytest.mark.parametrize("end", ["", "\n-DOCSTART- O\n"])
def test_parts_of_a_file_are_written_back(tmp_path, end):
    path = tmp_path / "words.txt"
    start = "-DOCSTART- O\n\n"
    content = "\n".join(
        f"{'' if i % 3 else start}a{i} x B-PER\nb{i} x O\n" for i in range(20)
    )
    path.write_text(content + end)
    settings = FileSettings(
        train_file=str(path), dev_fraction=0.2, test_fraction=0.3
    )
    found = tagging.read_sets(settings, ["train", "dev", "test"]).sets
    assert [len(sentences) for sentences in found.values()] == [10, 4, 6]
    numbers = []
    for name, sentences in found.items():
        part = [int(sentence.words[0][1:]) for sentence in sentences]
        assert part == sorted(part)
        assert [s.guid for s in sentences] == [f"{name}-{i}" for i in part]
        numbers += part
        again = read(tmp_path, written(sentences))
        assert [s.words for s in again] == [s.words for s in sentences]
        assert {tag for s in again for tag in s.labels} == {"B-X"}
    assert sorted(numbers) == [*range(20)]


def test_a_window_as_features(tokenizer):
    sentence = sentence_of(
        "John Johanson visited Paris!", "B-PER I-PER O B-LOC"
    )
    (window,) = split_into_windows([sentence], tokenizer, 10)
    assert window == Window(
        sentence,
        0,
        4,
        [["john"], ["johan", "##son"], ["visited"], ["paris", "!"]],
    )
    converted, tokens = convert_window(window, LABEL_IDS, 10, tokenizer)
    assert tokens == ("[CLS] john johan ##son visited paris ! [SEP]".split())
    assert converted == {
        "input_ids": [2, 4, 5, 6, 7, 8, 9, 3, 0, 0],
        "input_mask": [1, 1, 1, 1, 1, 1, 1, 1, 0, 0],
        "segment_ids": [0] * 10,
        "label_ids": [0, 1, 2, 0, 0, 3, 0, 0, 0, 0],
        "label_mask": [0, 1, 1, 0, 1, 1, 0, 0, 0, 0],
        "is_real_example": 1,
    }
    sentence.labels = None
    converted, _ = convert_window(window, LABEL_IDS, 10, tokenizer)
    assert converted["label_ids"] == [0] * 10


def test_windows_are_cut_between_words(tokenizer):
    sentence = sentence_of("abb ab a abb", "B-PER I-PER O B-LOC")
    windows = split_into_windows([sentence, sentence], tokenizer, 7)
    places = [(w.first, w.num_words) for w in windows]
    assert places == [(0, 2), (2, 2)] * 2
    converted, tokens = convert_window(windows[1], LABEL_IDS, 7, tokenizer)
    assert tokens == "[CLS] a a ##b ##b [SEP]".split()
    assert converted["label_ids"] == [0, 0, 3, 0, 0, 0, 0]
    assert converted["label_mask"] == [0, 1, 1, 0, 0, 0, 0]


def test_words_without_pieces_and_words_that_are_too_long(tokenizer):
    sentence = sentence_of("\u200b abbbbbb zebra")
    windows = split_into_windows([sentence], tokenizer, 5)
    assert [window.pieces for window in windows] == [
        [["[UNK]"]],
        [["a", "##b", "##b"]],
        [["[UNK]"]],
    ]


def test_one_piece_must_fit(tokenizer):
    (window,) = split_into_windows([sentence_of("ab")], tokenizer, 3)
    assert window.pieces == [["a"]]
    with pytest.raises(ValueError, match="at least 3. Received: .*=2"):
        split_into_windows([sentence_of("ab")], tokenizer, 2)


def test_features_fit_their_specs(tmp_path, tokenizer):
    """Through a file of records."""
    specs = tagging_specs(8)
    windows = split_into_windows(
        [sentence_of("Johanson", "B-PER")], tokenizer, 8
    )
    converted = [
        convert_window(window, LABEL_IDS, 8, tokenizer)[0] for window in windows
    ]
    assert {*converted[0]} == {spec.name for spec in specs}
    path = str(tmp_path / "train.tf_record")
    features.write_tf_records(path, converted, specs)
    (rows,) = features.record_rows(path).batch(1)
    batch = features.parse_record_rows(rows, specs)
    assert {value.dtype for value in batch.values()} == {tf.int32}
    assert batch["is_real_example"].numpy().tolist() == [1]
    assert batch["label_mask"].numpy().tolist() == [[0, 1, 0, 0, 0, 0, 0, 0]]


# A file with a NUL is not text.
words = st.text(
    st.characters(codec="utf-8", exclude_characters=" \t\r\n\ufeff\0"),
    min_size=1,
    max_size=30,
)
sentences_of_words = st.lists(st.lists(words, min_size=1, max_size=12))


@given(sentences=sentences_of_words, max_seq_length=st.integers(4, 40))
def test_windows_hold_each_word_once(sentences, max_seq_length):
    sentences = [
        Sentence(f"test-{i}", words, None, words)
        for i, words in enumerate(sentences)
    ]
    windows = split_into_windows(sentences, DEMO, max_seq_length)
    found = []
    for number, window in enumerate(windows):
        last = window.first + window.num_words
        words = window.sentence.words[window.first : last]
        found += [(window.sentence.guid, word) for word in words]
        for word, pieces in zip(words, window.pieces, strict=True):
            full = DEMO.tokenize(word) or ["[UNK]"]
            assert pieces == full[: max_seq_length - 2]
        converted, tokens = convert_window(window, {}, max_seq_length, DEMO)
        assert len(tokens) == sum(map(len, window.pieces)) + 2
        assert len(tokens) <= max_seq_length
        assert sum(converted["label_mask"]) == window.num_words
        for spec in tagging_specs(max_seq_length):
            assert np.shape(converted[spec.name]) == spec.shape
        if window.first:  # It starts with what did not fit any more.
            in_front = sum(map(len, windows[number - 1].pieces))
            assert in_front + len(window.pieces[0]) > max_seq_length - 2
    assert found == [(s.guid, word) for s in sentences for word in s.words]


@given(sentences=sentences_of_words, max_seq_length=st.integers(4, 12))
def test_windows_are_joined_again(sentences, max_seq_length):
    sentences = [
        Sentence(f"test-{i}", words, None, words)
        for i, words in enumerate(sentences)
    ]
    windows = split_into_windows(sentences, DEMO, max_seq_length)
    places = np.arange(max_seq_length)
    pairs = []
    for number, window in enumerate(windows):
        mask = convert_window(window, {}, max_seq_length, DEMO)[0]
        logits = np.stack([places, places * 0 + number], axis=1)  # [S, 2]
        rows = first_piece_rows(logits, window)
        assert rows.tolist() == logits[np.equal(mask["label_mask"], 1)].tolist()
        firsts = np.cumsum([1, *map(len, window.pieces)])[:-1]
        assert rows.tolist() == [[place, number] for place in firsts]
        pairs.append((window, rows))
    joined = list(join_windows(iter(pairs)))
    assert [sentence for sentence, _ in joined] == sentences
    for sentence, rows in joined:
        assert rows.shape == (len(sentence.words), 2)
    rows_of_all = [row for _, rows in joined for row in rows.tolist()]
    assert rows_of_all == [row for _, rows in pairs for row in rows.tolist()]


def written(sentences):
    return "".join(
        tagging.conll_lines(sentence, ["B-X"] * len(sentence.words))
        for sentence in sentences
    )


def test_predictions_stand_behind_the_rows(tmp_path):
    sentences = read(tmp_path, "\ufeff" + TWO_SENTENCES.replace(" ", "\t"))
    tabs = written(sentences)
    sentences = read(tmp_path, "\ufeff" + TWO_SENTENCES.replace(" ", "  "))
    assert tabs.replace("\t", " ") == written(sentences)
    assert tabs.startswith(
        "-DOCSTART-\t-X-\tO\tO\tO\n\nEU\tNNP\tB-NP\tB-ORG\tB-X\n"
    )
    assert written(sentences) == (
        "-DOCSTART- -X- O O O\n"
        "\n"
        "EU NNP B-NP B-ORG B-X\n"
        "rejects VBZ B-VP O B-X\n"
        "\n"
        "Peter NNP B-NP B-PER B-X\n"
    )


def test_each_word_needs_a_tag():
    with pytest.raises(ValueError):
        tagging.conll_lines(sentence_of("a b"), ["O"])


# A file with NUL characters is a binary one, or in UTF-16.
printed = words.filter(lambda word: "\0" not in word)
lines = st.one_of(
    st.lists(printed, min_size=1, max_size=4),
    st.just([]),
    st.just(["-DOCSTART-", "O"]),
)


@given(
    rows=st.lists(lines),
    space=st.sampled_from([" ", "\t", "  \t"]),
    end=st.sampled_from(["\n", "\r\n"]),
    ends=st.booleans(),
)
def test_the_written_file_has_the_rows_of_the_read_one(
    tmp_path_factory, rows, space, end, ends
):
    rows = [["a"], *rows]
    content = "".join(space.join(row) + end for row in rows)
    if not ends and rows[-1]:
        content = content.removesuffix(end)
    folder = tmp_path_factory.mktemp("conll")
    (folder / "words.txt").write_text(content, newline="")
    columns = tagging.WordColumns(word_column="1")
    file = tagging.read_file(str(folder / "words.txt"), "test", columns)
    found = written(file.sentences)
    assert found.endswith("\n")
    lines = found.removesuffix("\n").split("\n")
    lines = [re.sub("[ \t](O|B-X)$", "", line) for line in lines]
    if space != " ":  # Tabs come back as tabs.
        lines = [re.sub("[ \t]+", " ", line) for line in lines]
    assert lines == [" ".join(row) for row in rows]
