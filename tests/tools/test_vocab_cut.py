"""build_vocab --keep_pieces_of: a smaller model that answers the same."""

import gzip
import json
import re
import shutil

import numpy as np
import pytest
from support import squad_files
from support.common import TINY_CONFIG, json_lines, read_json
from support.programs import (
    RUN_CLASSIFIER,
    RUN_PRETRAINING,
    arguments,
    last_line,
    make_folder,
    program_of,
    results_of,
    run_here,
    values_of,
)

from bert_tf import BertConfig, FullTokenizer, checkpoints, pretrained
from bert_tf.embeddings import TextEmbedder
from bert_tf.errors import UserError
from bert_tf.fill_mask import FillMask
from bert_tf.heads import BertClassifier, BertPretrainer
from bert_tf.vocabulary import OUTPUT_BIAS, WORD_EMBEDDINGS

BUILD = program_of("bert_tf.tools.build_vocab")
CREATE = program_of("bert_tf.tools.create_pretraining_data")
CONVERT = program_of("bert_tf.tools.convert_checkpoint")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ENTRIES = [
    *("[PAD]", "[unused1]", "[unused2]", *SPECIAL[1:], "<S>", ".", "a", "b"),
    *("##a", "##b", "Der", "Hund", "bell", "##t", "##te", "The", "dog", "bark"),
    *("##ed", "le", "chien", "собака", "хвост"),
]
# 3 rows of the table belong to no entry.
CONFIG = BertConfig(**{**TINY_CONFIG.to_dict(), "vocab_size": 29})
CORPUS = "Der Hund bellt.\nThe dog barked. ab\n"
KEPT = [
    *(*SPECIAL, ".", "a", "b", "##a", "##b", "Der", "Hund", "bell", "##t"),
    *("The", "dog", "bark", "##ed"),
]


def write_entries(folder, entries=ENTRIES):
    text = "".join(f"{token}\n" for token in entries)
    (folder / "vocab.txt").write_text(text, "utf-8")


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A model as pretraining leaves it, with moments and a step."""
    folder = tmp_path_factory.mktemp("old")
    write_entries(folder)
    config = json.dumps(CONFIG.to_dict())
    (folder / "bert_config.json").write_text(config)
    rng = np.random.default_rng(0)
    tensors = {"global_step": np.int64(7)}
    for variable in BertPretrainer(CONFIG).weights:
        for suffix in ("", "/adam_m", "/adam_v"):
            value = rng.normal(size=variable.shape).astype("float32")
            tensors[variable.path + suffix] = value
    checkpoints.write_checkpoint(str(folder / "bert_model.ckpt"), tensors)
    (folder / "corpus.txt").write_text(CORPUS, "utf-8")
    return folder


def cut(folder, target, **flags):
    BUILD.run(
        **{
            "keep_pieces_of": str(folder / "corpus.txt"),
            "pretrained": str(folder),
            "output_dir": str(target),
            **flags,
        }
    )
    return target


@pytest.fixture(scope="module")
def new(old, tmp_path_factory):
    return cut(old, tmp_path_factory.mktemp("new") / "cut")


def tokens_of(folder):
    return (folder / "vocab.txt").read_text("utf-8").split("\n")[:-1]


def test_the_new_model_has_the_rows_that_stay(old, new, tmp_path):
    assert tokens_of(new) == KEPT
    config = read_json(new / "bert_config.json")
    assert config == {**CONFIG.to_dict(), "vocab_size": len(KEPT)}
    before, after = (values_of(f / "bert_model.ckpt") for f in (old, new))
    assert after.keys() == {n for n in before if "adam" not in n} - {
        "global_step"
    }
    rows = [ENTRIES.index(token) for token in KEPT]
    for name, value in after.items():
        by_entry = name in (WORD_EMBEDDINGS, OUTPUT_BIAS)
        expected = before[name][rows] if by_entry else before[name]
        np.testing.assert_array_equal(value, expected, err_msg=name)
    # Named file by file, the model is the same. Its casing is given, too.
    files = cut(
        old,
        tmp_path / "files",
        pretrained=None,
        vocab_file=str(old / "vocab.txt"),
        bert_config_file=str(old / "bert_config.json"),
        init_checkpoint=str(old / "bert_model.ckpt"),
        do_lower_case=False,
    )
    assert tokens_of(files) == KEPT
    assert pretrained.open(str(files)).tokenizer.do_lower_case is False


def outputs(folder, texts):
    """For each text its tokens, and all that pretraining's model gives."""
    tokenizer = FullTokenizer.from_pretrained(str(folder))
    model = BertPretrainer.from_pretrained(str(folder))
    for text in texts:
        tokens = ["[CLS]", *tokenizer.tokenize(text), "[SEP]"]
        ids = tokenizer.convert_tokens_to_ids(tokens)
        inputs = {
            "input_ids": np.array([[*ids, 0, 0]]),
            "input_mask": np.array([[1] * len(ids) + [0, 0]]),
            "segment_ids": np.zeros((1, len(ids) + 2), int),
        }
        encoder = model.bert(inputs)
        layers = encoder["all_encoder_layers"]
        found = {
            "pooled": encoder["pooled_output"],
            "layers": [encoder["embedding_output"], *layers],
            **model({**inputs, "masked_lm_positions": np.array([[1, 2, 3]])}),
        }
        yield tokens, {name: np.array(value) for name, value in found.items()}


def test_texts_of_kept_pieces_have_the_same_outputs(old, new):
    texts = ["Der Hund barked. ab", "The dogdog bellt", "bab a b ."]
    # The masked LM knows only the words that stay.
    rows = [ENTRIES.index(token) for token in KEPT]
    both = zip(outputs(old, texts), outputs(new, texts), strict=True)
    for (tokens, before), (again, after) in both:
        assert tokens == again
        before["mlm_logits"] = before["mlm_logits"][..., rows]
        assert before.keys() == after.keys()
        for name, value in before.items():
            np.testing.assert_allclose(after[name], value, atol=1e-6, rtol=0)


@pytest.mark.slow
def test_everything_reads_it(old, new):
    texts = ["Der Hund", "The dog bellt. [x]"]
    vectors = [
        TextEmbedder.from_pretrained(str(folder)).embed(texts)
        for folder in (old, new)
    ]
    np.testing.assert_allclose(*vectors, atol=1e-6, rtol=0)
    masked = "Der Hund [MASK]."
    full, small = (
        FillMask.from_pretrained(str(folder))(masked, "The dog", top_k=30)
        for folder in (old, new)
    )
    assert {*small.masks[0]} == {*KEPT} and small.follows == full.follows
    scale = sum(full.masks[0][token] for token in KEPT)
    for token, share in small.masks[0].items():
        np.testing.assert_allclose(share, full.masks[0][token] / scale, 1e-5)


def test_other_formats_hold_it(old, new, tmp_path):
    place = new
    for form in ("huggingface", "keras", "original"):
        target = tmp_path / form
        CONVERT.run(**{"from": str(place), "to": str(target), "format": form})
        assert tokens_of(target) == KEPT
        place = target
    before, after = (values_of(f / "bert_model.ckpt") for f in (new, place))
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    # The other way round: a model of another format is cut.
    foreign = tmp_path / "huggingface"
    shutil.copy(old / "corpus.txt", foreign)
    again = cut(foreign, tmp_path / "again", min_frequency=2)
    assert len(tokens_of(again)) < len(KEPT)


@pytest.fixture
def classifier(old, tmp_path):
    """A folder with a fine-tuned model of two labels."""
    folder = tmp_path / "classifier"
    model = BertClassifier(CONFIG, 2)
    model.save_pretrained(str(folder), labels=["yes", "no"])
    write_entries(folder)
    shutil.copy(old / "corpus.txt", folder)
    return folder


def test_a_trained_model_keeps_its_labels(classifier, tmp_path):
    stored = pretrained.open(str(cut(classifier, tmp_path / "a")))
    assert (stored.kind, stored.labels) == ("single_label", ["yes", "no"])
    assert stored.config.vocab_size == len(KEPT)
    headless = tmp_path / "headless"
    shutil.copytree(classifier, headless)
    weights = values_of(classifier / "bert_model.ckpt")
    del weights["output_weights"]
    checkpoints.write_checkpoint(str(headless / "bert_model.ckpt"), weights)
    with pytest.raises(UserError, match="=.*headless: its files say that its"):
        cut(headless, tmp_path / "none")
    # A relation's model marks the entities by [unusedN].
    task = {"problem": "relation", "labels": ["yes", "no"]}
    (classifier / "task.json").write_text(json.dumps(task))
    tokens = tokens_of(cut(classifier, tmp_path / "b"))
    assert tokens[:4] == ["[PAD]", "[unused1]", "[unused2]", "[UNK]"]


def test_texts_in_files(old, tmp_path):
    """Compressed ones, and JSON with texts anywhere."""
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"\n\nDer Hund bellt."))
    (tmp_path / "b.jsonl").write_text(
        json_lines(
            {"text": "The dog", "n": 3}, {"more": [{"chien": "barked ab"}]}
        )
    )
    pattern = f"{tmp_path}/a.*,{tmp_path}/b.*"
    found = tokens_of(cut(old, tmp_path / "new", keep_pieces_of=pattern))
    assert found == KEPT


def test_what_changes_is_said(old, tmp_path, caplog):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("Hund " * 6 + "dog le собака\nчто", "utf-8")
    caplog.set_level("INFO", logger="absl")
    cut(old, tmp_path / "new", keep_pieces_of=str(corpus), min_frequency=2)
    lines = [" ".join(r.getMessage().split()) for r in caplog.records]
    assert "Words 10, of which 5 differ" in lines
    assert (
        "Pieces 26 before, 12 now: 5 special tokens, 6 single characters, 1 "
        "others"
    ) in lines
    assert (
        "Words 30 % are split into other pieces; 10 % were [UNK], 40 % are"
    ) in lines
    assert "the model does not know 10 % of the words: are they" in caplog.text
    (sizes,) = [line for line in lines if line.startswith("Parameters")]
    before, after = re.findall(r"([\d,]+) (?:before|now)", sizes)
    gone = int(before.replace(",", "")) - int(after.replace(",", ""))
    # A row of the table is 8 wide, and the masked LM has a bias for it.
    assert gone == (29 - 12) * (8 + 1)


def test_what_is_refused(old, tmp_path):
    (tmp_path / "empty.txt").write_text(" \n\n")
    bare, other = tmp_path / "bare", tmp_path / "other"
    for folder, entries in ((bare, ENTRIES), (other, ENTRIES)):
        shutil.copytree(old, folder)
        write_entries(folder, entries)
    write_entries(bare, [e for e in ENTRIES if e not in ("[PAD]", "[MASK]")])
    write_entries(other, [*ENTRIES, *"abcdefg"])
    large = tmp_path / "large.json"
    large.write_text(json.dumps({**CONFIG.to_dict(), "vocab_size": 900}))
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    before = sorted(tmp_path.iterdir())
    for flags, message in (
        (
            {"keep_pieces_of": f"{tmp_path}/*.x"},
            "--keep_pieces_of: no file mat",
        ),
        ({"keep_pieces_of": f"{tmp_path}/empty.txt"}, "contains no words"),
        ({"vocab_size": 10}, r"--vocab_size=10: the 5 special .* take 11 ent"),
        ({"pretrained": str(bare)}, r"txt: has no \[PAD\], \[MASK\]"),
        ({"pretrained": str(other)}, "has 33 entries, more than the vocab_s"),
        ({"bert_config_file": str(large)}, "they are of two models"),
        ({"pretrained": None}, "--vocab_file, .* must be given"),
        ({"output_dir": str(taken)}, "--output_dir=.*: has files already"),
        ({"do_lower_case": True}, "this is a cased model"),
        ({"add_words": "w.txt"}, "--add_words=w.txt and --keep_pieces_of="),
        ({"input_file": "a"}, "pieces of texts, the other for learning a voc"),
        ({"init_checkpoint": str(old / "no")}, "no such checkpoint"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            cut(old, **{"target": tmp_path / "new", **flags})
        assert "\n" not in str(caught.value)
        assert sorted(tmp_path.iterdir()) == before
    tool = "bert_tf/tools/build_vocab.py"
    done = run_here(tool, "--input_file=a", "--output_file=b", "--keep_unused")
    assert last_line(done).endswith(
        "--keep_unused=True: it is for --keep_pieces_of"
    )
    done = run_here(tool, "--keep_pieces_of=a", "--num_unused=3")
    assert last_line(done).endswith("=3: it is for learning a vocabulary")


def test_nothing_is_half_written(old, tmp_path, monkeypatch):
    def full(path, tensors):
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(checkpoints, "write_checkpoint", full)
    with pytest.raises(OSError, match="No space left"):
        cut(old, tmp_path / "new")
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_the_three_programs_start_from_it(tmp_path):
    """The bundled model, cut down to the pieces of its messages."""
    folder = make_folder(tmp_path)
    small = tmp_path / "small"
    messages = str(folder / "data" / "train.tsv")
    BUILD.run(keep_pieces_of=messages, pretrained="demo", output_dir=str(small))
    assert pretrained.open(str(small)).config.vocab_size < 1000
    model = {
        "pretrained": str(small),
        "vocab_file": None,
        "bert_config_file": None,
        "max_seq_length": 32,
    }
    short = {**model, "do_train": True, "train_batch_size": 2}
    RUN_CLASSIFIER.run(**arguments(folder, num_train_epochs=0.1, **short))
    squad_files.write_json(folder / "squad.json", squad_files.squad_data())
    out = str(tmp_path / "questions")
    squad_files.run(folder, num_train_epochs=0.4, output_dir=out, **short)
    records = str(tmp_path / "records")
    CREATE.run(
        input_file=messages,
        output_file=records,
        pretrained=str(small),
        max_seq_length=32,
        max_predictions_per_seq=4,
        dupe_factor=1,
    )
    del model["vocab_file"], model["bert_config_file"]
    RUN_PRETRAINING.run(
        **model,
        input_file=records,
        output_dir=str(tmp_path / "pretraining"),
        max_predictions_per_seq=4,
        do_eval=True,
        max_eval_steps=1,
    )
    assert pretrained.open(str(folder / "out")).kind == "single_label"
    stored = pretrained.open(out)
    assert stored.kind_with(stored.weights()) == "question_answering"
    results = results_of(tmp_path / "pretraining" / "eval_results.txt")
    # The heads of pretraining were read: the loss of random ones is over 6.
    assert float(results["masked_lm_loss"]) < 5
