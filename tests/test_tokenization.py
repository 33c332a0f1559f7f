"""FullTokenizer against the original's outputs, and its rules one by one."""

import gzip
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.common import shared

from bert_tf import FullTokenizer
from bert_tf.errors import UserError
from bert_tf.formats import tokenizer_json
from bert_tf.tokenization import (
    BasicTokenizer,
    TokenizerSettings,
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


@pytest.mark.parametrize(
    "do_lower_case, strip_accents, tokenize_chinese_chars, expected",
    [
        (True, None, True, "cafe cafe \u1100\u1161 οδος 中 文 \u8c48 i ."),
        (True, True, True, "cafe cafe \u1100\u1161 οδος 中 文 \u8c48 i ."),
        (True, False, True, "café cafe\u0301 가 οδός 中 文 \uf900 i\u0307 ."),
        (False, None, True, "Café cafe\u0301 가 ΟΔΌΣ 中 文 \uf900 \u0130 ."),
        (False, False, True, "Café cafe\u0301 가 ΟΔΌΣ 中 文 \uf900 \u0130 ."),
        (False, True, True, "Cafe cafe \u1100\u1161 ΟΔΟΣ 中 文 \u8c48 I ."),
        (True, None, False, "cafe cafe \u1100\u1161 οδος 中文\u8c48 i ."),
        (False, None, False, "Café cafe\u0301 가 ΟΔΌΣ 中文\uf900 \u0130 ."),
    ],
)
def test_settings(
    do_lower_case, strip_accents, tokenize_chinese_chars, expected
):
    text = "Café cafe\u0301 가 ΟΔΌΣ 中文\uf900 \u0130."
    tokenizer = BasicTokenizer(
        do_lower_case, strip_accents, tokenize_chinese_chars
    )
    assert tokenizer.tokenize(text) == expected.split(" ")


def test_settings_of_earlier_versions():
    """Their runs and exports know the case alone."""
    cased = TokenizerSettings.of({"do_lower_case": False, "seed": 3})
    assert cased == TokenizerSettings(do_lower_case=False)
    assert not cased.strips_accents and TokenizerSettings().strips_accents
    assert cased.tokenizer_arguments() == {
        "do_lower_case": False,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
    }


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


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tokenizer_json_of(tokens, **model):
    vocab = {token: index for index, token in enumerate(tokens)}
    return {
        "added_tokens": [{"id": 4, "content": "[MASK]"}],
        "normalizer": {"type": "BertNormalizer", "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "vocab": vocab, **model},
    }


def write_json(tmp_path, content):
    path = tmp_path / "any_name"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return str(path)


def test_a_vocabulary_in_a_tokenizer_json(tmp_path):
    tokens = [*SPECIAL, "é", "##中", "\u2028", "{", '"']
    content = tokenizer_json_of(tokens, max_input_chars_per_word=100)
    path = write_json(tmp_path, content)
    lines = write_vocab(tmp_path, *tokens)
    assert load_vocab(path) == load_vocab(lines)
    tokenizer = FullTokenizer(path, do_lower_case=False)
    assert tokenizer.tokenize("é中") == ["é", "[UNK]"]
    # What copies a vocabulary writes one token a line.
    text = (tmp_path / "vocab.txt").read_text(encoding="utf-8")
    assert tokenizer_json.read_vocab_text(path) + "\n" == text
    assert tokenizer_json.read_vocab_text(lines) + "\n" == text
    copy = tmp_path / "copy"
    tokenizer_json.copy_vocab(path, str(copy))
    assert copy.read_text(encoding="utf-8") == text
    del content["model"]["type"]  # As earlier versions of the library.
    assert load_vocab(write_json(tmp_path, content)) == load_vocab(lines)


def test_a_vocabulary_of_brackets_is_no_json(tmp_path):
    for tokens in (["{", '"', "}"], ["{", "a"], ["{}x", "a"], ["{"]):
        path = write_vocab(tmp_path, *tokens)
        assert [*load_vocab(path)] == tokens


@pytest.mark.parametrize(
    "changes, model, message",
    [
        ({"model": None}, {}, 'JSON without a tokenizer\'s "model"'),
        ({}, {"type": "BPE", "merges": []}, 'model.type="BPE" is not support'),
        ({}, {"type": None, "merges": []}, "model.type=null is not supported"),
        ({}, {"vocab": [["a", -1.5]]}, 'type="WordPiece" is not supported'),
        (
            {},
            {"continuing_subword_prefix": "@@"},
            'model.continuing_subword_prefix="@@" is not supported; only "##"',
        ),
        ({}, {"unk_token": "<unk>"}, 'unk_token="<unk>" is not supported'),
        (
            {},
            {"max_input_chars_per_word": 64},
            "max_input_chars_per_word=64 is not supported; only 100 or 200 is",
        ),
        ({}, {"vocab": {"a": 0, "b": 2}}, "'b' has the id 2 in place of 1"),
        ({}, {"vocab": {"a": 0, "b": 0}}, "'b' has the id 0 in place of 1"),
        ({}, {"vocab": {"a": True}}, "'a' has the id True in place of 0"),
        ({}, {"vocab": {"a": "x"}}, "'a' has the id 'x' in place of 0"),
        ({}, {"vocab": {"a\nb": 0}}, "has a line end"),
        ({}, {"vocab": {}}, "any_name: the vocabulary is empty"),
        (
            {"added_tokens": [{"id": 9, "content": "<e1>"}]},
            {},
            'added_tokens="<e1>" is not supported; only "[PAD]" or',
        ),
        (
            {"added_tokens": [{"id": 9, "content": "[MASK]"}]},
            {},
            "added_tokens: [MASK] has the id 9, which",
        ),
        (
            {"normalizer": {"type": "Sequence"}},
            {},
            'normalizer.type="Sequence" is not supported; only "BertNormaliz',
        ),
        ({"normalizer": None}, {}, "normalizer.type=null is not supported"),
        (
            {"normalizer": {"type": "BertNormalizer", "clean_text": False}},
            {},
            "normalizer.clean_text=false is not supported; only true is",
        ),
        (
            {"pre_tokenizer": {"type": "Whitespace"}},
            {},
            'pre_tokenizer.type="Whitespace" is not supported',
        ),
        (
            {"post_processor": {"type": "BertProcessing", "sep": ["</s>", 1]}},
            {},
            "post_processor.cls=null is not supported",
        ),
        (
            {
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [{"Sequence": {"id": "A", "type_id": 0}}],
                }
            },
            {},
            'post_processor.single="A" is not supported; only "[CLS] A [SEP]"',
        ),
    ],
)
def test_a_tokenizer_json_that_is_another(tmp_path, changes, model, message):
    content = {**tokenizer_json_of([*SPECIAL, "a"], **model), **changes}
    if "vocab" in model:
        content["added_tokens"] = []
    path = write_json(tmp_path, content)
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        load_vocab(path)
    assert str(raised.value).startswith(path) and "\n" not in str(raised.value)


def test_a_damaged_tokenizer_json(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text('{\n  "version": "1.0",\n')
    with pytest.raises(UserError, match="tokenizer.json: not JSON, or damaged"):
        load_vocab(str(path))


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
