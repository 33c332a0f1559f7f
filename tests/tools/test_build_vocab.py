"""The vocabulary learner, and the bundled vocabulary it made.

What the program adds to a model's vocabulary: test_vocabulary.py.
"""

import pytest
from support.common import TESTS
from support.programs import last_line, program_of, run_here

from bert_tf import FullTokenizer, pretrained
from bert_tf.errors import UserError
from bert_tf.tokenization import TokenizerSettings

BUILD = program_of("bert_tf.tools.build_vocab")
SETTINGS = TokenizerSettings()


def test_learned_vocabulary_spells_the_text(tmp_path):
    text = "The Café sells cakes.\nCaking is fun, the cakes are fun!\n" * 5
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(text + "ж", encoding="utf-8")
    path = tmp_path / "vocab.txt"
    files = {"input_file": f"{tmp_path}/[ab].txt", "output_file": str(path)}
    BUILD.run(**files, vocab_size=60, num_unused=2, max_unique_chars=17)
    tokens = path.read_text(encoding="utf-8").split("\n")[:-1]
    special = "[PAD] [unused0] [unused1] [UNK] [CLS] [SEP] [MASK]".split()
    assert tokens[:7] == special and len(tokens) <= 60
    assert len(set(tokens)) == len(tokens)
    tokenizer = FullTokenizer(str(path))
    pieces = tokenizer.tokenize(text)
    assert "[UNK]" not in pieces and "cafe" in pieces
    assert tokenizer.tokenize("ж") == ["[UNK]"]

    before = path.read_bytes()
    with pytest.raises(UserError, match="leaves no room besides the 104 spec"):
        BUILD.run(**files, vocab_size=50)
    with pytest.raises(UserError, match="vocab.txt: would replace an input"):
        BUILD.run(**{**files, "input_file": f"{tmp_path}/*.txt"})
    assert path.read_bytes() == before

    done = run_here(
        "bert_tf/tools/build_vocab.py",
        f"--input_file={tmp_path}/*.x",
        f"--output_file={path}",
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "--input_file: no file matches" in last_line(done)


def test_cutting_keeps_characters_and_special_tokens():
    special = ["[PAD]", "[UNK]"]
    vocab = [*special, "a", "b", "the", "##ing", "##a", "cat", "##b"]
    cut_to_size = BUILD.module.cut_to_size
    assert cut_to_size(vocab, 7, special) == [
        *special,
        *("a", "b", "the", "##a", "##b"),
    ]
    with pytest.raises(UserError, match="--vocab_size=5: the characters of th"):
        cut_to_size(vocab, 5, special)


def test_the_bundled_vocabulary_spells_the_bundled_messages():
    tokenizer = FullTokenizer(pretrained.DEMO_FLAGS["vocab_file"])
    unknown = total = 0
    for name in ("train", "dev", "test"):
        path = f"{pretrained.DEMO_FLAGS['data_dir']}/{name}.tsv"
        with open(path, encoding="utf-8") as reader:
            pieces = tokenizer.tokenize(reader.read())
        unknown += pieces.count("[UNK]")
        total += len(pieces)
    assert unknown < 0.001 * total


def test_one_line_and_other_formats_are_said(caplog):
    reports = TESTS / "reports"
    BUILD.module.count_words([str(reports / "P03_one_line.txt")], SETTINGS)
    assert "1 line of text, with 4 different words" in caplog.text
    BUILD.module.count_words([str(reports / "C18_doccano.jsonl")], SETTINGS)
    assert "it looks like JSON lines, and is read as lines of" in caplog.text
