"""SQuAD files, windows and answers, against the original and by properties."""

import collections
import gzip
import io
import json
import random

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from support.common import read_npz, shared
from support.programs import DEMO
from support.squad_files import (
    BAKERY,
    LIGHTHOUSE,
    one_question,
    squad_data,
    write_json,
)

from bert_tf import FullTokenizer
from bert_tf.data import features
from bert_tf.data.squad import answers as squad_answers
from bert_tf.data.squad import dataset as squad_dataset
from bert_tf.data.squad import examples as squad_examples
from bert_tf.data.squad import windows as squad_windows
from bert_tf.data.squad.answers import AnswerSettings, RawResult, find_answer
from bert_tf.errors import UserError
from bert_tf.text import packing

GOLDEN_SQUAD = "golden/6_run_squad"
VOCAB = str(DEMO / "demo" / "vocab.txt")


@pytest.fixture(scope="module")
def tokenizer():
    return FullTokenizer(VOCAB)


def read(tmp_path, data, is_training=False, **settings):
    path = write_json(tmp_path / "squad.json", data)
    return squad_examples.SquadExamples(path, is_training, **settings)


# ---------------------------------------------------------------------------
# The original's outputs.


def golden_features(name):
    """(settings, examples, features) of the original."""
    with gzip.open(shared(f"{GOLDEN_SQUAD}/features_{name}.jsonl.gz")) as f:
        head, *rows = map(json.loads, f)
    return head["settings"], head["examples"], rows


def converted(settings):
    """(examples, features) of ours, by the same settings."""
    version_2 = settings["version_2_with_negative"]
    path = str(shared(f"{GOLDEN_SQUAD}/squad_{settings['file']}.json"))
    examples = squad_examples.read_squad_examples(
        path, settings["is_training"], version_2
    )
    vocab = str(shared(f"data/vocab/{settings['vocab']}"))
    return examples, squad_windows.convert_examples_to_features(
        examples,
        FullTokenizer(vocab, settings["do_lower_case"]),
        settings["max_seq_length"],
        settings["doc_stride"],
        settings["max_query_length"],
        settings["is_training"],
    )


@pytest.mark.parametrize("name", ["v1_predict", "v1_train", "v2_predict"])
def test_examples_and_features_are_the_originals(name):
    settings, expected_examples, expected = golden_features(name)
    examples, windows = converted(settings)
    assert len(examples) == len(expected_examples)
    for ours, theirs in zip(examples, expected_examples, strict=True):
        theirs = dict(theirs)
        assert len(ours.doc_tokens) == theirs.pop("n_doc_tokens")
        assert {key: getattr(ours, key) for key in theirs} == theirs
    assert len(windows) == len(expected)
    for ours, theirs in zip(windows, expected, strict=True):
        for key in (
            *("unique_id", "example_index", "doc_span_index", "tokens"),
            *("start_position", "end_position", "is_impossible"),
        ):
            assert getattr(ours, key) == theirs[key], key
        for key in ("token_to_orig_map", "token_is_max_context"):
            by_place = {str(k): v for k, v in getattr(ours, key).items()}
            assert by_place == theirs[key], key
        padded = packing.pad(theirs["input_ids"], theirs["padded_length"])
        assert ours.input_ids == padded[: theirs["padded_length"]]
        assert sum(ours.input_mask) == theirs["n_tokens"]
        assert sum(ours.segment_ids) == theirs["n_segment_1"]
        assert ours.segment_ids.index(1) == theirs["first_segment_1"]


@pytest.mark.parametrize("name", ["v1_predict", "v2_predict"])
def test_predictions_are_the_originals_byte_for_byte(name):
    settings, _, _ = golden_features(name)
    examples, windows = converted(settings)
    logits = read_npz(shared(f"{GOLDEN_SQUAD}/logits_{name}.npz"))
    results = [
        RawResult(*row)
        for row in zip(
            logits["unique_ids"].tolist(),
            logits["start_logits"],
            logits["end_logits"],
            strict=True,
        )
    ]
    random.Random(0).shuffle(results)  # They may come in any order.
    version_2 = settings["version_2_with_negative"]
    predictions, nbest, null_odds = squad_answers.compute_predictions(
        examples, windows, results, 20, 30, True, version_2, 0.0
    )
    folder = shared(GOLDEN_SQUAD)
    assert written(predictions) == (
        folder / f"{name}.predictions.json"
    ).read_text("utf-8")
    with gzip.open(folder / f"{name}.nbest_predictions.json.gz") as reader:
        assert written(nbest) == reader.read().decode()
    if version_2:
        assert written(null_odds) == (
            folder / f"{name}.null_odds.json"
        ).read_text("utf-8")


def written(values):
    writer = io.StringIO()
    with squad_answers.writing_json_object(writer) as write:
        for key, value in values.items():
            write(key, value)
    return writer.getvalue()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"a": "x\n}é"},
        {"a": [{"text": "", "probability": 1.0}], 'b"\n': [], "c": {}},
    ],
)
def test_files_are_written_as_json_would(values):
    assert written(values) == json.dumps(values, indent=4) + "\n"


# ---------------------------------------------------------------------------
# Reading.


def test_words_and_answers(tmp_path):
    examples = list(read(tmp_path, squad_data(), is_training=True))
    assert [e.qas_id for e in examples][:4] == [
        *("light-0", "light-1", "light-2"),
        "bake-0",
    ]
    first = examples[0]
    assert first.doc_tokens == LIGHTHOUSE.split()
    words = first.doc_tokens[first.start_position : first.end_position + 1]
    assert words == ["Marta", "Lindqvist,"]
    assert first.orig_answer_text == "Marta Lindqvist"
    assert examples[1].doc_tokens is first.doc_tokens


def test_questions_without_an_answer(tmp_path):
    data = squad_data(version=2)
    found = read(tmp_path, data, True, version_2_with_negative=True)
    assert (len(found), found.num_marked_impossible) == (8, 2)
    impossible = [e for e in found if e.is_impossible]
    assert [e.qas_id for e in impossible] == ["light-3", "bake-3"]
    assert {(e.start_position, e.end_position) for e in impossible} == {
        (-1, -1)
    }
    with pytest.raises(
        UserError,
        match=r"data\[0\].paragraphs\[0\].qas\[3\].*"
        "is_impossible is true.*version_2_with_negative",
    ):
        read(tmp_path, data, True)
    # To answer them all is no mistake.
    assert len(read(tmp_path, data)) == 8


def test_impossible_questions_need_no_answers(tmp_path):
    data = one_question("x", answers=None, is_impossible=True)
    plausible = {"text": "x", "answer_start": 0}
    more = one_question("x", answers=[plausible] * 2, is_impossible=True)
    data["data"] += more["data"]
    found = read(tmp_path, data, True, version_2_with_negative=True)
    assert len(found) == 2 and found.num_with_several_answers == 0


def test_answers_that_are_not_where_they_should_be(tmp_path):
    def data(start, text):
        return one_question(
            "one two three", answers=[{"text": text, "answer_start": start}]
        )

    good = data(4, "two")
    for bad in (
        data(4, "twenty"),
        data(8, "wo"),
        data(11, "ee and more"),
        data(4, ""),
        data(4, "  "),
    ):
        skipped = []
        question = {**bad["data"][0]["paragraphs"][0]["qas"][0], "id": "bad"}
        both = json.loads(json.dumps(good))
        both["data"][0]["paragraphs"][0]["qas"].append(question)
        found = read(
            tmp_path,
            both,
            True,
            on_skip=lambda *args, s=skipped: s.append(args),
        )
        assert (len(found), found.num_skipped) == (1, 1)
        assert [e.qas_id for e in found] == ["q"]
        ((qas_id, place, text),) = skipped
        assert (qas_id, text) == ("bad", question["answers"][0]["text"])
        assert place.endswith("data[0].paragraphs[0].qas[1]")
        assert not found.notes
    with pytest.raises(UserError, match="no question with an answer in its"):
        read(tmp_path, data(8, "wo"), True)


def test_of_several_answers_the_first_is_learned(tmp_path):
    answers = [
        {"text": "two", "answer_start": 4},
        {"text": "three", "answer_start": 8},
    ]
    found = read(tmp_path, one_question("one two three", answers=answers), True)
    assert found.num_with_several_answers == 1
    assert [e.orig_answer_text for e in found] == ["two"]


@pytest.mark.parametrize(
    "data, message",
    [
        ("", "not JSON: .*premature EOF"),
        ('{"data": [{"paragraphs": [', "not JSON: .*premature EOF"),
        ("Who?", "not JSON: lexical error"),
        (b'{"data": ["\xff"]}', "not JSON: .*UTF8"),
        ("[]", 'the list "data"'),
        ({"data": 3}, 'the list "data"'),
        ({"data": [3]}, r"data\[0\]: must be an object"),
        # ijson reads it, or not: it depends on its version.
        (b'{"data": [{"paragraphs": "\\udc00"}]}', r"surrogate|must be a list"),
        ("{}".encode("utf-16").decode("latin-1"), "not JSON: lexical error"),
        ({"date": []}, 'the list "data"'),
        ({"data": []}, 'the list "data"'),
        ({"data": [{"paragraphs": []}]}, "no question"),
        ({"data": [{}]}, r'data\[0\]: "paragraphs" is missing'),
        (
            {"data": [{"paragraphs": [{"qas": []}]}]},
            r'data\[0\].paragraphs\[0\]: "context" is missing',
        ),
        (
            {"data": [{"paragraphs": [3]}]},
            r"data\[0\].paragraphs\[0\]: must be an object",
        ),
        (
            {"data": [{"paragraphs": [{"context": ["x"], "qas": []}]}]},
            '"context" must be text',
        ),
        (one_question("x", id=["x"]), r'qas\[0\]: "id" must be text or a num'),
        (one_question("x", question=None), '"question" is missing'),
        (one_question("x", answers=True), r"answers\[0\]: must be a text"),
        (
            one_question("x", answers=[{"answer_start": 0}]),
            r'qas\[0\].answers\[0\]: "text" is missing',
        ),
        (
            one_question("x", answers=[{"text": "x", "answer_start": "a"}]),
            '"answer_start" must be a whole number, not "a"',
        ),
        (one_question("x", is_impossible="no"), "must be true or false"),
    ],
)
def test_files_that_are_not_squads(tmp_path, data, message):
    path = tmp_path / "squad.json"
    if isinstance(data, dict):
        data = json.dumps(data)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(UserError, match=message) as caught:
        squad_examples.SquadExamples(str(path), False)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_an_id_that_comes_twice(tmp_path):
    data = squad_data()
    data["data"].append(data["data"][0])
    message = (
        r"data\[2\].*'light-0' comes twice, first at "
        r"data\[0\].paragraphs\[0\].qas\[0\];"
    )
    with pytest.raises(UserError, match=message):
        read(tmp_path, data)
    with pytest.raises(UserError, match=message):
        squad_examples.read_answers(str(tmp_path / "squad.json"))
    # To learn from it twice is no mistake.
    assert len(read(tmp_path, data, is_training=True)) == 9


def test_a_byte_order_mark_and_odd_white_space(tmp_path):
    path = tmp_path / "squad.json"
    text = json.dumps(one_question("\u202fa\tb \r\nc\u00a0d\n"))
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    (example,) = squad_examples.read_squad_examples(str(path), False)
    assert example.doc_tokens == ["a", "b", "c\u00a0d"]


def test_articles_are_read_one_after_the_other(tmp_path, monkeypatch):
    """The last article is not parsed before the first one is used."""
    path = tmp_path / "squad.json"
    data = squad_data()
    article = json.dumps(data["data"][0])
    filler = json.dumps({"paragraphs": [{"context": "x" * 99_999, "qas": []}]})
    path.write_text(f'{{"data": [{article}, {", ".join([filler] * 9)}, wrong')
    examples = squad_examples.SquadExamples.__new__(
        squad_examples.SquadExamples
    )
    examples.path, examples.is_training = str(path), False
    iterator = iter(examples)
    assert next(iterator).qas_id == "light-0"
    with pytest.raises(UserError, match="not JSON"):
        list(iterator)


# ---------------------------------------------------------------------------
# Windows.


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 25))
def test_windows_hold_every_piece_and_end_at_the_last(num_pieces, room, stride):
    spans = squad_windows.sliding_windows(num_pieces, room, stride)
    covered = {p for start, n in spans for p in range(start, start + n)}
    assert covered == set(range(num_pieces))
    assert all(0 < n <= room for _, n in spans)
    assert all(n == room for _, n in spans[:-1])
    starts = [start for start, _ in spans]
    assert starts == [i * min(room, stride) for i in range(len(spans))]
    assert sum(start + n == num_pieces for start, n in spans) == bool(spans)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 25))
def test_a_piece_has_most_context_in_one_window(num_pieces, room, stride):
    spans = squad_windows.sliding_windows(num_pieces, room, stride)
    found = squad_windows.max_context(spans, num_pieces)
    for piece in range(num_pieces):
        scores = {
            index: min(piece - start, start + n - 1 - piece) + 0.01 * n
            for index, (start, n) in enumerate(spans)
            if start <= piece < start + n
        }
        best = max(scores, key=lambda index: (scores[index], -index))
        for index in scores:
            is_best = found[index][piece - spans[index][0]]
            assert is_best == (index == best)


def test_the_answer_within_its_words(tokenizer, tmp_path):
    """ "1871" of "(1871-1923)," is found; of "1871st" the word remains."""
    context = "It burned (1871-1923), say some."
    data = one_question(context, answers=[{"text": "1871", "answer_start": 11}])
    (window,) = squad_windows.convert_examples_to_features(
        read(tmp_path, data, True), tokenizer, 48, 16, 12, True
    )
    answer = window.tokens[window.start_position : window.end_position + 1]
    assert answer == tokenizer.tokenize("1871")
    data = one_question(
        "Japanese food", answers=[{"text": "Japan", "answer_start": 0}]
    )
    (window,) = squad_windows.convert_examples_to_features(
        read(tmp_path, data, True), tokenizer, 48, 16, 12, True
    )
    answer = window.tokens[window.start_position : window.end_position + 1]
    assert answer in (
        tokenizer.tokenize("Japanese"),
        tokenizer.tokenize("Japan"),
    )


def test_windows_without_the_whole_answer_point_at_cls(tokenizer, tmp_path):
    examples = list(read(tmp_path, squad_data(), True))
    windows = squad_windows.convert_examples_to_features(
        examples, tokenizer, 32, 8, 8, True
    )
    by_example = collections.defaultdict(list)
    for window in windows:
        by_example[window.example_index].append(window)
        is_whole = window.start_position > 0
        assert is_whole == (window.end_position > 0)
        if is_whole:
            assert window.start_position >= window.doc_offset
            assert window.end_position < window.num_tokens - 1
    assert all(
        any(w.start_position for w in group) for group in by_example.values()
    )
    assert not all(w.start_position for w in windows)
    assert [w.unique_id for w in windows] == list(
        range(1_000_000_000, 1_000_000_000 + len(windows))
    )


def test_bounds(tokenizer):
    with pytest.raises(ValueError, match="max_seq_length must exceed"):
        converter_of(tokenizer, 19, 8, 16)
    with pytest.raises(ValueError, match="doc_stride"):
        converter_of(tokenizer, 20, 0, 16)
    # One piece of the context in each window is the least.
    converter = converter_of(tokenizer, 20, 8, 16)
    example = squad_examples.SquadExample("q", "who " * 30, ["the", "bread"])
    windows = converter.convert(example)
    assert {w.doc_length for w in windows} == {1}
    assert len(windows[0].query) == 16
    assert converter.num_cut_questions == 1


def converter_of(tokenizer, max_seq_length, doc_stride, max_query_length):
    return squad_windows.FeatureConverter(
        tokenizer,
        max_seq_length=max_seq_length,
        doc_stride=doc_stride,
        max_query_length=max_query_length,
        is_training=False,
    )


def test_empty_contexts_and_questions(tokenizer):
    converter = converter_of(tokenizer, 20, 8, 16)
    for words in ([], ["\u200b"]):
        assert (
            converter.convert(squad_examples.SquadExample("q", "who?", words))
            == []
        )
    (window,) = converter.convert(
        squad_examples.SquadExample("q", "", ["bread"])
    )
    assert window.tokens == ["[CLS]", "[SEP]", "bread", "[SEP]"]


def settings_of(**changes):
    values = {
        "vocab_file": VOCAB,
        "do_lower_case": True,
        "max_seq_length": 32,
        "doc_stride": 8,
        "max_query_length": 8,
        "is_training": True,
    }
    return squad_windows.ConverterSettings(**{**values, **changes})


def many_questions(tmp_path, number=600):
    paragraphs = [
        {
            "context": context,
            "qas": [
                {
                    "id": f"{name}-{i}",
                    "question": f"What is {i}?",
                    "answers": [{"text": "the", "answer_start": 0}],
                }
                for i in range(number // 2)
            ],
        }
        for name, context in (
            ("a", "the " + LIGHTHOUSE),
            ("b", "the " + BAKERY),
        )
    ]
    return read(tmp_path, {"data": [{"paragraphs": paragraphs}]}, True)


def test_blocks_are_bounded_by_questions_and_by_words():
    words = ["word"] * 60_000
    shared = [squad_examples.SquadExample("q", "", words)] * 600
    sizes = [len(b) for b in squad_dataset.blocks_of(shared)]
    assert sizes == [256, 256, 88]
    own = [squad_examples.SquadExample("q", "", list(words)) for _ in range(5)]
    assert [len(b) for b in squad_dataset.blocks_of(own)] == [2, 2, 1]
    assert list(squad_dataset.blocks_of([])) == []


def test_several_processes_make_the_same_rows_in_the_same_order(tmp_path):
    examples = many_questions(tmp_path)
    one = squad_dataset.WindowRows(examples, settings_of(), num_processes=1)
    two = squad_dataset.WindowRows(examples, settings_of(), num_processes=2)
    rows = list(one)
    assert list(two) == rows
    assert len(one) == len(two) == len(rows) > 600
    # The settings say how, whoever converts.
    assert len(
        squad_dataset.WindowRows(examples, settings_of(doc_stride=16))
    ) < len(one)


@pytest.mark.parametrize("is_training", [True, False])
def test_rows_and_records_are_the_features(tokenizer, tmp_path, is_training):
    examples = read(tmp_path, squad_data(), is_training)
    settings = settings_of(is_training=is_training)
    rows = squad_dataset.WindowRows(examples, settings)
    batch = next(iter(squad_dataset.dataset_of_rows(rows).batch(len(rows))))
    from_rows = squad_dataset.pad_rows(batch, 32)
    windows = list(settings.make().windows(examples))
    for name in ("input_ids", "input_mask", "segment_ids"):
        expected = [getattr(window, name) for window in windows]
        np.testing.assert_array_equal(from_rows[name], expected)
    expected = [window.start_position or 0 for window in windows]
    np.testing.assert_array_equal(from_rows["start_positions"], expected)

    path, specs = (
        str(tmp_path / "x"),
        squad_dataset.window_specs(32, is_training),
    )
    features.write_tf_records(
        path, map(squad_dataset.window_features, windows), specs
    )
    record = next(iter(tf.data.TFRecordDataset(path)))
    keys = set(tf.train.Example.FromString(record.numpy()).features.feature)
    expected = {"unique_ids", "input_ids", "input_mask", "segment_ids"}
    if is_training:
        expected |= {"start_positions", "end_positions", "is_impossible"}
    assert keys == expected
    batch = next(iter(features.record_rows(path).batch(len(windows))))
    from_records = squad_dataset.parse_record_rows(batch, specs)
    for name in set(from_records) - {"is_impossible"}:
        np.testing.assert_array_equal(from_records[name], from_rows[name])


# ---------------------------------------------------------------------------
# Answers.


def answer_of(tokenizer, context, start_logits, end_logits, **settings):
    """The answer of one window without a question."""
    example = squad_examples.SquadExample("q", "", context.split())
    converter = converter_of(tokenizer, 64, 32, 8)
    windows = converter.convert(example)
    results = [
        RawResult(w.unique_id, padded(start_logits), padded(end_logits))
        for w in windows
    ]
    return find_answer(example, windows, results, AnswerSettings(**settings))


def padded(logits):
    return np.array([*logits, *[-9.0] * (64 - len(logits))], np.float32)


def test_scores_probabilities_and_limits(tokenizer):
    # [CLS] [SEP] the bread is the bread [SEP]
    start = [0, 0, 3, 2, 0, 3, 2, 9]
    end = [0, 0, 0, 3, 0, 0, 3, 9]
    answer = answer_of(tokenizer, "the bread is the bread", start, end)
    assert answer.text == "the bread"
    first = answer.nbest[0]
    assert (first["start_logit"], first["end_logit"]) == (3.0, 3.0)
    texts = [entry["text"] for entry in answer.nbest]
    assert len(set(texts)) == len(texts)
    assert texts[1] == "the bread is the bread"
    total = sum(entry["probability"] for entry in answer.nbest)
    assert total == pytest.approx(1.0)
    assert answer.null_odds is None
    short = answer_of(
        tokenizer, "the bread is the bread", start, end, max_answer_length=1
    )
    assert short.text == "bread"
    one = answer_of(
        tokenizer, "the bread is the bread", start, end, n_best_size=1
    )
    assert one.text == "empty"  # The best start is [SEP].


def test_no_answer_in_squad_2(tokenizer):
    start, end = [5, 0, 3, 0, 0], [5, 0, 0, 3, 0]

    def answer(threshold=0.0, start=start, **settings):
        return answer_of(
            tokenizer,
            "the bread",
            start,
            end,
            version_2_with_negative=True,
            null_score_diff_threshold=threshold,
            **settings,
        )

    assert answer().text == ""
    assert answer().null_odds == pytest.approx(4.0)
    assert answer().best_text == "the bread"
    assert answer(threshold=4.5).text == "the bread"
    assert answer().nbest[0]["text"] == ""
    # Nothing but the null answer is left: the original fails here.
    alone = answer(n_best_size=1)
    assert alone.text == "" and len(alone.nbest) == 1
    assert alone.null_odds == squad_answers.CERTAINLY_NULL
    json.dumps(alone.nbest, allow_nan=False)


@pytest.mark.parametrize("version_2, text", [(False, "empty"), (True, "")])
def test_a_context_without_tokens_has_an_answer_file_too(
    tokenizer, version_2, text
):
    """In SQuAD 2.0 the original fails here."""
    answer = answer_of(tokenizer, "", [], [], version_2_with_negative=version_2)
    assert answer.text == text
    assert answer.nbest == [
        {"text": text, "probability": 1.0, "start_logit": 0.0, "end_logit": 0.0}
    ]
    json.dumps(answer.null_odds, allow_nan=False)


@pytest.mark.parametrize(
    "predicted, original, expected",
    [
        ("steve smith", "Steve Smith's", "Steve Smith"),
        ("1871", "(1871-1923),", "1871"),
        ("creme fraiche", "Crème fraîche.", "Crème fraîche"),
        ("smith", "Steve Smith's", "Smith"),
        ("s", "Steve Smith's", "S"),  # The first place, as in the original.
        # Not found, or not as many characters: the words as a whole.
        ("smyth", "Steve Smith's", "Steve Smith's"),
        ("ab", "a\u200bb c", "a\u200bb c"),
        ("\u0307", "İ b", "İ b"),
    ],
)
def test_final_text(predicted, original, expected):
    failures = []
    found = squad_answers.get_final_text(
        predicted, original, True, failures.append
    )
    assert found == expected
    assert bool(failures) == (found == original)


@pytest.mark.parametrize(
    "settings, predicted, original",
    [
        ({"do_lower_case": True, "strip_accents": False}, "café", "Café!"),
        ({"do_lower_case": False, "strip_accents": True}, "Cafe", "Café!"),
        (
            {"do_lower_case": True, "tokenize_chinese_chars": False},
            "中国",
            "中国!",
        ),
    ],
)
def test_final_text_of_other_tokenizers(settings, predicted, original):
    found = squad_answers.get_final_text(predicted, original, **settings)
    assert found == original[:-1]


def test_answers_are_parts_of_their_contexts(tokenizer, tmp_path):
    """Random outputs, all kinds of texts: nothing fails, nothing is made up."""
    rng = np.random.default_rng(0)
    contexts = [LIGHTHOUSE, BAKERY, "İ ß ﬁ \u200b x", "a" * 300, "漢字 ok?"]
    for context in contexts:
        example = next(iter(read(tmp_path, one_question(context))))
        converter = converter_of(tokenizer, 32, 8, 8)
        windows = converter.convert(example)
        results = [
            RawResult(w.unique_id, *rng.normal(size=(2, 32)).astype("f4"))
            for w in windows
        ]
        for version_2 in (False, True):
            settings = AnswerSettings(version_2_with_negative=version_2)
            answer = find_answer(example, windows, results, settings)
            for text in {entry["text"] for entry in answer.nbest} - {"empty"}:
                assert text in " ".join(example.doc_tokens)
