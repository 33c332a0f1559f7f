"""Words added to a model: its vocabulary, config and checkpoint."""

import gzip
import json
import os

import keras
import numpy as np
import pytest
from support.common import TINY_CONFIG, read_json, shared
from support.programs import program_of

from bert_tf import BertConfig, BertModel, FullTokenizer, vocabulary
from bert_tf.checkpoints import Checkpoint, load_weights, write_checkpoint
from bert_tf.errors import UserError
from bert_tf.heads import BertPretrainer
from bert_tf.vocabulary import OUTPUT_BIAS, WORD_EMBEDDINGS, add_words

# Like real vocabularies it has carriage returns, a token twice, U+2028, and no
# line end at its end. It has 15 entries, the table 20 rows.
ENTRIES = (
    "[PAD]\n[unused1]\r\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n\u2028\n"
    "[unused2]\nthe\ngen\n##ome\n##s\ncell\n##x"
)
PIECES = {"genome": [10, 11], "cells": [13, 12], "genx": [10, 14], "ß": [2]}
FILES = ["bert_config.json", "vocab.txt"]
WEIGHTS = ["bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.index"]
BUILD = program_of("bert_tf.tools.build_vocab")


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A model as pretraining leaves it, with moments and a step."""
    folder = tmp_path_factory.mktemp("old")
    (folder / "vocab.txt").write_bytes(ENTRIES.encode())
    settings = {**TINY_CONFIG.to_dict(), "directionality": "bidi"}
    (folder / "bert_config.json").write_text(json.dumps(settings))
    rng = np.random.default_rng(0)
    tensors = {}
    for variable in BertPretrainer(TINY_CONFIG).weights:
        for suffix in ("", "/adam_m", "/adam_v"):
            value = rng.normal(size=variable.shape).astype("float32")
            tensors[variable.path + suffix] = value
    tensors["global_step"] = np.int64(7)
    write_checkpoint(str(folder / "bert_model.ckpt"), tensors)
    return folder


def extend(old, new, words, **changes):
    """Adds `words`, the content of a file, to the model in `old`."""
    path = new.parent / "words.txt"
    path.write_bytes(words if isinstance(words, bytes) else words.encode())
    given = {
        "word_file": str(path),
        "vocab_file": str(old / "vocab.txt"),
        "bert_config_file": str(old / "bert_config.json"),
        "output_dir": str(new),
        "init_checkpoint": str(old / "bert_model.ckpt"),
    }
    add_words(**{**given, **changes})


def tensors_of(folder):
    checkpoint = Checkpoint(str(folder / "bert_model.ckpt"))
    return {name: checkpoint.read(name) for name in checkpoint.shapes}


def outputs(folder, text):
    config = BertConfig.from_json_file(str(folder / "bert_config.json"))
    tokenizer = FullTokenizer(str(folder / "vocab.txt"))
    model = BertModel(config)
    report = load_weights(model, str(folder / "bert_model.ckpt"))
    assert not report.missing
    tokens = ["[CLS]", *tokenizer.tokenize(text), "[SEP]"]
    ids = np.array([tokenizer.convert_tokens_to_ids(tokens)])
    found = model(
        {
            "input_ids": ids,
            "input_mask": np.ones_like(ids),
            "segment_ids": np.zeros_like(ids),
        }
    )
    return tokens, {k: v for k, v in found.items() if hasattr(v, "shape")}


def check_tensors(before, after, places, num_rows):
    """Only the rows of `places`, {word: id}, differ from before."""
    assert sorted(after) == sorted(before)
    for name, value in before.items():
        base = name.removesuffix("/adam_m").removesuffix("/adam_v")
        if base not in (WORD_EMBEDDINGS, OUTPUT_BIAS):
            assert after[name].dtype == value.dtype, name
            assert after[name].tobytes() == value.tobytes(), name
            continue
        expected = np.zeros((num_rows, *value.shape[1:]), "float32")
        expected[: len(value)] = value
        for word, index in places.items():
            rows = value[PIECES[word]].astype("float64")
            expected[index] = rows.sum(0) / len(rows) if base == name else 0
        assert after[name].dtype == np.float32
        assert np.array_equal(after[name], expected), name


def test_words_take_the_unused_places(old, tmp_path):
    new = tmp_path / "new"
    extend(old, new, "Genome\n\n \ncells\nthe\nGENOME\n")
    lines = ENTRIES.replace("[unused1]", "genome").replace("[unused2]", "cells")
    assert (new / "vocab.txt").read_bytes() == (lines + "\n").encode()
    before = read_json(old / "bert_config.json")
    assert read_json(new / "bert_config.json") == before
    places = {"genome": 1, "cells": 8}
    check_tensors(tensors_of(old), tensors_of(new), places, 20)
    assert sorted(os.listdir(new)) == sorted(FILES + WEIGHTS)


def test_a_vocabulary_in_a_tokenizer_json(old, tmp_path):
    """The new model has a vocab.txt all the same."""
    path, lines = tmp_path / "tokenizer.json", tmp_path / "lines"
    tokens = dict.fromkeys(ENTRIES.split())
    lines.write_text("".join(f"{token}\n" for token in tokens))
    content = {
        "normalizer": {"type": "BertNormalizer"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"vocab": {token: i for i, token in enumerate(tokens)}},
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    plain, new = tmp_path / "plain", tmp_path / "new"
    extend(old, plain, "genome\ncafé", vocab_file=str(lines))
    extend(old, new, "genome\ncafé", vocab_file=str(path))
    names = [f / "vocab.txt" for f in (plain, new)]
    assert names[0].read_bytes() == names[1].read_bytes()


def test_words_after_the_last_entry(old, tmp_path):
    """The table's free rows first, then new ones."""
    for size, rows in ((20, 20), (17, 19), (15, 19)):
        given = tmp_path / str(size)
        given.mkdir()
        tensors = {}
        for name, value in tensors_of(old).items():
            by_entry = name.startswith((WORD_EMBEDDINGS, OUTPUT_BIAS))
            tensors[name] = value[:size] if by_entry else value
        write_checkpoint(str(given / "bert_model.ckpt"), tensors)
        settings = read_json(old / "bert_config.json")
        (given / "bert_config.json").write_text(
            json.dumps({**settings, "vocab_size": size})
        )
        # Empty lines at the end are not entries.
        (given / "vocab.txt").write_bytes((ENTRIES + "\n\n\n").encode())
        new = tmp_path / f"{size}_new"
        words = "".join(f"{word}\n" for word in PIECES)
        extend(given, new, words, fill_unused=False)
        text = f"{ENTRIES}\n{words}"
        assert (new / "vocab.txt").read_bytes() == text.encode()
        config = read_json(new / "bert_config.json")
        assert config == {**settings, "vocab_size": rows}
        places = dict(zip(PIECES, range(15, 19), strict=True))
        check_tensors(tensors, tensors_of(new), places, rows)


def test_the_new_model_is_whole_and_means_the_same(old, tmp_path):
    new = tmp_path / "new"
    extend(old, new, "genome\ncells\ngenx\nß\n")
    config = BertConfig.from_json_file(str(new / "bert_config.json"))
    model = BertPretrainer(config)
    report = load_weights(model, str(new / "bert_model.ckpt"))
    assert not report.missing and not report.unexpected
    for text in ("the cell", "The gens [cell] xyz"):
        tokens, expected = outputs(old, text)
        again, found = outputs(new, text)
        assert tokens == again
        for name, value in expected.items():
            value = keras.ops.convert_to_numpy(value)
            ours = keras.ops.convert_to_numpy(found[name])
            assert np.array_equal(value, ours), name
    tokens, _ = outputs(new, "The Genome: ß cells, genomes")
    assert tokens[1:-1] == (
        ["the", "genome", "[UNK]", "ß", "cells", "[UNK]", "genome", "##s"]
    )


def test_without_weights(old, tmp_path):
    """The model is cased; the file of words is compressed."""
    new = tmp_path / "new"
    path = tmp_path / "words.gz"
    path.write_bytes(gzip.compress(b"Genome\ngenome"))
    extend(
        old,
        new,
        "",
        word_file=str(path),
        init_checkpoint=None,
        do_lower_case=False,
    )
    assert sorted(os.listdir(new)) == FILES
    tokenizer = FullTokenizer(str(new / "vocab.txt"), do_lower_case=False)
    assert tokenizer.tokenize("genome Genome") == ["genome", "Genome"]


WRONG = [
    ("covid-19\n", r"words.txt:1: 'covid-19' cannot be .* into 'covid - 19'"),
    ("the\n##ology\n", r"words.txt:2: '##ology' cannot .* into '# # ology'"),
    ("gen om\n", r"words.txt:1: 'gen om' cannot be one entry"),
    ("x" * 201, r"words.txt:1: a word of 201 characters"),
    ("y" * 100 + "-" + "z" * 100, r"'y{60}…' cannot be .* into 'y{60}…'$"),
    ("\n \n", r"words.txt: the file contains no words"),
    ("", r"words.txt: the file contains no words"),
    ("the\nGEN", r"words.txt: all words are in the vocabulary already"),
    (b"ok\n\xff", r"words.txt:2: not UTF-8: byte 0xff"),
]


@pytest.mark.parametrize("words, message", WRONG)
def test_wrong_words(old, tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        extend(old, tmp_path / "new", words)
    assert not (tmp_path / "new").exists()


def test_models_that_do_not_fit(old, tmp_path):
    new = tmp_path / "new"
    config = tmp_path / "config.json"
    for size, message in (
        (14, "has 15 entries, more than the vocab_size=14"),
        (16, r"word_embeddings has shape \[20, 8\], the model needs \[16, 8\]"),
    ):
        settings = {**TINY_CONFIG.to_dict(), "vocab_size": size}
        config.write_text(json.dumps(settings))
        with pytest.raises(UserError, match=message):
            extend(old, new, "genome", bert_config_file=str(config))
    tensors = tensors_of(old)
    del tensors[WORD_EMBEDDINGS]
    prefix = str(tmp_path / "headless.ckpt")
    write_checkpoint(prefix, tensors)
    with pytest.raises(UserError, match="word_embeddings is missing"):
        extend(old, new, "genome", init_checkpoint=prefix)
    cased = tmp_path / "cased.txt"
    cased.write_text("[UNK]\n[CLS]\n[SEP]\nParis\n")
    with pytest.raises(UserError, match="this is a cased model"):
        extend(old, new, "genome", vocab_file=str(cased))
    assert not new.exists()


@pytest.mark.parametrize("name", ["vocab.txt", "bert_model.ckpt.index"])
def test_a_model_is_not_overwritten(old, tmp_path, name):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).write_bytes(b"precious")
    with pytest.raises(UserError, match="exists already; name another folder"):
        extend(old, tmp_path / "new", "genome")
    assert (tmp_path / "new" / name).read_bytes() == b"precious"


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_nothing_stays_half_written(old, tmp_path, monkeypatch, kind):
    write_text = vocabulary.files.write_text

    def full(path, text):
        if path.endswith("vocab.txt"):
            raise kind("the disk is full")
        write_text(path, text)

    monkeypatch.setattr(vocabulary.files, "write_text", full)
    new = tmp_path / "new"
    new.mkdir()
    (new / "notes.txt").write_text("mine")
    with pytest.raises(kind):
        extend(old, new, "genome")
    assert os.listdir(new) == ["notes.txt"]


@pytest.mark.parametrize("name", ["uncased", "cased", "chinese"])
def test_released_vocabularies(tmp_path, name):
    """Every line but those of [unusedN] stays, byte for byte."""
    folder = shared(f"data/vocab/{name}")
    words = [f"qqq{number}" for number in range(1200)]
    extend(
        folder,
        tmp_path / "new",
        "\n".join(words),
        init_checkpoint=None,
        do_lower_case=name != "cased",
    )
    before = (folder / "vocab.txt").read_bytes().split(b"\n")[:-1]
    after = (tmp_path / "new" / "vocab.txt").read_bytes().split(b"\n")[:-1]
    unused = [i for i, line in enumerate(before) if line[:7] == b"[unused"]
    added = [*unused, *range(len(before), len(after))]
    assert [after[i].decode() for i in added] == words
    for index, line in enumerate(before):
        assert index in unused or after[index] == line
    config = read_json(tmp_path / "new" / "bert_config.json")
    assert config["vocab_size"] == len(after)
    assert len(config) == len(read_json(folder / "bert_config.json"))


def test_program(old, tmp_path, caplog):
    caplog.set_level("DEBUG", logger="absl")
    words = tmp_path / "words.txt"
    words.write_text("".join(f"genome{i}\n" for i in range(25)))
    values = {
        "add_words": str(words),
        "vocab_file": f"{old}/vocab.txt",
        "bert_config_file": f"{old}/bert_config.json",
        "init_checkpoint": f"{old}/bert_model.ckpt",
        "output_dir": f"{tmp_path}/new",
    }
    BUILD.run(**values)
    for said in (
        "25 new, 0 in the vocabulary already, 0 repeated",
        "2 in places of [unusedN], 23 appended; vocab_size 20 -> 38",
        "25 of them were [UNK] and start with its row",
        "1 genome0: [UNK]",
        "... 5 more",
    ):
        assert said in caplog.text, said
    assert sorted(os.listdir(tmp_path / "new")) == sorted(FILES + WEIGHTS)
    with pytest.raises(UserError, match="--input_file=a.txt: one is for addin"):
        BUILD.run(**values, input_file="a.txt")
