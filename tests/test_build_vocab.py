"""The vocabulary learner, and the bundled vocabulary it made.

What the program adds to a model's vocabulary: test_vocabulary.py.
"""

import subprocess
import sys

from conftest import ROOT, run_module

from bert_tf import FullTokenizer, pretrained


def run_program(*args):
    return run_module("bert_tf.tools.build_vocab", *args)


def test_learned_vocabulary_spells_the_text(tmp_path):
    text = "The Café sells cakes.\nCaking is fun, the cakes are fun!\n" * 5
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(text + "ж", encoding="utf-8")
    path = tmp_path / "vocab.txt"
    done = run_program(
        f"--input_file={tmp_path}/[ab].txt",
        f"--output_file={path}",
        "--vocab_size=60",
        "--num_unused=2",
        "--max_unique_chars=17",
    )
    assert done.returncode == 0, done.stderr
    tokens = path.read_text(encoding="utf-8").split("\n")[:-1]
    special = "[PAD] [unused0] [unused1] [UNK] [CLS] [SEP] [MASK]".split()
    assert tokens[:7] == special and len(tokens) <= 60
    assert len(set(tokens)) == len(tokens)
    tokenizer = FullTokenizer(str(path))
    pieces = tokenizer.tokenize(text)
    assert "[UNK]" not in pieces and "cafe" in pieces
    assert tokenizer.tokenize("ж") == ["[UNK]"]

    before = path.read_bytes()
    done = run_program(
        f"--input_file={tmp_path}/[ab].txt",
        f"--output_file={path}",
        "--vocab_size=50",
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "leaves no room beside the 104 special entries" in done.stderr
    assert path.read_bytes() == before

    done = run_program(f"--input_file={tmp_path}/*.x", f"--output_file={path}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "--input_file: no file matches" in done.stderr


CUT = """
from bert_tf.errors import UserError
from bert_tf.tools.build_vocab import cut_to_size
vocab = ["[PAD]", "[UNK]", "a", "b", "the", "##ing", "##a", "cat", "##b"]
print(*cut_to_size(vocab, 7, ["[PAD]", "[UNK]"]))
try:
    cut_to_size(vocab, 5, ["[PAD]", "[UNK]"])
except UserError as error:
    print(error)
"""


def test_cutting_keeps_characters_and_special_tokens():
    """In a process of its own, as each program defines its flags."""
    done = subprocess.run(
        [sys.executable, "-c", CUT], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.splitlines() == [
        "[PAD] [UNK] a b the ##a ##b",
        "--vocab_size=5: the characters of the text alone need 6 entries",
    ], done.stderr


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
