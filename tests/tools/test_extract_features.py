"""extract_features: against the original's output, and as a program."""

import gzip
import json
import os

import numpy as np
import pytest
import tensorflow as tf
from support.common import run_module, shared
from support.golden_model import with_plain_words
from support.programs import as_flags, last_line, program_of, write

from bert_tf import embeddings
from bert_tf.embeddings import TextEmbedder
from bert_tf.errors import UserError
from bert_tf.tools import vector_formats

NAME = "bert_tf.tools.extract_features"
PROGRAM = program_of(NAME)
LINES = ["w7 w8 w9", "", " w7 ||| w8 ", "w10 " * 30, "é", "||| w9", "", ""]
# The texts that the program reads from these lines.
TEXTS = ["w7 w8 w9", "", ("w7", "w8"), "w10 " * 30, "é", "||| w9", "", ""]


EACH_TOKEN = {"pooling": "none", "normalize": True, "layers": (-2,)}


@pytest.fixture(scope="module", autouse=True)
def shared_embedders():
    """Tests share embedders: tracing a graph takes most of their time."""
    made = {}

    def make(**settings):
        key = tuple(sorted(settings.items()))
        if key not in made:
            made[key] = TextEmbedder(**settings)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embeddings, "TextEmbedder", make)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extract")
    path = write(folder, "input.txt", "\n".join(LINES) + "\n")
    return {
        **with_plain_words(folder),
        "input_file": str(path),
        "max_seq_length": 16,
        "batch_size": 3,
    }


def run(files, **changes):
    """Runs the program with flags as they are typed."""
    arguments = as_flags({**files, **changes})
    with PROGRAM.flags() as flags:
        flags([NAME, *arguments])
        PROGRAM.main()


def expected(files, **settings):
    """The library's vectors of the same texts, and the embedder."""
    model = ("vocab_file", "bert_config_file", "init_checkpoint")
    embedder = embeddings.TextEmbedder(
        **{name: files[name] for name in model},
        do_lower_case=True,
        max_seq_length=16,
        batch_size=3,
        **settings,
    )
    return list(embedder.stream(TEXTS)), embedder


def test_output_is_the_originals(tmp_path):
    golden = shared("golden/7_extract_features")
    tiny = shared("golden/2_modeling/tiny")
    output = tmp_path / "output.jsonl"
    run(
        {
            "input_file": golden / "input.txt",
            "output_file": output,
            "layers": "-1,-2",
            "vocab_file": shared("data/vocab/uncased/vocab.txt"),
            "bert_config_file": tiny / "bert_config.json",
            "init_checkpoint": tiny / "bert_model.ckpt",
            "max_seq_length": 32,
            "batch_size": 8,
        }
    )
    with gzip.open(golden / "tiny.output.jsonl.gz", "rt") as reader:
        originals = [json.loads(line) for line in reader]
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    for row, original in zip(rows, originals, strict=True):
        values, wanted = take_values(row), take_values(original)
        assert row == original  # All but the values.
        assert list(row) == ["linex_index", "features"]
        np.testing.assert_allclose(values, wanted, rtol=0, atol=5e-6)
        assert (np.round(values, 6) == values).all()


def take_values(row) -> list:
    layers = [layer for f in row["features"] for layer in f["layers"]]
    return [layer.pop("values") for layer in layers]


def test_rounding_is_that_of_python(files):
    values = np.random.default_rng(1).normal(size=4000).astype("float32")
    values[:4] = [2**-7, -(2**-7), 3 * 2**-7, -1e-9]  # Halves; a minus zero.
    embedded, embedder = expected(files, **EACH_TOKEN)
    one = embedded[1]._replace(vector=values.reshape(2, -1))
    line = json.loads(vector_formats.as_features(embedder, 0, one))
    found = np.ravel(take_values(line)).tolist()
    assert list(map(repr, found)) == [repr(round(float(x), 6)) for x in values]


@pytest.mark.slow
def test_formats_hold_the_same_vectors(files, tmp_path):
    settings = {"pooling": "mean_max", "normalize": True}
    embedded, _ = expected(files, layers=(-1, 0), **settings)
    vectors = np.stack([e.vector for e in embedded])
    paths = {
        name: str(tmp_path / "new" / name)
        for name in ("npy", "jsonl", "tfrecord")
    }
    for name, path in paths.items():
        run(
            files,
            output_format=name,
            output_file=path,
            pooling_layer="-1,0",
            **settings,
        )
    assert sorted(os.listdir(tmp_path / "new")) == sorted(paths)

    array = np.load(paths["npy"])
    assert array.shape == (8, 384) and array.dtype == np.float32
    np.testing.assert_allclose(array, vectors, atol=1e-5)
    mapped = np.load(paths["npy"], mmap_mode="r")
    np.testing.assert_array_equal(mapped, array)

    with open(paths["jsonl"]) as reader:
        rows = [json.loads(line) for line in reader]
    of_rows = np.array([row.pop("embedding") for row in rows], np.float32)
    np.testing.assert_array_equal(of_rows, array)
    assert rows[2] == {"index": 2, "text": "w7", "text_pair": "w8"}
    assert rows[5] == {"index": 5, "text": "||| w9"}
    assert [row["index"] for row in rows] == list(range(8))

    found = records(paths["tfrecord"], {"index": [], "embedding": [384]})
    np.testing.assert_array_equal(found["index"], range(8))
    np.testing.assert_array_equal(found["embedding"], array)


def records(path, shapes):
    dtypes = {"embedding": tf.float32}
    return tf.io.parse_example(
        list(tf.data.TFRecordDataset(path)),
        {
            name: tf.io.FixedLenFeature(shape, dtypes.get(name, tf.int64))
            if shape is not None
            else tf.io.RaggedFeature(tf.float32)
            for name, shape in shapes.items()
        },
    )


@pytest.mark.slow
def test_without_pooling_there_is_a_vector_for_each_token(files, tmp_path):
    embedded, embedder = expected(files, **EACH_TOKEN)
    path = str(tmp_path / "vectors")
    changes = {"pooling": "none", "normalize": True, "output_file": path}
    run(files, output_format="jsonl", **changes)
    with open(path) as reader:
        rows = [json.loads(line) for line in reader]
    for row, e in zip(rows, embedded, strict=True):
        np.testing.assert_allclose(row["embedding"], e.vector, atol=1e-5)
        assert row["tokens"] == embedder.tokens(e)

    run(files, output_format="tfrecord", **changes)
    shapes = {"index": [], "num_tokens": [], "embedding": None}
    found = records(path, shapes)
    for e, number, values in zip(
        embedded, found["num_tokens"], found["embedding"], strict=True
    ):
        vectors = values.numpy().reshape(number, -1)
        np.testing.assert_allclose(vectors, e.vector, atol=1e-5)


@pytest.mark.slow
def test_several_files_are_read_one_after_the_other(files, tmp_path):
    write(tmp_path, "in-1.txt", "\n".join(LINES[:3]))
    packed = gzip.compress("\n".join(LINES[3:]).encode() + b"\n")
    write(tmp_path, "in-2.txt.gz", packed)
    changes = {"output_format": "jsonl", "output_file": tmp_path / "out"}
    run({**files, "input_file": tmp_path / "in-*"}, **changes)
    found = [json.loads(x) for x in changes["output_file"].open()]
    run(files, **changes)
    whole = [json.loads(x) for x in changes["output_file"].open()]
    for one, other in zip(found, whole, strict=True):
        vector, expected = one.pop("embedding"), other.pop("embedding")
        np.testing.assert_allclose(vector, expected, atol=1e-5)
        assert one == other


@pytest.mark.slow
def test_the_default_layers_are_those_that_there_are(files, tmp_path):
    path = tmp_path / "output.jsonl"
    run(files, output_file=path)
    for line in path.read_text().splitlines():
        for feature in json.loads(line)["features"]:
            indexes = [layer["index"] for layer in feature["layers"]]
            assert indexes == [-1, -2, -3]


@pytest.mark.slow
def test_the_log_shows_what_was_read(files, tmp_path, caplog):
    caplog.set_level("DEBUG", "absl")
    run(files, output_file=tmp_path / "output.jsonl")
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("*** Example ***") == 5
    assert "tokens: [CLS] w7 [SEP] w8 [SEP]" in messages
    assert messages[-1] == (
        f"Written    {tmp_path / 'output.jsonl'}: 8 texts, 1 of them cut at "
        "--max_seq_length=16"
    )


def test_what_cannot_be_done_is_refused(files, tmp_path):
    def refused(message, **changes):
        path = tmp_path / "out" / "vectors"
        with pytest.raises(UserError, match=message) as error:
            run({**files, "output_file": path}, **changes)
        assert "\n" not in str(error.value)
        assert not path.parent.exists()

    refused("--layers=-4: the model has 3 layers, from -3 to -1", layers=-4)
    refused(
        "--layers=-1,3: the model has 3 layers, .* or 0 to 2", layers="-1,3"
    )
    refused("--layers=last: whole numbers", layers="last")
    refused("--layers=: whole numbers", layers="")
    npy = {"output_format": "npy"}
    refused("--pooling_layer=-4: the model has 3", pooling_layer=-4, **npy)
    refused(
        "--layers=-1: --output_format=npy has vectors of one", layers=-1, **npy
    )
    refused("--pooling=none: .*=jsonl or tfrecord", pooling="none", **npy)
    refused(
        "--pooling_layer=-1: --pooling=cls_pooled uses the last",
        pooling="cls_pooled",
        pooling_layer=-1,
        **npy,
    )
    refused("--pooling=max: --output_format=features has", pooling="max")
    refused("--normalize=True: --output_format=features", normalize=True)
    refused("--max_seq_length=129 exceeds", max_seq_length=129)
    refused("--input_file=none: no such file", input_file="none")
    empty = write(tmp_path, "empty.txt", "")
    refused("empty.txt: contains no text", input_file=empty)
    wrong = write(tmp_path, "wrong.txt", b"w7\n\xff\n")
    refused("wrong.txt:2: not UTF-8", input_file=wrong)
    refused("no such checkpoint", init_checkpoint=tmp_path / "bert_model.ckpt")
    with pytest.raises(UserError, match="would replace an input"):
        run(files, output_file=files["input_file"])


def test_a_file_that_changes_leaves_the_old_output(
    files, tmp_path, monkeypatch
):
    path = write(tmp_path, "vectors", "old")
    monkeypatch.setattr(PROGRAM.module, "texts", lambda _: iter(TEXTS[:-1]))
    with pytest.raises(UserError, match="input.txt: changed while it was read"):
        run(files, output_file=path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["vectors"]


@pytest.mark.slow
def test_as_a_user_types_it(tmp_path):
    """With the bundled model."""
    arguments = {
        "input_file": write(tmp_path, "input.txt", "Who was it?\nHe ||| She\n"),
        "output_file": tmp_path / "vectors.npy",
        "output_format": "npy",
        "pooling": "cls_pooled",
    }
    done = run_module(NAME, *as_flags(arguments))
    assert done.returncode == 0, done.stderr
    assert last_line(done).endswith(
        f"{tmp_path / 'vectors.npy'}: 2 texts, 0 of them cut at "
        "--max_seq_length=128"
    )
    assert np.load(tmp_path / "vectors.npy").shape == (2, 128)
