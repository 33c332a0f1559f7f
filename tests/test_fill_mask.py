"""Filling masks: against the golden outputs, and as a program."""

import json
import pathlib

import numpy as np
import pytest
from support.common import read_npz
from support.golden_model import ODD, with_plain_words
from support.programs import last_line, program_of, run_here

from bert_tf import pretrained
from bert_tf.checkpoints import Checkpoint, write_checkpoint
from bert_tf.errors import UserError
from bert_tf.fill_mask import FillMask, MaskedText

PROGRAM = program_of("bert_tf.tools.fill_mask")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return with_plain_words(tmp_path_factory.mktemp("fill"))


@pytest.fixture(scope="module")
def fill_mask(files):
    return FillMask(**files)


def without(scope, folder):
    """A copy of the golden checkpoint that lacks some variables."""
    checkpoint = Checkpoint(str(ODD / "bert_model.ckpt"))
    kept = [n for n in checkpoint.shapes if not n.startswith(scope)]
    prefix = str(folder / "less.ckpt")
    write_checkpoint(prefix, {n: checkpoint.read(n) for n in kept})
    return prefix


def run(capsys, files, *texts, **values):
    with PROGRAM.flags(**files, **values):
        PROGRAM.main(*texts)
    return capsys.readouterr().out


def test_probabilities_are_the_originals(fill_mask):
    """Any tokens at the golden positions; the model sees ids alone."""
    inputs = read_npz(ODD / "inputs.npz")
    expected = read_npz(ODD / "outputs_pretrain.npz")
    lengths = inputs["input_mask"].sum(axis=1)
    row = next(i for i, n in enumerate(lengths) if n == 33)
    positions = sorted(set(inputs["masked_lm_positions"][row].tolist()))

    class Asked(MaskedText):
        positions = property(lambda self: positions)

    ids = inputs["input_ids"][row]
    tokens = fill_mask.tokenizer.convert_ids_to_tokens(ids)
    asked = Asked(tokens, inputs["segment_ids"][row].tolist(), True)
    filled = fill_mask.fill(asked, top_k=1500)
    log_probs = expected["masked_lm_log_probs"].reshape(6, 5, -1)[row]
    where = inputs["masked_lm_positions"][row].tolist()
    for position, words in zip(positions, filled.masks, strict=True):
        found = [words[t] for t in fill_mask.tokenizer.vocab]
        probabilities = np.exp(log_probs[where.index(position)])
        np.testing.assert_allclose(found, probabilities, atol=1e-6)
        assert list(words.values()) == sorted(words.values(), reverse=True)
    follows = np.exp(expected["next_sentence_log_probs"][row, 0])
    np.testing.assert_allclose(filled.follows, follows, atol=1e-6)


def test_masks_stand_where_they_were_written(fill_mask):
    masked = fill_mask.read("W7[MASK] w8 [mask]", "[MASK] w9[MASK]")
    assert (
        masked.tokens
        == (
            "[CLS] w7 [MASK] w8 [UNK] [UNK] [UNK] [SEP] [MASK] w9 [MASK] [SEP]"
        ).split()
    )
    assert masked.segment_ids == [0] * 8 + [1] * 4
    assert masked.positions == [2, 8, 10]
    filled = fill_mask.fill(masked, top_k=3)
    assert [len(words) for words in filled.masks] == [3, 3, 3]
    assert len({tuple(words.values()) for words in filled.masks}) == 3
    assert fill_mask("w7 [MASK]").follows is None
    pair = fill_mask("w7 w8", "w9")
    assert pair.masks == [] and 0 < pair.follows < 1


def test_rows_beyond_the_vocabulary_get_no_probability(files, tmp_path):
    path = tmp_path / "vocab.txt"
    few = open(files["vocab_file"]).read().split("\n")[:20]
    path.write_text("\n".join([*few, "", ""]))
    filled = FillMask(**{**files, "vocab_file": str(path)})(
        "w7 [MASK]", top_k=99
    )
    (words,) = filled.masks
    assert sorted(words) == sorted(few)
    assert sum(words.values()) == pytest.approx(1, abs=1e-5)


def test_each_text_is_answered_in_order(capsys, files, fill_mask):
    texts = ["w7 [MASK] w9", "w7 [MASK] ||| w8 [MASK]"]
    lines = run(capsys, files, *texts, top_k=2).split("\n")
    assert lines[0] == "[CLS] w7 [MASK] w9 [SEP]"
    assert lines[1] == "[MASK] 1 of 1"
    best, p = next(iter(fill_mask(texts[0]).masks[0].items()))
    assert lines[2] == f"  {p:.4f}  {best}"
    assert lines[4:6] == ["", "[CLS] w7 [MASK] [SEP] w8 [MASK] [SEP]"]
    assert lines[6] == "[MASK] 1 of 2" and lines[9] == "[MASK] 2 of 2"
    follows = fill_mask("w7 [MASK]", "w8 [MASK]").follows
    assert lines[12] == f"The second text follows the first: {follows:.4f}"


def test_json_has_an_object_a_line(capsys, files, fill_mask, tmp_path):
    texts = ["w7 [MASK] w9", "w7 ||| w8"]
    (tmp_path / "texts").write_text("\n\n".join(texts) + "\n")
    with open(tmp_path / "texts") as stdin, pytest.MonkeyPatch.context() as m:
        m.setattr("sys.stdin", stdin)
        out = run(capsys, files, "-", output_format="json")
    first, second = map(json.loads, out.splitlines())
    expected = fill_mask(texts[0])
    assert first["tokens"] == expected.tokens
    assert first["follows"] is None
    assert first["masks"] == [pytest.approx(w) for w in expected.masks]
    assert second["masks"] == [] and 0 < second["follows"] < 1


def test_what_cannot_be_asked_is_refused(capsys, files, fill_mask, tmp_path):
    def refused(message, *texts, **changes):
        with pytest.raises(UserError, match=message) as error:
            run(capsys, {**files, **changes}, *texts)
        assert "\n" not in str(error.value)
        assert capsys.readouterr().out == ""

    refused(r'no text is given, such as "the capital')
    refused(r"'w8': there is no \[MASK\]", "w7 [MASK]", "w8")
    refused("a text of the pair is empty", "w7 [MASK] ||| ")
    long = "w7\n" * 126 + "[MASK]"
    refused("129 tokens with .* the model reads at most 128", long)
    refused("--init_checkpoint must be given too", "x", init_checkpoint=None)
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nmask\n")
    refused(
        r"vocab.txt: the token \[MASK\] is missing", "x", vocab_file=str(path)
    )

    less = without("cls/predictions/", tmp_path)
    refused(
        r"less.ckpt has no masked-LM head \(cls/predictions/…\): ",
        "w7 [MASK]",
        init_checkpoint=less,
    )
    less = without("cls/seq_relationship/", tmp_path)
    refused(
        r"less.ckpt has no next-sentence head \(cls/seq_relationship/…\): ",
        "w7 [MASK] ||| w8",
        init_checkpoint=less,
    )
    found = FillMask(**{**files, "init_checkpoint": less})("w7 [MASK]")
    assert found == fill_mask("w7 [MASK]")


def test_a_mistake_ends_the_program_in_one_line(files):
    done = run_here(
        "bert_tf/tools/fill_mask.py",
        "w7 [MASK]",
        f"--vocab_file={files['vocab_file']}",  # After the text.
    )
    assert done.returncode == 1 and done.stdout == ""
    assert "Traceback" not in done.stderr
    assert last_line(done) == (
        "fill_mask.py: --bert_config_file and --init_checkpoint must be given "
        "too, or --pretrained in place of them all: the bundled model is used "
        "where no file of a model is named"
    )


def test_the_bundled_model_is_the_default(capsys):
    out = run(capsys, {}, "see you [MASK] .", output_format="json")
    (words,) = json.loads(out)["masks"]
    assert len(words) == 5


def test_the_bundled_model_is_small_and_has_read_its_books():
    folder = pathlib.Path(pretrained.ASSETS, "demo")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4e6
    fill = FillMask(**pretrained.BUNDLED_MODEL)
    found = fill("he opened the [MASK] and went out .")
    assert {"door", "room"} <= set(found.masks[0])
    (found,) = fill("she sat down [MASK] a chair .", top_k=3).masks
    assert "in" in found or "on" in found
