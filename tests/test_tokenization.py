"""FullTokenizer against the original's outputs, and its rules one by one."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.common import shared

from bert_tf import FullTokenizer
from bert_tf.errors import UserError
from bert_tf.tokenization import (
    BasicTokenizer,
    WordpieceTokenizer,
    check_casing,
    load_vocab,
)

LOWER, CASED = BasicTokenizer(True), BasicTokenizer(False)


def write_vocab(tmp_path, *tokens):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["tokens", "tokens_other_vocabs"])
def test_golden_tokens(name):
    path = shared(f"golden/1_tokenization/{name}.jsonl.gz")
    tokenizers, num_strings = {}, 0
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            golden = json.loads(line)
            key = golden["vocab"], golden["do_lower_case"]
            if key not in tokenizers:
                vocab = shared(f"data/vocab/{key[0]}/vocab.txt")
                tokenizers[key] = FullTokenizer(str(vocab), key[1])
            tokens = tokenizers[key].tokenize(golden["text"])
            assert tokens == golden["tokens"], golden["text"]
            ids = tokenizers[key].convert_tokens_to_ids(tokens)
            assert ids == golden["ids"]
            num_strings += 1
    assert num_strings > 1900


def test_golden_bytes_and_surrogates():
    path = shared("golden/1_tokenization/edge.json")
    vocab = shared("data/vocab/uncased/vocab.txt")
    tokenizer = FullTokenizer(str(vocab))
    for golden in json.loads(path.read_text()):
        if "bytes_hex" in golden:
            text = bytes.fromhex(golden["bytes_hex"])
        else:
            text = golden["text"]
        assert tokenizer.tokenize(text) == golden["tokens"]


@pytest.mark.parametrize("name", ["uncased", "cased", "multi_cased", "chinese"])
def test_released_vocabularies(name):
    vocab = load_vocab(str(shared(f"data/vocab/{name}/vocab.txt")))
    golden = shared("golden/1_tokenization/vocabs.json").read_text()
    assert len(vocab) == json.loads(golden)[name]["entries"]
    is_uncased = name in ("uncased", "chinese")
    check_casing(vocab, do_lower_case=is_uncased)
    with pytest.raises(UserError, match="do_lower_case"):
        check_casing(vocab, do_lower_case=not is_uncased)


@pytest.mark.parametrize(
    "text, lower, cased",
    [
        ("Héllo,  WORLD!", "hello , world !", "Héllo , WORLD !"),
        ("ah\u535a\u63a8zz", "ah \u535a \u63a8 zz", "ah \u535a \u63a8 zz"),
        ("a\x00b\ufffdc\u200dd\x7fe", "abcde", "abcde"),
        ("a\tb\nc\u00a0d\u2003e\u2028f", "a b c d e f", "a b c d e f"),
        ("$9.99+x_y", "$ 9 . 99 + x _ y", "$ 9 . 99 + x _ y"),
        ("\u00bfque\u2019?", "\u00bf que \u2019 ?", "\u00bf que \u2019 ?"),
        ("\u20ac5\u00b0", "\u20ac5\u00b0", "\u20ac5\u00b0"),
        ("\uac00", "\u1100\u1161", "\uac00"),  # Hangul becomes jamo.
        ("\u039f\u03a3 \u03a3", "\u03bf\u03c2 \u03c3", "\u039f\u03a3 \u03a3"),
        ("[MASK]", "[ mask ]", "[ MASK ]"),
        ("", "", ""),
    ],
)
def test_basic_tokenizer(text, lower, cased):
    assert LOWER.tokenize(text) == lower.split(" ") * bool(lower)
    assert CASED.tokenize(text) == cased.split(" ") * bool(cased)


def test_bytes_lose_what_is_not_utf8():
    assert LOWER.tokenize(b"caf\xc3\xa9 \xff\xfeok \xc3") == ["cafe", "ok"]


def test_wordpiece_takes_the_longest_piece_first():
    vocab = {"un": 0, "##aff": 1, "##able": 2, "##a": 3, "##ff": 4, "una": 5}
    tokenizer = WordpieceTokenizer(vocab)
    # "una" is taken, and then nothing spells "ffable" but "##ff" "##able".
    assert tokenizer.tokenize("unaffable") == ["una", "##ff", "##able"]
    assert tokenizer.tokenize("unaffable unz") == [
        "una", "##ff", "##able", "[UNK]",
    ]  # fmt: skip


def test_a_word_of_201_characters_is_unknown():
    tokenizer = WordpieceTokenizer({"a": 0, "##a": 1, "é": 2, "##é": 3})
    for char in "aé":  # Characters count, not bytes.
        assert len(tokenizer.tokenize_word(char * 200)) == 200
        assert tokenizer.tokenize_word(char * 201) == ["[UNK]"]


def test_vocabulary_lines(tmp_path):
    """Blank lines count, white space does not, the later duplicate wins."""
    path = write_vocab(tmp_path, "[UNK]", " [CLS] ", "", "a", "[SEP]", "a")
    vocab = load_vocab(path)
    assert vocab == {"[UNK]": 0, "[CLS]": 1, "": 2, "a": 5, "[SEP]": 4}
    tokenizer = FullTokenizer(path)
    assert tokenizer.convert_ids_to_tokens([5, 0]) == ["a", "[UNK]"]


def test_vocabulary_line_separator_is_a_token(tmp_path):
    path = write_vocab(tmp_path, "[UNK]", "[CLS]", "a\u2028b", "[SEP]")
    assert load_vocab(path)["[SEP]"] == 3


def test_vocabulary_errors(tmp_path):
    with pytest.raises(UserError, match=r"vocab.txt: the token \[SEP\]"):
        FullTokenizer(write_vocab(tmp_path, "[UNK]", "[CLS]"))
    empty = tmp_path / "empty.txt"
    empty.write_bytes(b"")
    with pytest.raises(UserError, match="empty"):
        load_vocab(str(empty))
    empty.write_bytes(b"[UNK]\n\xff\n")
    with pytest.raises(UserError, match="empty.txt:2: not UTF-8: byte 0xff"):
        load_vocab(str(empty))


def test_casing_of_small_vocabularies_is_not_judged():
    check_casing({"[UNK]": 0, "want": 1}, do_lower_case=False)
    check_casing({"<S>": 0, "[CLS]": 1, "的": 2}, do_lower_case=True)


@given(st.text())
def test_tokens_of_any_text(text):
    """No token holds white space; cased tokens lose no visible character."""
    for tokenizer in (LOWER, CASED):
        tokens = tokenizer.tokenize(text)
        assert all(t and not any(c.isspace() for c in t) for t in tokens)
        # What was split stays split alike.
        assert tokenizer.tokenize(" ".join(tokens)) == tokens
    kept = [c for c in text if CASED.tokenize(f"a{c}b") != ["a", "b"]]
    kept = "".join(c for c in kept if CASED.tokenize(f"a{c}b") != ["ab"])
    assert "".join(CASED.tokenize(text)) == kept
