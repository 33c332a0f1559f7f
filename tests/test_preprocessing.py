"""The tokenizer in the graph against FullTokenizer: no difference anywhere."""

import collections
import dataclasses
import gzip
import itertools
import json
import os
import resource
import string
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.common import shared

from bert_tf import BertPreprocessor, FullTokenizer, tokenization
from bert_tf.errors import UserError
from bert_tf.text import normalization, packing
from bert_tf.text.graph_packing import truncated_lengths
from bert_tf.tokenization import TokenizerSettings, WordpieceTokenizer

CASINGS = pytest.mark.parametrize("do_lower_case", [True, False])
# Settings that the original does not have: each rule is in one of them. Their
# tables are built here, which takes a second or two each.
OTHERS = (
    TokenizerSettings(strip_accents=False),
    TokenizerSettings(tokenize_chinese_chars=False),
    TokenizerSettings(
        do_lower_case=False, strip_accents=True, tokenize_chinese_chars=False
    ),
)
OTHER_SETTINGS = pytest.mark.parametrize("settings_of", OTHERS)

# Every kind of character that some rule treats apart.
SPECIAL = (
    "aAbZ09 \t\n,.'[]#$"
    "éÉñŁß中文국ｱ한"
    "ΣσςΑαİıſK"
    "\u0301\u0308\u0345\u00ad\u200b\u200d\ufe0f\ufffd\0\x01\x7f\x85\u2028\u3000"
    "\u302e\u302f\U0001d15e\U0001d160\U0001d165\U0001d16d\U00016ff0\u1b44\u0591"
    "\u037e\u2260\u2e52\U00011b00\ufdd0\uffff\U0010ffff\U0001f469😀"
    "\u0f71\u0f72\u0f73\u0f75\u0f81"
)
TEXTS = st.one_of(st.text(), st.text(st.sampled_from(SPECIAL), max_size=30))


# Chinese characters and Hangul are many and all alike.
SPELLED = [
    chr(o)
    for o in normalization.CODE_POINTS
    if unicodedata.category(chr(o)) not in ("Cc", "Cn", "Co")
    and (chr(o) in SPECIAL or not 0x3400 <= o < 0xD800 and o < 0x20000)
    and not chr(o).isspace()
]


@pytest.fixture(scope="module")
def every_character(tmp_path_factory):
    """A vocabulary that spells the words, so that [UNK] hides nothing."""
    tokens = [token for c in SPELLED for token in (c, "##" + c)]
    return write_vocab(tmp_path_factory.mktemp("vocab"), tokens)


@pytest.fixture(scope="module")
def pairs(every_character):
    """{do_lower_case: (FullTokenizer, BertPreprocessor)}."""
    return {
        lower: (
            FullTokenizer(every_character, lower),
            BertPreprocessor(every_character, lower),
        )
        for lower in (True, False)
    }


@pytest.fixture(scope="module")
def other_pairs(every_character):
    """{one of OTHERS: (FullTokenizer, BertPreprocessor)}."""
    return {settings: pair_of(every_character, settings) for settings in OTHERS}


def pair_of(vocab_file, settings):
    arguments = settings.tokenizer_arguments()
    return (
        FullTokenizer(vocab_file, **arguments),
        BertPreprocessor(vocab_file, **arguments),
    )


def ids_of(tokenizer, text):
    return tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))


def assert_same(tokenizer, preprocess, texts):
    expected = [ids_of(tokenizer, text) for text in texts]
    assert preprocess.tokenize(texts).to_list() == expected
    ids, _, _ = preprocess.tokenize_with_offsets(texts)
    assert ids.to_list() == expected


# -- The same tokens. --------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["tokens", pytest.param("tokens_other_vocabs", marks=pytest.mark.slow)],
)
def test_golden_tokens(name):
    path = shared(f"golden/1_tokenization/{name}.jsonl.gz")
    rows = collections.defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            golden = json.loads(line)
            rows[golden["vocab"], golden["do_lower_case"]].append(golden)
    for (vocab, do_lower_case), goldens in rows.items():
        vocab_file = str(shared(f"data/vocab/{vocab}/vocab.txt"))
        preprocess = BertPreprocessor(vocab_file, do_lower_case)
        texts = [golden["text"] for golden in goldens]
        expected = [golden["ids"] for golden in goldens]
        assert preprocess.tokenize(texts).to_list() == expected
        ids, _, _ = preprocess.tokenize_with_offsets(texts)
        assert ids.to_list() == expected
    assert sum(map(len, rows.values())) > 1900


def test_golden_bytes():
    edge = json.loads(shared("golden/1_tokenization/edge.json").read_text())
    vocab_file = str(shared("data/vocab/uncased/vocab.txt"))
    tokenizer = FullTokenizer(vocab_file)
    edge = [golden for golden in edge if "bytes_hex" in golden]
    texts = [bytes.fromhex(golden["bytes_hex"]) for golden in edge]
    expected = [tokenizer.convert_tokens_to_ids(g["tokens"]) for g in edge]
    assert BertPreprocessor(vocab_file).tokenize(texts).to_list() == expected
    assert len(texts) >= 3


class QuickWordpieces(WordpieceTokenizer):
    """Does not try words with a character that no piece has: a sweep has
    millions of them, and pieces spell a word to the letter."""

    def __init__(self, vocab):
        super().__init__(vocab)
        self.chars = set("".join(vocab))

    def ids(self, words):
        unknown = [self.vocab[self.unk_token]]
        for word in words:
            if self.chars.issuperset(word):
                yield from map(self.vocab.get, self.tokenize_word(word))
            else:
                yield from unknown


@pytest.mark.slow
@CASINGS
def test_every_code_point(do_lower_case):
    """Alone, between letters, doubled, at the end and the start of a word."""
    names = ["uncased", "chinese"] if do_lower_case else ["cased"]
    files = [str(shared(f"data/vocab/{name}/vocab.txt")) for name in names]
    basic = FullTokenizer(files[0], do_lower_case).basic_tokenizer
    ours = [BertPreprocessor(path, do_lower_case) for path in files]
    theirs = [QuickWordpieces(FullTokenizer(path).vocab) for path in files]
    chunk = 1 << 16
    num_code_points = 0
    for first in range(0, len(normalization.CODE_POINTS), chunk):
        chars = map(chr, normalization.CODE_POINTS[first : first + chunk])
        texts = [f"{c} a{c}b {c}{c} a{c} {c}A" for c in chars]
        num_code_points += len(texts)
        # White space keeps the texts apart: all of them are one long text.
        words = basic.tokenize(" ".join(texts))
        texts = tf.constant(texts)
        for preprocess, wordpieces in zip(ours, theirs, strict=True):
            ids = preprocess.tokenize(texts).values.numpy()
            expected = np.fromiter(wordpieces.ids(words), np.int32)
            if not np.array_equal(ids, expected):
                report_difference(preprocess, wordpieces, basic, texts)
    assert num_code_points == 0x110000 - 2048


def report_difference(preprocess, wordpieces, basic, texts):
    for text in texts.numpy():
        expected = list(wordpieces.ids(basic.tokenize(text)))
        assert preprocess.tokenize([text]).to_list() == [expected], text


@pytest.mark.thorough
@OTHER_SETTINGS
def test_every_code_point_with_other_settings(settings_of):
    path = str(shared("data/vocab/chinese/vocab.txt"))
    tokenizer, preprocess = pair_of(path, settings_of)
    wordpieces = QuickWordpieces(tokenizer.vocab)
    basic = tokenizer.basic_tokenizer
    chunk = 1 << 16
    # Planes 4 to 16 are alike but for the tags, and swept whole above.
    points = [
        o
        for o in normalization.CODE_POINTS
        if o < 0x40000 or 0xE0000 <= o < 0xE1000 or o % 8 == 0
    ]
    for first in range(0, len(points), chunk):
        chars = map(chr, points[first : first + chunk])
        texts = [f"{c} a{c}b 中{c}国{c}A Σ{c} {c}Σ" for c in chars]
        words = basic.tokenize(" ".join(texts))
        ids = preprocess.tokenize(texts).values.numpy()
        expected = np.fromiter(wordpieces.ids(words), np.int32)
        if not np.array_equal(ids, expected):
            texts = tf.constant(texts)
            report_difference(preprocess, wordpieces, basic, texts)


@CASINGS
def test_every_code_point_spelled_out(do_lower_case, pairs):
    check_spelled_out(*pairs[do_lower_case])


@pytest.mark.thorough  # Tables are built for each of the settings.
@OTHER_SETTINGS
def test_every_code_point_spelled_out_otherwise(settings_of, other_pairs):
    check_spelled_out(*other_pairs[settings_of])


def check_spelled_out(tokenizer, preprocess):
    """No [UNK] can hide a difference where the vocabulary has it all."""
    wordpieces = QuickWordpieces(tokenizer.vocab)
    basic = tokenizer.basic_tokenizer
    texts = [f"{c} a{c}b Σ{c} {c}Σ" for c in SPELLED]
    words = basic.tokenize(" ".join(texts))
    ids = preprocess.tokenize(texts).values.numpy()
    expected = np.fromiter(wordpieces.ids(words), np.int32)
    if not np.array_equal(ids, expected):
        report_difference(preprocess, wordpieces, basic, tf.constant(texts))
    assert len(SPELLED) > 35000


@settings(max_examples=150)
@given(st.lists(TEXTS, min_size=1, max_size=8))
@example(["\U0001d160\u0301\U00016ff0\0\u302e", "a\u302e\ufe0f\U00016ff0"])
@example(["ΑΣ\u00ad", "ΑΣ'Α", "ΣΣΣ Σ", "Α\u0301Σ.", "1Σ", "ΑΣ\u2028Α"])
def test_any_text(pairs, texts):
    for tokenizer, preprocess in pairs.values():
        assert_same(tokenizer, preprocess, texts)


@settings(max_examples=50)
@pytest.mark.thorough
@given(st.lists(TEXTS, min_size=1, max_size=8))
@example(["\U0001d160\u0301\U00016ff0\0\u302e", "A\u302e\ufe0f\U00016ff0"])
@example(["ΑΣ\u00ad", "ΑΣ'Α", "ΣΣΣ Σ", "Α\u0301Σ.", "1Σ", "中Σ\u2028国Α"])
@example(["中国 a中b, \ue000中 \uf900国 \u3007中 \ufdd0中", "İİ İ"])
def test_any_text_with_other_settings(other_pairs, texts):
    for tokenizer, preprocess in other_pairs.values():
        assert_same(tokenizer, preprocess, texts)
        check_offsets(tokenizer, preprocess, texts)


@pytest.mark.slow
def test_chinese_words(tmp_path):
    """The vocabulary's own code points for private use stay what they are."""
    private = [chr(0xE000), "##" + chr(0xE001), chr(0xF0000)]
    tokens = [
        "中国",
        "##人",
        "人",
        "##中",
        "中",
        "##a",
        "a",
        "中国人民的",
        "的",
    ]
    tokens += [*private, "中" * 60, "\u8c48", "##\u8c48", "\uf900"]
    path = write_vocab(tmp_path, tokens)
    tokenizer, preprocess = pair_of(
        path, TokenizerSettings(tokenize_chinese_chars=False)
    )
    texts = ["中国人 中国 人a中, 国 的。中国人民 \uf900a a\uf900 人中\u4e00"]
    texts += [f"{chr(o)} a{chr(o)} 中{chr(o)}" for o in range(0xE000, 0xE020)]
    texts += ["\U000f0000 \U00100000中", "中" * 61, "人" + "中" * 199 + " a"]
    texts += ["人" + "中" * 200]
    assert_same(tokenizer, preprocess, texts)
    found = preprocess.detokenize(preprocess.tokenize(texts[:1])).numpy()[0]
    assert found.decode().startswith("中国人 中国 人a中 [UNK] [UNK] 的 [UNK]")
    check_offsets(tokenizer, preprocess, texts)


@settings(max_examples=100)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=12),
            st.lists(
                st.sampled_from(
                    [b"a", b"\xc3", b"\xa9", b"\xe0", b"\x80", b"\xed", b"\xa0"]
                    + [b"\xf4", b"\x90", b"\xff", b" ", b"\xce\xa3", b"\xf0"]
                ),
                max_size=10,
            ).map(b"".join),
        ),
        min_size=1,
        max_size=8,
    )
)
@example([b"\xed\xa0\x80a\xe0\x80\x80", b"ok\xc3", b"\xf4\x90\x80\x80", b""])
def test_any_bytes(pairs, texts):
    for tokenizer, preprocess in pairs.values():
        assert_same(tokenizer, preprocess, texts)


def write_vocab(folder, tokens):
    path = folder / "vocab.txt"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *tokens]
    text = "".join(f"{token}\n" for token in tokens)
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


LETTERS = "aAbé中.,# \u2e52한"


@pytest.mark.thorough
@settings(max_examples=50)
@given(
    st.lists(st.text(st.sampled_from(LETTERS), max_size=4), max_size=12),
    st.lists(st.text(st.sampled_from(LETTERS)), min_size=1, max_size=4),
    st.booleans(),
)
@example(
    ["a", "", "##a", "a", "a,b", "##,", "##", "###", " a"], ["aaa,b"], True
)
def test_any_vocabulary(tmp_path_factory, tokens, texts, do_lower_case):
    """Twice the same token, empty ones, and some that no text can reach."""
    path = write_vocab(tmp_path_factory.mktemp("vocab"), tokens)
    tokenizer = FullTokenizer(path, do_lower_case)
    preprocess = BertPreprocessor(path, do_lower_case)
    tf.config.run_functions_eagerly(True)  # A new graph a vocabulary is slow.
    try:
        assert_same(tokenizer, preprocess, texts)
    finally:
        tf.config.run_functions_eagerly(False)


@CASINGS
def test_a_word_of_201_characters_is_unknown(do_lower_case, pairs):
    """Characters count, of however many bytes."""
    tokenizer, preprocess = pairs[do_lower_case]
    for char in "aж한𝛼":
        long, too_long = char * 200, char * 201
        if do_lower_case and char == "한":  # Three jamo each.
            long, too_long = char * 66, char * 67
        texts = [f"x {long} y", too_long, f"{long}, {too_long} {long}z"]
        assert_same(tokenizer, preprocess, texts)
        num_pieces = preprocess.tokenize(texts).row_lengths().numpy()
        assert num_pieces[0] >= 200 and num_pieces[1] == 1


def test_an_alias_in_the_vocabulary_is_refused(tmp_path):
    path = write_vocab(tmp_path, ["a", "\ufdd0"])
    with pytest.raises(UserError, match="vocab.txt:6: '\\\\ufdd0' has a code "):
        BertPreprocessor(path)


def test_long_tokens(tmp_path):
    """One that no word can hold does no harm; one too long for the op does."""
    path = write_vocab(tmp_path, ["a", "##a", "a" * 200, "a" * 300])
    preprocess = BertPreprocessor(path)
    assert_same(FullTokenizer(path), preprocess, ["a" * n for n in (199, 200)])
    path = write_vocab(tmp_path, ["é" * 130])
    with pytest.raises(UserError, match="vocab.txt:5: .* has 260 bytes; "):
        BertPreprocessor(path, do_lower_case=False)


# -- Offsets. ----------------------------------------------------------------


def expected_spans(tokenizer, text):
    """Bytes of each piece, from the characters that its word is made of."""
    ends = np.cumsum([0] + [len(char.encode()) for char in text])
    owners = []  # For each character of the words, its place in the text.
    for place, char in enumerate(text):
        for word in tokenizer.basic_tokenizer.tokenize(char):
            owners += [place] * len(word)
    spans, first = [], 0
    for word in tokenizer.basic_tokenizer.tokenize(text):
        for piece in tokenizer.wordpiece_tokenizer.tokenize_word(word):
            length = len(piece.removeprefix("##"))
            length = len(word) if piece == "[UNK]" else length
            last = with_accents(tokenizer, text, owners[first + length - 1])
            spans.append((ends[owners[first]], ends[last + 1]))
            first += length
    return spans


def with_accents(tokenizer, text, last):
    """Place of the last accent of the character at `last`, or `last`."""
    for place in range(last + 1, len(text)):
        if tokenizer.basic_tokenizer.tokenize(f"a{text[place]}b") != ["ab"]:
            break
        is_accent = bool(tokenization.clean(text[place]).strip())
        last = place if is_accent else last
    return last


@settings(max_examples=150)
@given(st.lists(TEXTS, min_size=1, max_size=6))
@example(["cafe\u0301 ok", "\u200bhe\u200bllo\u200b x", "e\u200b\u0301\0"])
@example(["👩\u200d🚀!", "한국", "ΑΣ\u00ad", "a\ufffd\U0001d160\U00016ff0b"])
def test_offsets_of_any_text(pairs, texts):
    for tokenizer, preprocess in pairs.values():
        check_offsets(tokenizer, preprocess, texts)


def check_offsets(tokenizer, preprocess, texts):
    _, starts, limits = preprocess.tokenize_with_offsets(texts)
    found = [
        list(zip(*spans, strict=True))
        for spans in zip(starts.to_list(), limits.to_list(), strict=True)
    ]
    expected = [expected_spans(tokenizer, text) for text in texts]
    assert found == expected, ascii(texts)


def test_offsets_beside_bytes_that_are_not_utf8(pairs):
    raw = b"\xffab\xff\xfec\xc3 d\xe4\xb8"
    _, preprocess = pairs[True]
    _, starts, limits = preprocess.tokenize_with_offsets([raw])
    spans = zip(starts[0].numpy(), limits[0].numpy(), strict=True)
    assert [raw[a:b] for a, b in spans] == [b"a", b"b", b"c", b"d"]


def test_characters_of_nothing_but_marks(every_character):
    """U+0F73 stops no run of marks: its own parts are moved, too."""
    python = FullTokenizer(every_character)
    graph = BertPreprocessor(every_character)
    for text in (
        "a\U0001d16d\u0f73\U0001d165",
        "a\u0f75\u0f73",
        "\u0f81\u0f71x",
        "\U0001d15e\u0f73\u0f71",
    ):
        expected = python.convert_tokens_to_ids(python.tokenize(text))
        assert graph.tokenize([text])[0].numpy().tolist() == expected


@pytest.mark.thorough
def test_memory_grows_with_the_text_and_not_with_its_square(every_character):
    """What is left out, and long unknown words, concern single rows."""
    graph = BertPreprocessor(every_character)
    graph.tokenize_with_offsets(["a\u200b " + "ก" * 90])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sentence = "it is so. "
    text = sentence * 6000 + "\u200b"
    ids, starts, limits = graph.tokenize_with_offsets([text])
    first = graph.tokenize([sentence])[0].numpy()
    assert np.array_equal(ids[0], np.tile(first, 6000))
    assert int(limits[0, -1]) == len(text) - 2
    long_words = graph.tokenize([("ก" * 90 + " ") * 3000])
    assert long_words.shape[0] == 1 and long_words.row_lengths()[0] == 270_000
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 500_000  # KB


def test_a_length_multiple_that_is_none(every_character):
    for multiple in (0, -4):
        with pytest.raises(ValueError, match=f"length_multiple={multiple}"):
            BertPreprocessor(every_character, length_multiple=multiple)


def test_a_vocabulary_too_large_for_the_graph(tmp_path):
    rng = np.random.default_rng(0)
    letters = [chr(o) for o in range(ord("a"), ord("z") + 1)]
    words = ["".join(rng.choice(letters, 200)) for _ in range(1500)]
    pieces = [*letters, *("##" + letter for letter in letters), *words]
    with pytest.raises(UserError, match="vocab.txt: too large for tensorflow-"):
        BertPreprocessor(write_vocab(tmp_path, pieces))


def test_offsets_of_unknown_and_long_words(tmp_path):
    path = write_vocab(tmp_path, ["a", "é", "##é"])
    preprocess = BertPreprocessor(path, do_lower_case=False)
    text = f"a xyz, {'é' * 150} {'é' * 201}"
    ids, starts, limits = preprocess.tokenize_with_offsets([text])
    raw = text.encode()
    spans = zip(starts[0].numpy(), limits[0].numpy(), strict=True)
    spans = [raw[a:b].decode() for a, b in spans]
    assert spans == ["a", "xyz", ",", *["é"] * 150, "é" * 201]
    assert ids[0].numpy().tolist() == [4, 1, 1, 5, *[6] * 149, 1]


# -- Packing and back. -------------------------------------------------------


@given(st.integers(0, 40), st.integers(0, 40), st.integers(3, 40))
def test_truncated_lengths_are_those_of_the_loop(num_a, num_b, max_seq_length):
    a, b = list(range(num_a)), list(range(num_b))
    packing.truncate_seq_pair(a, b, max_seq_length - (3 if b else 2))
    a = a[: max_seq_length - 2]
    lengths = truncated_lengths(
        tf.constant([num_a], tf.int64),
        tf.constant([num_b], tf.int64),
        max_seq_length,
    )
    assert [int(length[0]) for length in lengths] == [len(a), len(b)]


ROWS = [
    ("a b c a b c a b c", "b b b"),
    ("a", "b c b c b c b c b c"),
    ("a b a b a b a b a b", "c c c c c c c c c c"),
    ("", ""),
    ("", "c"),
    ("a b", " \0 "),
    ("a b a b a b a b a b a b a b a b", ""),
]


@pytest.mark.parametrize(
    "max_seq_length, truncation",
    [
        *((length, "head") for length in (3, 5, 13)),
        *((length, "head_tail") for length in (3, 4, 5, 12, 40)),
    ],
)
def test_sequences_are_packed_as_in_python(
    tmp_path, max_seq_length, truncation
):
    path = write_vocab(tmp_path, ["a", "b", "c"])
    preprocess = BertPreprocessor(
        path, max_seq_length=max_seq_length, truncation=truncation
    )
    assert_packed_as_in_python(FullTokenizer(path), preprocess, ROWS)


def assert_packed_as_in_python(tokenizer, preprocess, rows):
    max_seq_length = preprocess.max_seq_length
    batch = preprocess(*zip(*rows, strict=True))
    for i, row in enumerate(rows):
        tokens, segment_ids, _ = packing.pack_sequences(
            *map(tokenizer.tokenize, row), max_seq_length, preprocess.truncation
        )
        ids = tokenizer.convert_tokens_to_ids(tokens)
        expected = {
            "input_ids": ids,
            "input_mask": [1] * len(ids),
            "segment_ids": segment_ids,
        }
        for name, values in expected.items():
            assert batch[name].dtype == tf.int32
            assert batch[name][i].numpy().tolist() == packing.pad(
                values, max_seq_length
            )


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """A vocabulary in which each of `LETTERS_AND_DIGITS` is a piece."""
    return write_vocab(tmp_path_factory.mktemp("vocab"), LETTERS_AND_DIGITS)


@pytest.fixture(scope="module")
def packers(letters):
    """{truncation: some `BertPreprocessor`s of different lengths}."""
    return {
        truncation: [
            BertPreprocessor(
                letters, max_seq_length=length, truncation=truncation
            )
            for length in (3, 6, 11, 24)
        ]
        for truncation in packing.TRUNCATIONS
    }


# No token comes twice in a text, so that all places show.
LETTERS_AND_DIGITS = [*string.ascii_lowercase, *string.digits]
SPACED = st.integers(0, len(LETTERS_AND_DIGITS)).map(
    lambda number: " ".join(LETTERS_AND_DIGITS[:number])
)


@pytest.mark.slow
@settings(max_examples=20)  # Each by eight preprocessors.
@given(st.lists(st.tuples(SPACED, SPACED), min_size=1, max_size=5))
@example([("", ""), ("", "a b c"), ("a b c d e", "")])
def test_any_pairs_are_packed_as_in_python(letters, packers, rows):
    tokenizer = FullTokenizer(letters)
    for preprocess in itertools.chain(*packers.values()):
        assert_packed_as_in_python(tokenizer, preprocess, rows)


def test_a_text_loses_its_middle_without_a_second_text(letters, packers):
    """A missing second text is as one without a token."""
    text = " ".join("abcdefghijkl")
    found = {
        truncation: preprocess.detokenize(preprocess([text])["input_ids"])
        for truncation, (_, _, preprocess, _) in packers.items()
    }
    assert found["head"].numpy() == [b"a b c d e f g h i"]
    assert found["head_tail"].numpy() == [b"a b f g h i j k l"]
    with pytest.raises(ValueError, match="one of head, head_tail. .*='tail'"):
        BertPreprocessor(letters, truncation="tail")


@pytest.mark.slow
@settings(max_examples=25)  # Each by eight preprocessors.
@given(
    st.lists(SPACED, max_size=5), st.integers(1, 7), st.none() | st.integers(1)
)
@example(["", "a", " \0 "], 3, None)
@example(["a b c d e f g h i", "a b c d e f g h i j"], 9, 3)
@example([], 2, 1)
def test_windows_are_those_of_python(
    letters, packers, texts, max_windows, stride
):
    tokenizer = FullTokenizer(letters)
    # Neither sort of truncation makes a difference.
    for preprocess in itertools.chain(*packers.values()):
        length = preprocess.max_seq_length
        step = stride and 1 + (stride - 1) % (length - 2)
        found = preprocess.windows(texts, max_windows, step)
        shape = (len(texts), max_windows, length)
        expected = np.zeros((2, *shape), "int32")
        for i, text in enumerate(texts):
            windows, _ = packing.pack_windows(
                tokenizer.tokenize(text), length, max_windows, step
            )
            for j, tokens in enumerate(windows):
                ids = tokenizer.convert_tokens_to_ids(tokens)
                expected[0, i, j, : len(ids)] = ids
                expected[1, i, j, : len(ids)] = 1
        assert {values.dtype for values in found.values()} == {tf.int32}
        assert found["segment_ids"].shape == shape
        assert not found["segment_ids"].numpy().any()
        assert np.array_equal(found["input_ids"], expected[0])
        assert np.array_equal(found["input_mask"], expected[1])


def test_windows_of_any_text(pairs):
    """Of characters that nobody counts, such as those that are removed."""
    tokenizer, preprocess = pairs[True]
    text = SPECIAL * 9
    (found,) = preprocess.windows([text], 20, 50)["input_ids"].numpy()
    windows, truncated = packing.pack_windows(
        tokenizer.tokenize(text), preprocess.max_seq_length, 20, 50
    )
    assert 3 < len(windows) < 20 and not truncated
    for ids, tokens in zip(found, windows, strict=False):
        expected = tokenizer.convert_tokens_to_ids(tokens)
        assert ids.tolist() == packing.pad(expected, len(ids))


def test_windows_have_static_shapes_in_a_dataset(letters):
    """`length_multiple`, which makes sequences shorter, does not count."""
    texts = ["a b c d e f g", "", "a b", "a b c d"]
    preprocess = BertPreprocessor(
        letters, max_seq_length=5, length_multiple=1, truncation="head_tail"
    )
    dataset = tf.data.Dataset.from_tensor_slices(texts).batch(3)
    dataset = dataset.map(lambda text: preprocess.windows(text, 2, 2))
    for name in ("input_ids", "input_mask", "segment_ids"):
        spec = tf.TensorSpec([None, 2, 5], tf.int32)
        assert dataset.element_spec[name].is_compatible_with(spec)
        assert dataset.element_spec[name].shape[1:] == (2, 5)
    batches = list(dataset.as_numpy_iterator())
    masks = np.concatenate([batch["input_mask"] for batch in batches])
    expected = [[5, 5], [2, 0], [4, 0], [5, 4]]
    assert masks.sum(axis=2).tolist() == expected


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0,), "max_windows must be positive"),
        ((1, 0), "stride must be from 1 to 4"),
        ((1, 5), "stride must be from 1 to 4"),
    ],
)
def test_windows_that_cannot_be(packers, arguments, message):
    _, preprocess, *_ = packers["head"]
    with pytest.raises(ValueError, match=message):
        preprocess.windows(["a"], *arguments)


@pytest.mark.slow
def test_long_texts_in_a_saved_model(letters, packers, tmp_path):
    _, preprocess, *_ = packers["head_tail"]
    model = tf.Module()
    texts = tf.TensorSpec([None], tf.string)
    model.pack = tf.function(lambda text: preprocess(text), [texts])
    model.windows = tf.function(
        lambda text: preprocess.windows(text, 3, 2), [texts]
    )
    tf.saved_model.save(model, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    texts = tf.constant(["a b c d e f g", "", "a b"])
    for found, expected in (
        (loaded.pack(texts), preprocess(texts)),
        (loaded.windows(texts), preprocess.windows(texts, 3, 2)),
    ):
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert np.array_equal(found[name], values)
    ids = loaded.windows.get_concrete_function().structured_outputs["input_ids"]
    assert ids.shape[1:] == (3, 6)


def test_length_is_static_or_that_of_the_longest(tmp_path):
    path = write_vocab(tmp_path, ["a"])
    fixed = BertPreprocessor(path, max_seq_length=20)
    spec = tf.TensorSpec([None], tf.string)
    traced = tf.function(fixed).get_concrete_function(spec, spec)
    assert traced.structured_outputs["input_ids"].shape[1] == 20
    cut = BertPreprocessor(path, max_seq_length=20, length_multiple=8)
    for num_words, length in ((1, 8), (6, 8), (7, 16), (18, 20), (99, 20)):
        batch = cut(["a", "a " * num_words])
        assert batch["input_mask"].shape == (2, length)
        number = min(num_words + 2, 20)
        assert batch["input_mask"].numpy().sum(axis=1).tolist() == [3, number]
    assert cut(tf.constant([], tf.string))["input_ids"].shape == (0, 8)
    with pytest.raises(ValueError, match="at least 3"):
        BertPreprocessor(path, max_seq_length=2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="same number"):
        fixed(["a"], ["a", "a"])
    with pytest.raises(ValueError, match=r"shape \[B\]"):
        fixed.tokenize("a text, not a list")


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_detokenized_words_are_the_words(pairs, texts):
    tokenizer, preprocess = pairs[True]
    words = [tokenizer.basic_tokenizer.tokenize(text) for text in texts]
    cut = tokenizer.wordpiece_tokenizer.tokenize_word
    expected = [
        " ".join("[UNK]" if cut(word) == ["[UNK]"] else word for word in row)
        for row in words
    ]
    found = preprocess.detokenize(preprocess.tokenize(texts)).numpy()
    assert [text.decode() for text in found] == expected


def test_detokenize_leaves_out_special_tokens(tmp_path):
    path = write_vocab(tmp_path, ["un", "##able", "[MASK]"])
    preprocess = BertPreprocessor(path, max_seq_length=9)
    packed = preprocess(["unable x"], ["un"])["input_ids"]
    assert preprocess.detokenize(packed).numpy() == [b"unable [UNK] un"]
    assert preprocess.detokenize([[5], [6]]).numpy().tolist() == [
        b"able", b"[MASK]",
    ]  # fmt: skip


# -- The tables, and the exported function. ----------------------------------


@pytest.mark.slow  # Seconds for each table.
@CASINGS
def test_the_shipped_table_is_the_one_built_here(do_lower_case):
    path = normalization.asset_path(do_lower_case)
    assert os.path.exists(path), "python -m bert_tf.tools.build_normalization"
    settings_of = TokenizerSettings(do_lower_case=do_lower_case)
    built = normalization.build(settings_of)
    shipped = normalization.load(settings_of)
    for field in dataclasses.fields(built):
        ours = getattr(built, field.name)
        assert np.array_equal(getattr(shipped, field.name), ours), field.name


def test_another_tensorflow_text_has_its_own_table(tmp_path, monkeypatch):
    cased = TokenizerSettings(do_lower_case=False)
    table = normalization.load(cased)
    path = str(tmp_path / "table.npz")
    monkeypatch.setattr(normalization, "asset_path", lambda lower: path)
    monkeypatch.setattr(
        normalization, "versions", lambda: {"tensorflow_text": "older"}
    )
    normalization.save(table, path)
    monkeypatch.setattr(
        normalization, "_build_once", lambda settings, chars: "built"
    )
    assert len(normalization.load(cased).model) == len(table.model)
    monkeypatch.setattr(
        normalization, "versions", lambda: {"tensorflow_text": "newer"}
    )
    assert normalization.load(cased) == "built"


SERVE = """
import sys
import tensorflow as tf
import tensorflow_text
model = tf.saved_model.load(sys.argv[1])
outputs = model.signatures["serving_default"](tf.constant(["Héllo ΣΑΣ \xff!"]))
print(outputs["input_ids"].numpy()[0, :8].tolist())
assert not any(name.startswith("bert_tf") for name in sys.modules)
"""


@pytest.mark.slow
def test_saved_model_needs_tensorflow_and_tensorflow_text_alone(tmp_path):
    vocab_file = str(shared("data/vocab/uncased/vocab.txt"))
    preprocess = BertPreprocessor(vocab_file, max_seq_length=16)
    signature = tf.function(
        lambda text: preprocess(text),
        input_signature=[tf.TensorSpec([None], tf.string, name="text")],
    )
    folder = tmp_path / "saved"
    tf.saved_model.save(
        tf.Module(),
        str(folder),
        signatures=signature.get_concrete_function(),
    )
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert size < 3e6
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(folder)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    expected = preprocess(["Héllo ΣΑΣ \xff!"])["input_ids"][0, :8]
    assert json.loads(done.stdout) == expected.numpy().tolist()
