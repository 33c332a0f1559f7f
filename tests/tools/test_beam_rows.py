"""predict and extract_features in Apache Beam pipelines, against themselves."""

import bz2
import csv
import functools
import gzip
import io
import json

import keras
import numpy as np
import pytest
from absl import logging as absl_logging
from support.common import json_lines, needs, run_module, thorough_but
from support.golden_model import with_plain_words
from support.programs import (
    DEMO,
    SMALL_CONFIG,
    as_flags,
    last_line,
    program_of,
    write,
)

from bert_tf import BertConfig, BertPreprocessor
from bert_tf.data.relations import MARKS
from bert_tf.errors import UserError
from bert_tf.export import export_model, predictor
from bert_tf.export.predictor import Predictor
from bert_tf.export.question_answering import SquadSettings
from bert_tf.heads import (
    BertClassifier,
    BertMultipleChoice,
    BertRelationClassifier,
    BertSpanLabeler,
    BertTokenClassifier,
)
from bert_tf.pooling import BertEmbedder
from bert_tf.tools import predict_run

needs("apache_beam", "apache-beam>=2.60,<3")  # .ci/run has it.
PREDICT = program_of("bert_tf.tools.predict")
EXTRACT = program_of("bert_tf.tools.extract_features")
CONFIG = BertConfig.from_dict(SMALL_CONFIG)
LABELS = ["ham", "spähm", "no"]
MODELS = {
    "label": (BertClassifier, (3,), {"labels": LABELS}),
    "pairs": (BertClassifier, (3,), {"labels": LABELS, "takes_pairs": True}),
    "labels": (
        BertClassifier,
        (3,),
        {"labels": LABELS, "problem_type": "multi_label"},
    ),
    "number": (BertClassifier, (1,), {}),
    "windows": (BertClassifier, (3,), {"labels": LABELS, "max_windows": 3}),
    "tags": (BertTokenClassifier, (3,), {"labels": ["O", "B-X", "I-X"]}),
    "choices": (BertMultipleChoice, (), {}),
    "relation": (BertRelationClassifier, (3,), {"labels": LABELS}),
    "questions": (BertSpanLabeler, (), {"squad": SquadSettings()}),
    "vectors": (BertEmbedder, ("mean", [-1]), {}),
    "token vectors": (BertEmbedder, ("none", [-1]), {}),
}
SHARDS = "-*-of-*"
RUNNER = "--runner=FnApiRunner"
BLOCK = 8  # Rows that are answered together.


def messages(number=21):
    """Texts of all lengths, some of which are hard to write in a table."""
    path = DEMO / "sms" / "train.tsv"
    lines = path.read_text("utf-8").splitlines()[1:]
    texts = [line.split("\t")[1] for line in lines]
    odd = ['say "hi", now', "two\nlines", "", "東京 👍🏽 é", "x; y|z", " a  b "]
    mixed = [t for pair in zip(texts, odd * 9, strict=False) for t in pair]
    return mixed[:number]


TEXTS = messages()
ONE_LINE = [" ".join(text.split()) for text in TEXTS]
ROWS = [{"id": i, "text": text} for i, text in enumerate(TEXTS)]
PAIRS = [
    {"text": a, "note": "n,1", "text_pair": b}
    for a, b in zip(TEXTS, TEXTS[::-1], strict=True)
]


def table(rows, delimiter=","):
    out = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(out, [*names], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_tsv(rows):
    lines = ["\t".join(rows[0])]
    for row in rows:
        lines.append("\t".join(" ".join(str(v).split()) for v in row.values()))
    return "\n".join(lines) + "\n"


MARKED = [
    f"{i} [E1]Ann[/E1] likes [E2]tea[/E2] {'very ' * (i % 5)}much"
    for i in range(19)
]
CONTEXTS = [
    {
        "context": f"{text} It was built in {1900 + i} by Ann.",
        "qas": [
            {"id": f"{i}{q}", "question": f"{q} built it?"} for q in "Who When"
        ],
    }
    for i, text in enumerate(ONE_LINE[:9])
]
QUESTIONS = [
    {"context": f"It was Bob {i}. {t}", "q_id": i, "question": "Who was it?"}
    for i, t in enumerate(TEXTS)
]
CHOICES = [
    {"text": text, "endings": ["now", "then", "late in May"][: 2 + i % 2]}
    for i, text in enumerate(TEXTS)
]
SWAG = [
    {"sent1": text, "sent2": "She", "ending0": "runs.", "ending1": "sits."}
    for text in ONE_LINE
]
# (model, name of the file, its content, other flags).
INPUTS = {
    "lines": ("label", "in.txt", "\n".join(ONE_LINE), {}),
    "no end of line": ("label", "in.txt", "a b\r\n\nc", {}),
    "csv": ("label", "in.csv", table(ROWS), {}),
    "semicolons": ("label", "in.csv", table(ROWS, ";"), {}),
    "tsv": ("label", "in.tsv", as_tsv(ROWS), {}),
    "no header": (
        "label",
        "in.csv",
        table(ROWS).partition("\n")[2],
        {"header": False, "text_column": "2"},
    ),
    "own columns": (
        "label",
        "in.csv",
        table([{"score": "x", "body": r["text"], "label": "no"} for r in ROWS]),
        {"text_column": "body"},
    ),
    "latin": (
        "label",
        "in.csv",
        table([{"text": f"é {i}"} for i in range(20)]).encode("latin-1"),
        {"encoding": "latin-1"},
    ),
    "utf-16": ("label", "in.csv", table(ROWS).encode("utf-16"), {}),
    "json lines": ("label", "in.jsonl", json_lines(*ROWS), {}),
    "json list": ("label", "in.json", json.dumps(ROWS, indent=1), {}),
    "json as csv": (
        "label",
        "in.jsonl",
        json_lines(*ROWS[1:], {"text": "a", "more": [1, None]}),
        {"output_format": "csv"},
    ),
    "strange json": (
        "label",
        "in.jsonl",
        json_lines(
            *[
                {"text": t, "big": 10**30, "in": {"\ud800": [i / 3, None]}}
                for i, t in enumerate(TEXTS)
            ]
        ),
        {},
    ),
    "lengths": ("label", "in.csv", table(ROWS), {"with_lengths": True}),
    "lengths of lines": (
        "tags",
        "in.txt",
        "\n".join(ONE_LINE[:1] * 9),
        {"with_lengths": True, "on_long": "truncate"},
    ),
    "one at a time": (
        "label",
        "in.jsonl",
        json_lines(*ROWS),
        {"max_batch_tokens": 1},
    ),
    "bfloat16": ("label", "in.csv", table(ROWS), {"engine": "bfloat16"}),
    "auto": ("label", "in.csv", table(ROWS), {"engine": "auto"}),
    "half a surrogate pair in csv": (
        "label",
        "in.jsonl",
        json_lines(*[{"text": f"a \ud800 b é {i}"} for i in range(9)]),
        {"output_format": "csv"},
    ),
    "lines as tsv": (
        "label",
        "in.txt",
        "\n".join(ONE_LINE),
        {"output_format": "tsv"},
    ),
    "pairs": (
        "pairs",
        "in.txt",
        "\n".join(
            f"{a} ||| {b}"
            for a, b in zip(ONE_LINE, ONE_LINE[::-1], strict=True)
        ),
        {},
    ),
    "pairs in csv": ("pairs", "in.csv", table(PAIRS), {}),
    "labels": ("labels", "in.csv", table(ROWS), {}),
    "labels of lines": ("labels", "in.txt", "\n".join(ONE_LINE), {}),
    "number": ("number", "in.tsv", as_tsv(ROWS), {}),
    "windows": ("windows", "in.jsonl", json_lines(*ROWS), {}),
    "tags": ("tags", "in.txt", "\n".join(t for t in ONE_LINE if t), {}),
    "tags of words": (
        "tags",
        "in.jsonl",
        json_lines(*[{"words": t.split() or ["x"]} for t in TEXTS]),
        {},
    ),
    "choices": ("choices", "in.jsonl", json_lines(*CHOICES), {}),
    "swag": ("choices", "in.csv", table(SWAG), {}),
    "relation": ("relation", "in.txt", "\n".join(MARKED), {}),
    "relation in csv": (
        "relation",
        "in.csv",
        table([{"text": text, "id": i} for i, text in enumerate(MARKED)]),
        {},
    ),
    "questions": ("questions", "in.jsonl", json_lines(*CONTEXTS), {}),
    "questions in csv": ("questions", "in.csv", table(QUESTIONS), {}),
    "vectors": ("vectors", "in.csv", table(ROWS), {}),
    "token vectors": ("token vectors", "in.txt", "\n".join(ONE_LINE), {}),
}


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    """Function from a name in MODELS to the folder of the model."""
    folder = tmp_path_factory.mktemp("models")
    words = (DEMO / "demo" / "vocab.txt").read_text("utf-8")
    vocab = write(folder, "vocab.txt", words + "".join(f"{m}\n" for m in MARKS))
    preprocess = BertPreprocessor(str(vocab), max_seq_length=24)

    @functools.cache
    def export(name):
        model_class, arguments, settings = MODELS[name]
        keras.utils.set_random_seed(3)
        model = model_class(CONFIG, *arguments)
        rng = np.random.default_rng(0)
        for weight in model.weights:
            weight.assign(weight + 0.3 * rng.normal(size=weight.shape))
        path = str(folder / name)
        export_model(path, model, preprocess, **settings)
        return path

    return export


@pytest.fixture(scope="module", autouse=True)
def shared_predictors():
    """Tests share models: loading and tracing them takes most of their time."""

    @functools.cache
    def load(folder, **settings):
        return Predictor(folder, **settings)

    with pytest.MonkeyPatch.context() as patch:
        for module in (predictor, predict_run):
            patch.setattr(module, "Predictor", load)
        yield


@pytest.fixture(scope="module")
def label_model(model_of):
    return model_of("label")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(predictor, "ITEMS_AT_ONCE", BLOCK)


def joined(output):
    """The shards of an output, one after the other."""
    paths = sorted(output.parent.glob(output.name + SHARDS))
    return b"".join(path.read_bytes() for path in paths)


def plain(model, source, output, **changes):
    """What the tool writes on this machine."""
    flags = {"model": model, "input": str(source), "output": str(output)}
    PREDICT.run(**{"batch_size": 2, **flags, **changes})
    return output.read_bytes()


def piped(model, source, output, num_shards=3, **changes):
    """What a pipeline writes."""
    flags = {"model": model, "input": str(source), "output": str(output)}
    options = {"runner": "beam", "beam_options": RUNNER}
    options["num_shards"] = num_shards
    PREDICT.run(**{"batch_size": 2, **flags, **options, **changes})
    return joined(output)


# ---------------------------------------------------------------------------
# predict.


RARE = ["tags", "tags of words", "no header", "relation in csv", "pairs in csv"]


@pytest.mark.parametrize(
    "case", thorough_but(INPUTS, *(case for case in INPUTS if case not in RARE))
)
def test_answers_are_those_of_the_plain_tool(case, model_of, tmp_path):
    name, file, content, changes = INPUTS[case]
    source = write(tmp_path, file, content)
    model = model_of(name)
    expected = plain(model, source, tmp_path / "plain", **changes)
    found = piped(model, source, tmp_path / "new" / "shards", **changes)
    assert found == expected
    assert expected.count(b"\n") >= 3
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    shards = [f"shards-{i:05d}-of-00003" for i in range(3)]
    assert names == [".shards.json", *shards]


def test_the_other_direct_runner(label_model, tmp_path):
    source = write(tmp_path, "in.csv", table(ROWS))
    options = "--runner=BundleBasedDirectRunner"
    found = piped(
        label_model, source, tmp_path / "out.csv", beam_options=options
    )
    assert found == plain(label_model, source, tmp_path / "plain.csv")


def several_files(folder):
    """Files of 0 to 20 rows, two of them compressed, and a pattern of all."""
    rows = table(ROWS)
    head = "id,text\n"
    write(folder, "part-0.csv", "")
    write(folder, "part-1.csv", head)
    write(folder, "part-2.csv.gz", gzip.compress(rows.encode()))
    write(folder, "part-3.csv", table(ROWS[:3]))
    swapped = [{"text": row["text"], "id": row["id"]} for row in ROWS[:17]]
    write(folder, "part-4.csv.bz2", bz2.compress(table(swapped).encode()))
    write(folder, "part-5.csv", head + "1,last\n")
    return folder / "part-*"


def test_several_files(label_model, tmp_path):
    pattern = several_files(tmp_path)
    expected = plain(label_model, pattern, tmp_path / "plain.csv")
    assert expected.startswith(b"id,text,label,score\n")
    assert expected.count(b"id,text") == 1
    for number in (1, 5, 42):
        out = tmp_path / f"out{number}.csv"
        assert piped(label_model, pattern, out, number) == expected
        assert len([*tmp_path.glob(out.name + SHARDS)]) == number


@pytest.fixture
def log(caplog):
    """The log, of INFO too, which loading a model does not end."""
    verbosity = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.INFO)
    yield caplog
    absl_logging.set_verbosity(verbosity)


def test_shards_that_are_there_stay(label_model, tmp_path, log):
    source = write(tmp_path, "in.jsonl", json_lines(*ROWS))
    out = tmp_path / "out"
    expected = piped(label_model, source, out, 4)
    (tmp_path / "out-00002-of-00004").unlink()
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("out-*")}
    assert piped(label_model, source, out, 4) == expected
    assert "3 of 4 shards exist already" in log.text
    assert "out: 5 rows" in log.text
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())
    with pytest.raises(UserError, match="--output=.*with another num_shards"):
        piped(label_model, source, out, 5)
    with pytest.raises(UserError, match="made with another batch_size"):
        piped(label_model, source, out, 4, batch_size=3)
    write(tmp_path, "in.jsonl", json_lines(*ROWS, {"text": "more"}))
    with pytest.raises(UserError, match=r"another input \(.*in.jsonl: another"):
        piped(label_model, source, out, 4)
    assert joined(out) == expected


def test_a_process_loads_one_model(label_model, tmp_path, monkeypatch):
    made = []

    def counted(folder, **settings):
        made.append(Predictor(folder, **settings))
        return made[-1]

    for module in (predictor, predict_run):
        monkeypatch.setattr(module, "Predictor", counted)
    source = write(tmp_path, "in.jsonl", json_lines(*ROWS))
    options = f"{RUNNER} --direct_num_workers=3"
    options += " --direct_running_mode=multi_threading"
    piped(label_model, source, tmp_path / "out", beam_options=options)
    assert len(made) == 1


def bad_inputs():
    good = json_lines(*ROWS)
    return {
        "row": (
            {"a.jsonl": good, "b.jsonl": good + '{"text": 7}\n' + good},
            "b.jsonl:22: text must be str, not int",
        ),
        "json": (
            {"a.jsonl": good + '{"text": "a"\n'},
            "a.jsonl:22: not JSON: Expecting ',' delimiter at position 13",
        ),
        "key": (
            {"a.jsonl": good + '{"txt": "a"}\n'},
            "a.jsonl:22: no column text, .*; it has txt; did you mean 'txt'",
        ),
        "utf-8": (
            {"a.txt": b"good\n" * 30 + b"caf\xe9\n"},
            "a.txt:31: not UTF-8: byte 0xe9 at position 4",
        ),
        "width": (
            {"a.csv": table(ROWS) + "1,2,3\n"},
            "a.csv:25: 3 cells, but the header has 2",
        ),
        "no column": (
            {"a.csv": table(ROWS), "b.csv": "id,txt\n1,a\n"},
            "b.csv: no column text, where the model's text should be",
        ),
        "other columns": (
            {"a.csv": table(ROWS), "b.csv": "text,no\na,1\n"},
            "b.csv: the columns are text, no, but those of .*a.csv are id, te",
        ),
        "other format": (
            {"a.csv": table(ROWS), "b.jsonl": good},
            "b.jsonl: read as jsonl, but .*a.csv as csv; files that are answe",
        ),
        "cut gzip": (
            {"a.csv.gz": gzip.compress(table(ROWS).encode() * 99)[:-9]},
            "a.csv.gz: cannot be decompressed",
        ),
        "second cut": (
            {
                "a.csv": table(ROWS),
                "b.csv": gzip.compress(table(ROWS).encode())[:-9],
            },
            "b.csv: cannot be decompressed",
        ),
        "json object": (
            {"a.json": json.dumps({"data": ROWS}, indent=1)},
            "a.json: one JSON object: --runner=beam reads only files row by "
            "row: CSV, TSV, JSON lines and lines of text",
        ),
        "a later object": (
            {"a.json": good, "b.json": json.dumps({"data": ROWS}, indent=1)},
            "b.json: one JSON object: --runner=beam reads only",
        ),
        "fasttext": (
            {"a.txt": "__label__ham a b\n" * 9},
            "a.txt: fastText's lines: --runner=beam reads only",
        ),
        "empty": ({"a.csv": "", "b.csv": ""}, "the file is empty"),
        "header alone": ({"a.csv": "id,text\n"}, "there is nothing to answer"),
        "shards": (
            {"a.txt": "a\nb\n"},
            "--num_shards=3: is more than 2 rows of the input",
        ),
    }


def test_texts_that_are_too_long_are_named(label_model, tmp_path):
    source = write(tmp_path, "in.csv", table([*ROWS[:2] * 5, *ROWS]))
    message = "in.csv:[0-9]+: is longer than the model reads; it has"
    found = []
    for answer in (plain, piped):
        with pytest.raises(UserError, match=message) as error:
            answer(label_model, source, tmp_path / "out", on_long="error")
        found.append(str(error.value))
    assert found[0] == found[1]
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize("case", bad_inputs())
def test_mistakes_end_in_one_line(case, label_model, tmp_path):
    contents, message = bad_inputs()[case]
    (tmp_path / "in").mkdir()
    for name, content in contents.items():
        write(tmp_path / "in", name, content)
    out = tmp_path / "out" / "answers"
    with pytest.raises(UserError, match=message) as error:
        piped(label_model, tmp_path / "in" / "*", out)
    assert "\n" not in str(error.value) and "while running" not in str(
        error.value
    )
    assert not out.parent.exists() or not [*out.parent.iterdir()]


def test_a_workbook_is_refused(label_model, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("openpyxl")
    path = tmp_path / "in.xlsx"
    pandas.DataFrame(ROWS).to_excel(path, index=False)
    with pytest.raises(UserError, match="an Excel workbook: --runner=beam"):
        piped(label_model, path, tmp_path / "out")


def test_words_with_tags_are_refused(model_of, tmp_path):
    words = "".join("Ann\nwent\nhome\n\n" for _ in range(9))
    tagged = words.replace("\n", " O\n").replace("\n O\n", "\n\n")
    for name, content in {"in.conll": words, "in.txt": tagged}.items():
        source = write(tmp_path, name, content)
        with pytest.raises(UserError, match=f"{name}: a word in each row: --r"):
            piped(model_of("tags"), source, tmp_path / "out")
    with pytest.raises(UserError, match="with_lengths=True: .* no place"):
        plain(model_of("tags"), source, tmp_path / "out", with_lengths=True)
    # A column that is named holds texts.
    source = write(tmp_path, "in.csv", table(ROWS[:2]))
    found = piped(
        model_of("tags"), source, tmp_path / "out", 2, text_column="text"
    )
    assert found.count(b"\n") == 2


def test_beam_options_that_are_wrong(label_model, tmp_path):
    source = write(tmp_path, "in.jsonl", json_lines(*ROWS))
    for options, message in {
        "--direct_num_workers=abc": "invalid int value: 'abc'",
        "--runner=Nothing": "--beam_options=--runner=Nothing: ",
    }.items():
        with pytest.raises(UserError, match=message) as error:
            piped(label_model, source, tmp_path / "o", beam_options=options)
        assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize(
    "is_good", [True, pytest.param(False, marks=pytest.mark.thorough)]
)
def test_as_a_user_types_it(is_good, label_model, tmp_path):
    """The workers are processes of their own."""
    rows = [*ROWS * 150, *([] if is_good else [{"text": 7}])]
    source = write(tmp_path, "in.jsonl", json_lines(*rows))
    arguments = {
        "model": label_model,
        "input": source,
        "output": tmp_path / "out",
        "runner": "beam",
        "num_shards": 2,
        "beam_options": f"{RUNNER} --direct_num_workers=2 "
        "--direct_running_mode=multi_processing",
    }
    done = run_module("bert_tf.tools.predict", *as_flags(arguments))
    if is_good:
        assert done.returncode == 0, done.stderr
        changes = {"batch_size": 32}
        expected = run_module(
            "bert_tf.tools.predict",
            *as_flags(
                {
                    "model": label_model,
                    "input": source,
                    "output": tmp_path / "plain",
                    **changes,
                }
            ),
        )
        assert expected.returncode == 0
        assert joined(tmp_path / "out") == (tmp_path / "plain").read_bytes()
    else:
        assert done.returncode == 1
        assert last_line(done).endswith(
            "predict.py: " + f"{source}:3151: text must be str, not int"
        )
        assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


# ---------------------------------------------------------------------------
# extract_features.


@pytest.fixture(scope="module")
def words_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    return {**with_plain_words(folder), "max_seq_length": 16, "batch_size": 2}


LINES = [f"w{7 + i % 5} " * (1 + i * 7 % 19) for i in range(23)]
LINES[3:5] = ["", "w7 w8 ||| w9"]
OUTPUTS = {
    "features": {"layers": "-1,-2"},
    "npy": {"pooling": "mean_max", "normalize": True},
    "jsonl": {"pooling": "none"},
    "tfrecord": {"pooling": "mean"},
}


def extract(model, source, output, **changes):
    flags = {**model, "input_file": source, "output_file": output, **changes}
    with EXTRACT.flags() as values:
        values(["extract_features", *as_flags(flags)])
        EXTRACT.main()


@pytest.mark.parametrize("name", OUTPUTS)
def test_vectors_are_those_of_the_plain_tool(
    name, words_model, tmp_path, monkeypatch, log
):
    for size in ("WINDOW", "TEXTS_OF_TOKENS"):
        monkeypatch.setattr(f"bert_tf.embeddings.{size}", BLOCK)
    write(tmp_path, "in-0.txt", "\n".join(LINES) + "\n")
    packed = gzip.compress("\n".join(LINES[:10]).encode())
    write(tmp_path, "in-1.txt.gz", packed)
    write(tmp_path, "in-2.txt", "")
    source = tmp_path / "in-*"
    settings = {"output_format": name, **OUTPUTS[name]}
    extract(words_model, source, tmp_path / "plain", **settings)
    truncated = log.text.split(": 33 texts, ")[1]
    number = truncated.split(" of them cut")[0]
    settings |= {"runner": "beam", "num_shards": 3, "beam_options": RUNNER}
    extract(words_model, source, tmp_path / "new" / "out", **settings)
    found = joined(tmp_path / "new" / "out")
    assert found == (tmp_path / "plain").read_bytes()
    assert f"33 rows, {number} of them truncated" in log.text
    if name == "npy":
        whole = write(tmp_path, "whole.npy", found)
        assert np.load(whole).shape == (33, 2 * 96)


def test_texts_that_cannot_be_embedded(words_model, tmp_path):
    options = {"runner": "beam", "num_shards": 3, "beam_options": RUNNER}
    for content, message in {
        "": "the input has no text",
        "w7\n": "--num_shards=3: is more than 1 row of the input",
        b"w7\n\xff\n": "in.txt:2: not UTF-8",
    }.items():
        source = write(tmp_path, "in.txt", content)
        with pytest.raises(UserError, match=message):
            extract(words_model, source, tmp_path / "out", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]
    source = write(tmp_path, "in.txt", "\n".join(LINES))
    extract(words_model, source, tmp_path / "out", **options)
    with pytest.raises(UserError, match="--output_file=.*another max_seq_l"):
        changes = {"max_seq_length": 15, **options}
        extract(words_model, source, tmp_path / "out", **changes)
