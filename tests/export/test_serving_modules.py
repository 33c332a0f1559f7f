"""What exported models compute, against the Python way of the programs."""

import dataclasses
import gzip
import json
import os
import pathlib
import shutil
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.common import shared
from support.programs import DEMO, SMALL_CONFIG, program_of

from bert_tf import BertConfig, FullTokenizer
from bert_tf.data import tagging
from bert_tf.data.input_example import InputExample
from bert_tf.data.multiple_choice import ChoiceExample
from bert_tf.data.text_reader import TextReader, TextReaderSettings
from bert_tf.errors import UserError
from bert_tf.export import given_words, kinds, lite, saved_models, writing
from bert_tf.export.answering import WholeAnswers
from bert_tf.export.predictor import Predictor
from bert_tf.export.serving_modules import SAMPLES, EmbeddingServing, InputShape
from bert_tf.export.tagging import SPACES, split_at, split_text
from bert_tf.pooling import BertEmbedder
from bert_tf.tasks.multiple_choice import MultipleChoice
from bert_tf.tasks.problem import HeadSettings, sigmoid, softmax
from bert_tf.tasks.regression import Regression
from bert_tf.tasks.tagging import Tagging
from bert_tf.tasks.texts import MultiLabel, SingleLabel

PREDICT = program_of("bert_tf.tools.predict")
VOCAB = str(DEMO / "demo" / "vocab.txt")
CONFIG = BertConfig.from_dict(SMALL_CONFIG)
LENGTH = 24
LABELS = ["ham", "spähm", "no"]
TEXTS = [text.replace("\0", "") for text in SAMPLES]


def reader(**settings):
    tokenizer = FullTokenizer(VOCAB)
    settings = TextReaderSettings(
        **{"vocab_file": VOCAB, "max_seq_length": LENGTH, **settings}
    )
    return TextReader(tokenizer, settings)


def model_of(problem):
    """A model whose answers to different texts differ."""
    keras.utils.set_random_seed(3)
    model = problem.build_model(CONFIG, HeadSettings())
    shape = model.output_weights.shape
    rng = np.random.default_rng(0)
    model.output_weights.assign(rng.normal(size=shape))
    return model


def logits_of(problem, model, examples, read=None):
    """The model's outputs for examples, converted in Python."""
    read = read or reader()
    rows = [
        problem.convert(e, read)[0] for e in problem.prepare(examples, read)
    ]
    names = ("input_ids", "input_mask", "segment_ids")
    inputs = {n: np.array([row[n] for row in rows], np.int32) for n in names}
    return np.array(model(inputs, training=False))


def strings(rows):
    return tf.constant([row.encode() for row in rows])


@pytest.mark.parametrize(
    "problem",
    [
        SingleLabel(LABELS),
        MultiLabel(LABELS, {"ham": 0.3, "no": 0.6}),
        Regression(3.0, 2.5),
    ],
    ids=lambda problem: problem.kind,
)
@pytest.mark.parametrize("takes_pairs", [False, True], ids=["texts", "pairs"])
def test_answers_of_texts_are_the_programs(problem, takes_pairs):
    model = model_of(problem)
    others = TEXTS[::-1] if takes_pairs else [None] * len(TEXTS)
    examples = [
        InputExample(str(i), *pair)
        for i, pair in enumerate(zip(TEXTS, others, strict=True))
    ]
    logits = logits_of(problem, model, examples)
    module = problem.serving_module(model, reader(), InputShape(), takes_pairs)
    columns = (TEXTS, others) if takes_pairs else (TEXTS,)
    found = module.serve(*map(strings, columns))
    found = {name: value.numpy() for name, value in found.items()}
    if problem.kind == "regression":
        expected = [problem.predict(row) for row in logits]
        np.testing.assert_allclose(found["prediction"], expected, atol=1e-5)
        return
    by_kind = {"single_label": softmax, "multi_label": sigmoid}
    expected = by_kind[problem.kind](logits)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    assert [x.decode() for x in found["labels"][0]] == LABELS
    best = [LABELS[i] for i in expected.argmax(axis=-1)]
    assert [x.decode() for x in found["label"]] == best
    np.testing.assert_allclose(found["score"], expected.max(-1), atol=1e-5)
    if problem.kind == "multi_label":
        np.testing.assert_array_equal(
            found["is_given"], problem.predict(logits)
        )


def test_windows_of_long_texts():
    problem = SingleLabel(LABELS)
    model = model_of(problem)
    read = reader(long_documents="windows", max_windows=3, doc_stride=10)
    examples = [InputExample(str(i), t) for i, t in enumerate(TEXTS)]
    expected = softmax(logits_of(problem, model, examples, read))
    found = problem.serving_module(model, read, InputShape(), False).serve(
        strings(TEXTS)
    )
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)


def test_endings():
    problem = MultipleChoice(3)
    model = model_of(problem)
    examples = [
        ChoiceExample("0", "call me", ["now", "late 東京", "tea"], None),
        ChoiceExample("1", "is it", ["no", "yes"], None),
        ChoiceExample("2", TEXTS[-1], ["", "bread " * 40], None),
    ]
    expected = softmax(logits_of(problem, model, examples))
    module = problem.serving_module(model, reader(), InputShape(), True)
    found = module.serve(
        strings([example.text for example in examples]),
        tf.stack([strings([*e.endings, ""][:3]) for e in examples]),
    )
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    np.testing.assert_array_equal(found["label"], expected.argmax(axis=-1))


@pytest.mark.slow
def test_endings_of_different_number(tmp_path):
    """ "" behind the last ending is none, alone or beside more."""
    problem = MultipleChoice(3)
    module = problem.serving_module(
        model_of(problem), reader(), InputShape(), True
    )
    writing.export_module(str(tmp_path / "export"), module)
    predictor = Predictor(str(tmp_path / "export"))
    three, two = ("a", ["b", "", "c"]), ("call", ["home", "now"])
    together = predictor.predict([three, two, ("call", ["home", "now", ""])])
    assert [len(x["probabilities"]) for x in together] == [3, 2, 2]
    (alone,) = predictor.predict([two])
    for found in together[1:]:
        assert found["probabilities"] == pytest.approx(
            alone["probabilities"], abs=1e-6
        )
    for endings in ([], ["", ""], "b", [1]):
        with pytest.raises(ValueError, match="item 0: .*ending"):
            predictor.predict([("a", endings)])


TAGS = ["O", "B-PER", "I-PER", "B-LOC"]


@pytest.fixture(scope="module")
def tagger():
    problem = Tagging(TAGS)
    model = model_of(problem)
    return (
        problem,
        model,
        problem.serving_module(model, reader(), InputShape(), False),
    )


def test_tags_of_words_are_the_programs(tagger):
    """Sentences of one window and of several, words too long for any."""
    problem, model, module = tagger
    rng = np.random.default_rng(1)
    known = "call home U.S. 3-1 dvořák's 東京 " + "a" * 120 + " \u200b it . ,"
    words = known.split(" ")
    sentences = [[*rng.choice(words, size)] for size in (1, 3, 17, 60, 200, 5)]
    examples = [
        tagging.Sentence(str(i), words, None, words)
        for i, words in enumerate(sentences)
    ]
    windows = problem.prepare(examples, reader())
    assert len(windows) > 2 * len(sentences)
    rows = [problem.convert(window, reader())[0] for window in windows]
    logits = logits_of(problem, model, examples)
    answers = problem.predictions(zip(logits, rows, strict=True), windows)
    found = module.words(strings([" ".join(s) for s in sentences]))
    for row, (_, expected) in enumerate(answers):
        number = len(sentences[row])
        probabilities = softmax(expected)
        np.testing.assert_allclose(
            found["scores"][row, :number], probabilities.max(-1), atol=1e-5
        )
        tags = [tag.decode() for tag in found["tags"].numpy()[row]]
        assert tags[:number] == problem.tags(expected)
        assert {*tags[number:]} <= {""}
        texts = [word.decode() for word in found["words"].numpy()[row]]
        assert texts[:number] == sentences[row]


def test_given_words_stay_as_they_are(tagger):
    """Also those with blanks, without letters, and empty ones."""
    problem, model, module = tagger
    words = ["call home", "", "it\0", "\u200b", "\n", "U.S.", "a\tb", "é"]
    example = tagging.Sentence("0", words, None, words)
    windows = problem.prepare([example], reader())
    logits = logits_of(problem, model, [example])
    rows = [problem.convert(window, reader())[0] for window in windows]
    answers = problem.predictions(zip(logits, rows, strict=True), windows)
    ((_, expected),) = answers
    # Next to a text that has more words.
    outputs = module.words(
        strings([given_words.joined(words).decode(), "a b c d e f g h i"])
    )
    columns = {name: value.numpy() for name, value in outputs.items()}
    found = given_words.answer({n: c[:1] for n, c in columns.items()}, [words])
    both = given_words.merged(
        [([1], found), ([0], {n: c[1:] for n, c in columns.items()})]
    )
    text, answer = kinds.tagged_words(both)
    assert len(text["words"]) == 9
    assert answer["words"] == words
    assert answer["tags"] == problem.tags(expected)
    np.testing.assert_allclose(
        answer["scores"], softmax(expected).max(-1), atol=1e-5
    )
    for entity in answer["entities"]:
        place = slice(entity["start"], entity["end"])
        assert " ".join(words)[place] == entity["text"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ann's in Paris (3-1).", ["Ann's", "in", "Paris", *"(", "3-1", *")."]),
        (" \t", []),
        ("", []),
        ("U.S.", ["U.S", "."]),
        ('"--"', [*'"--"']),
        ("東京abc大", [*"東京", "abc", "大"]),
        ("é\u00a0x\u3000y\u2028z\x00w", ["é", "x", "y", "z", "w"]),
        ("«Он сказал»", ["«", "Он", "сказал", "»"]),
        ("👍🏽ok!", ["👍🏽ok", "!"]),
    ],
)
def test_words_of_raw_text(tagger, text, words):
    _, _, module = tagger
    found = module.serve(strings([text, "a b c d e f g"]))
    number = len(words)
    texts = [word.decode() for word in found["words"].numpy()[0]]
    assert texts == [*words, *[""] * (len(texts) - number)]
    starts = found["starts"].numpy()[0]
    ends = found["ends"].numpy()[0]
    for start, end, word in zip(starts, ends, words, strict=False):
        assert text[start:end] == word
    assert {*starts[number:], *ends[number:]} <= {-1}


def test_places_of_bytes_that_are_no_text(tagger):
    _, _, module = tagger
    found = module.serve(tf.constant([b"caf\xe9 x\xf0\x9f y"]))
    assert [w.decode() for w in found["words"].numpy()[0]][-1] == "y"
    assert found["starts"].numpy()[0, -1] > 0


def test_splitting_keeps_every_other_character():
    texts = [*TEXTS, "(a) b-c, 'd' «e»! 東-京"]
    words = split_text(strings(texts)).texts.to_list()
    for text, found in zip(texts, words, strict=True):
        assert b"".join(found) == "".join(text.split()).encode()
    parted = split_at(strings([" a  b\tc\n"]), SPACES).texts.to_list()
    assert parted == [[b"a", b"b", b"c"]]


# ---------------------------------------------------------------------------
# Written and loaded.


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """(folder, `TextServing`) of an exported model."""
    folder = str(tmp_path_factory.mktemp("pairs") / "export")
    problem = SingleLabel(LABELS)
    module = problem.serving_module(
        model_of(problem), reader(), InputShape(), True
    )
    writing.export_module(folder, module, description={"labels": LABELS})
    return folder, module


@pytest.fixture(scope="module")
def predictor(pairs):
    return Predictor(pairs[0], batch_size=4)


def some_pairs(number):
    rng = np.random.default_rng(number)
    words = "call home free prize 東京 bread now! 👍🏽 dvořák".split()
    text = [" ".join(rng.choice(words, rng.integers(0, 30))) for _ in "ab"]
    return tuple(text)


def test_predictions_come_in_order_and_alone_are_the_same(predictor):
    items = [some_pairs(number) for number in range(23)]
    together = predictor.predict(items)
    for item, expected in zip(items, together, strict=True):
        (alone,) = predictor.predict([item])
        assert alone["label"] == expected["label"]
        assert alone["probabilities"] == pytest.approx(
            expected["probabilities"], abs=1e-6
        )
    named = [{"text_pair": b, "text": a} for a, b in items]
    assert predictor.predict(named) == together
    assert predictor.predict([]) == []
    json.dumps(together)


def test_a_stream_is_read_as_it_is_needed(predictor, monkeypatch):
    monkeypatch.setattr("bert_tf.export.predictor.ITEMS_AT_ONCE", 8)
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield some_pairs(number)

    stream = predictor.stream(items())
    found = [next(stream) for _ in range(10)]
    assert len(taken) == 16
    expected = predictor.predict([some_pairs(n) for n in range(10)])
    assert [x["label"] for x in found] == [x["label"] for x in expected]


def test_signatures_answer_alike(pairs, predictor):
    _, module = pairs
    texts = strings(TEXTS), strings(TEXTS[::-1])
    expected = module.serve(*texts)
    ids = module.encode(*texts)
    examples = [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    name: tf.train.Feature(
                        int64_list=tf.train.Int64List(value=padded(row))
                    )
                    for name, row in zip(ids, rows, strict=True)
                }
            )
        ).SerializeToString()
        for rows in zip(*(value.numpy() for value in ids.values()), strict=True)
    ]
    for found in (
        predictor.signatures["ids"](**ids),
        predictor.signatures["examples"](examples=tf.constant(examples)),
    ):
        assert {*found} == {*expected}
        np.testing.assert_allclose(
            found["probabilities"], expected["probabilities"], atol=1e-5
        )


def test_a_request_without_texts_has_no_answers(pairs, predictor, tagger):
    nothing = tf.constant([], tf.string)
    _, module = pairs
    assert module.serve(nothing, nothing)["probabilities"].shape == (0, 3)
    assert tagger[2].serve(nothing)["tags"].shape[0] == 0
    ids = dict.fromkeys(
        module.encode(nothing, nothing), tf.zeros([0, 8], "int32")
    )
    found = predictor.signatures["ids"](**ids)
    assert found["probabilities"].shape == (0, 3)


@pytest.mark.slow
def test_lite_files_compute_padding_and_answer_alike(pairs):
    folder, module = pairs
    writing.export_lite(folder, module, CONFIG, VOCAB)
    ids = module.encode(strings(TEXTS), strings(TEXTS[::-1]))
    expected = module.ids(**ids)["probabilities"]
    for path, tolerance in zip(
        writing.lite_files(folder), (1e-5, 0.05), strict=True
    ):
        model = lite.LiteModel(path)
        for row, probabilities in enumerate(expected):
            one = {n: value[row : row + 1].numpy() for n, value in ids.items()}
            (found,) = model(**one)["probabilities"]
            np.testing.assert_allclose(found, probabilities, atol=tolerance)
    assert not module.computes_padding  # As before.


def padded(row):
    return [*row, *[0] * (LENGTH - len(row))]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("a", "must have 2 values, text and text_pair, not 1"),
        (("a",), "must have 2 values, text and text_pair, not 1"),
        (("a", None), "text_pair must be str, not NoneType"),
        ((b"a", "b"), "text must be str, not bytes"),
        ({"text": "a"}, "must have text and text_pair, and has text"),
        (7, "must be str, tuple or dict, not int"),
    ],
)
def test_items_that_are_none(predictor, item, message):
    with pytest.raises(ValueError, match=f"item 1: {message}"):
        predictor.predict([("a", "b"), item])


def test_half_a_surrogate_pair_is_a_question_mark(predictor):
    found = predictor.predict([("a \ud800", "b"), ("a ?", "b")])
    assert found[0]["score"] == pytest.approx(found[1]["score"])


@pytest.mark.slow
def test_a_mismatch_fails_the_export(pairs, tmp_path):
    folder, module = pairs
    other = SingleLabel(LABELS)
    model = model_of(other)
    model.output_bias.assign([0.0, 1e-3, 0.0])
    changed = other.serving_module(model, reader(), InputShape(), True)
    with pytest.raises(RuntimeError, match="answers differently: "):
        writing.export_module(str(tmp_path / "new"), module, changed)
    assert not (tmp_path / "new").exists()
    assert not [*tmp_path.iterdir()]
    writing.check_same(folder, module, 1e-5)


@pytest.mark.slow
def test_real_texts_behind_a_move_and_without_the_vocabulary(tmp_path):
    path = shared("golden/1_tokenization/tokens.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    texts = sorted({*texts} - {*TEXTS})
    texts = [*texts[:: len(texts) // 480][:480], *TEXTS, *SAMPLES]
    vocab = shutil.copy(VOCAB, tmp_path)
    problem = SingleLabel(LABELS)
    model, read = model_of(problem), reader()
    module = problem.serving_module(
        model,
        reader(vocab_file=vocab),
        InputShape(),
        False,
    )
    writing.export_module(
        str(tmp_path / "old"), module, description={"labels": LABELS}
    )
    os.remove(vocab)
    (tmp_path / "old").rename(tmp_path / "new")
    answers = Predictor(str(tmp_path / "new")).predict(texts)
    found = [[*answer["probabilities"].values()] for answer in answers]
    # Lone surrogates are "?" in both.
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    examples = [InputExample(str(i), text) for i, text in enumerate(texts)]
    batches = problem.rows(examples, read).batch(64)
    logits = [
        model(problem.features_of_rows(batch, read), training=False)
        for batch in batches
    ]
    expected = softmax(np.concatenate(logits))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    best = [LABELS[i] for i in expected.argmax(axis=-1)]
    assert [answer["label"] for answer in answers] == best
    assert len(texts) > 480


def test_models_that_are_damaged(pairs, tmp_path):
    """One line, whatever is broken."""

    def broken(name):
        return pathlib.Path(shutil.copytree(pairs[0], tmp_path / name))

    (weights,) = broken("weights").glob("variables/variables.data-*")
    weights.write_bytes(weights.read_bytes()[:1000])
    graph = broken("graph") / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:1000])
    shutil.rmtree(broken("gone") / "variables")
    for name in ("weights", "graph", "gone"):
        with pytest.raises(UserError, match=f"{name}: damaged: [A-Z]"):
            Predictor(str(tmp_path / name))
    description = broken("kind") / saved_models.DESCRIPTION
    text = description.read_text()
    description.write_text(text.replace("single_label", "tags"))
    with pytest.raises(
        UserError, match="says tags, but the model does not answer"
    ):
        Predictor(str(tmp_path / "kind"))


def test_one_text_is_no_list(predictor):
    for items in ("a text", {"text": "a", "text_pair": "b"}, b"text"):
        with pytest.raises(ValueError, match="items must be a list"):
            predictor.predict(items)


def test_what_is_no_model(tmp_path):
    with pytest.raises(UserError, match="no SavedModel here"):
        Predictor(str(tmp_path))


@pytest.mark.slow
def test_fixed_shapes_for_accelerators(tmp_path):
    problem = Regression()
    model = model_of(problem)
    shape = InputShape(batch_size=3, pads_to_max=True)
    module = problem.serving_module(model, reader(), shape, False)
    folder = str(tmp_path / "export")
    writing.export_module(folder, module)
    fixed = Predictor(folder)
    _, specs = fixed.signatures["ids"].structured_input_signature
    assert {(*spec.shape,) for spec in specs.values()} == {(3, LENGTH)}
    found = [answer["prediction"] for answer in fixed.predict(TEXTS)]
    free = problem.serving_module(model, reader(), InputShape(), False)
    expected = free.serve(strings(TEXTS))["prediction"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    requests = fixed.prepare(TEXTS)
    with pytest.raises(ValueError, match="reads 3 rows at a time"):
        fixed.run(requests)


# ---------------------------------------------------------------------------
# tools/predict.


def run_predict(pairs, tmp_path, text, name="in.txt", **changes):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    output = tmp_path / "out"
    flags = {"model": pairs[0], "input": str(path), "output": str(output)}
    PREDICT.run(**{**flags, **changes})
    return output.read_text(encoding="utf-8").splitlines()


def test_a_file_of_pairs_is_answered(pairs, predictor, tmp_path):
    items = [some_pairs(number) for number in range(9)]
    text = "".join(f"{a} ||| {b}\n" for a, b in items)
    expected = predictor.predict(items)
    found = [json.loads(x) for x in run_predict(pairs, tmp_path, text)]
    assert [x["label"] for x in found] == [x["label"] for x in expected]
    # With more than the model reads.
    rows = [{"id": 7, "text": a, "text_pair": b} for a, b in items]
    text = "\n".join(map(json.dumps, rows))
    again = run_predict(pairs, tmp_path, text, "in.jsonl")
    assert [{**x, "id": 7} for x in found] == [*map(json.loads, again)]
    header, *lines = run_predict(
        pairs, tmp_path, text, "in.jsonl", output_format="tsv"
    )
    assert header == "id\ttext\ttext_pair\tlabel\tscore"
    assert [line.split("\t")[-2] for line in lines] == [
        x["label"] for x in expected
    ]


def test_half_a_surrogate_pair_is_answered(pairs, tmp_path):
    row = {"text": "é \ud800", "text_pair": "b"}
    (line,) = run_predict(pairs, tmp_path, json.dumps(row), "in.jsonl")
    answer = json.loads(line)
    assert {name: answer[name] for name in row} == row
    _, line = run_predict(
        pairs, tmp_path, json.dumps(row), "in.jsonl", output_format="csv"
    )
    assert line.startswith("é ?,b,")


def test_what_cannot_be_read_twice_and_what_is_packed(pairs, tmp_path):
    text = "a ||| b\nc ||| d\n"
    expected = run_predict(pairs, tmp_path, text)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(
        target=(tmp_path / "pipe").write_text, args=(text,)
    )
    writer.start()
    changes = {"input": str(tmp_path / "pipe")}
    assert run_predict(pairs, tmp_path, text, **changes) == expected
    writer.join()
    packed = tmp_path / "in.jsonl.gz"
    rows = [{"text": "a", "text_pair": "b"}, {"text": "c", "text_pair": "d"}]
    packed.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    changes = {"input": str(packed)}
    assert run_predict(pairs, tmp_path, text, **changes) == expected


@pytest.mark.slow
def test_several_files_are_answered_one_after_the_other(pairs, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    contents = {
        "0.csv": "",
        "1.csv": "id,text,text_pair\n1,a,b\n2,c,d\n",
        "2.csv": "text_pair,id,text\nf,3,e\n",
    }
    for name, text in contents.items():
        (folder / name).write_text(text)
    header, *lines = run_predict(
        pairs, tmp_path, "", input=str(folder / "*.csv")
    )
    assert header == "id,text,text_pair,label,score"
    text = "id,text,text_pair\n1,a,b\n2,c,d\n3,e,f\n"
    expected = run_predict(pairs, tmp_path, text, "in.csv")[1:]
    for line, other in zip(lines, expected, strict=True):
        *cells, score = line.split(",")
        *others, expected_score = other.split(",")
        assert cells == others
        assert float(score) == pytest.approx(float(expected_score), abs=1e-5)
    (folder / "3.csv").write_text("text,text_pair\na,b\n")
    with pytest.raises(UserError, match="3.csv: the columns are text, text_"):
        run_predict(pairs, tmp_path, "", input=str(folder / "*.csv"))
    (folder / "3.csv").unlink()
    (folder / "4.txt").write_text("a ||| b\n")
    with pytest.raises(UserError, match="4.txt: read as lines, but .*1.csv as"):
        run_predict(pairs, tmp_path, "", input=str(folder / "*"))


def test_only_a_regular_file_is_replaced(pairs, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe: this is not a regular file"):
        changes = {"output": str(tmp_path / "pipe")}
        run_predict(pairs, tmp_path, "a ||| b", **changes)
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("name", "text", "changes", "message"),
    [
        ("in.txt", "", {}, "in.txt: the file is empty"),
        ("in.jsonl", '{"text": "a"}', {}, "in.jsonl:1: must have text and "),
        (
            "in.jsonl",
            '{"text": "a", "text_pair": "b"}\n{"text": 1, "text_pair": "b"}',
            {},
            "in.jsonl:2: text must be str, not int",
        ),
        ("in.jsonl", "[" * 100_000, {}, "in.jsonl:1: not JSON: maximum"),
        ("in.txt", "a", {"input": "none.txt"}, "--input=none.txt: no such"),
        ("in.txt", "a ||| b", {"model": "/none"}, "--model=/none: no such"),
    ],
)
def test_files_that_are_refused(pairs, tmp_path, name, text, changes, message):
    with pytest.raises(UserError, match=message):
        run_predict(pairs, tmp_path, text, name, **changes)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "none"])
@pytest.mark.parametrize("batch_size", [None, 1])
def test_vectors(tmp_path, pooling, batch_size):
    embedder = BertEmbedder(CONFIG, pooling, (-1,))
    module = EmbeddingServing(
        embedder, reader(), InputShape(batch_size=batch_size)
    )
    folder = str(tmp_path / "export")
    writing.export_module(folder, module)
    found = [a["embedding"] for a in Predictor(folder).predict(TEXTS)]
    for text, vector in zip(TEXTS, found, strict=True):
        ids = reader().preprocess([text])
        (expected,) = embedder(ids).numpy()
        if pooling == "none":
            expected = expected[: int(tf.reduce_sum(ids["input_mask"]))]
        np.testing.assert_allclose(vector, expected, atol=1e-5)


@pytest.mark.slow
def test_every_length_is_warmed_up(pairs):
    """Of models that answer as a whole, such as those of earlier versions."""
    predictor = Predictor(pairs[0])
    predictor._model.load_weights()
    answers = WholeAnswers(predictor._model, predictor._reader)
    requests = predictor.prepare([("a", "b"), ("a " * 30, "b " * 30)])
    answers.warm_up(requests[0])
    assert sorted(answers._by_length) == [16, LENGTH]
    answers.outputs(requests)
    assert sorted(answers._by_length) == [16, LENGTH]


def test_descriptions(pairs):
    description = saved_models.read_description(pairs[0])
    assert description == {
        "kind": "single_label",
        "labels": LABELS,
        "max_seq_length": LENGTH,
        "do_lower_case": True,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "batch_size": None,
        "pads_to_max_seq_length": False,
        "precision": "float32",
        "truncation": "head",
        "finish": "softmax",
    }
    assert dataclasses.asdict(InputShape()) == {
        "batch_size": None,
        "pads_to_max": False,
    }
