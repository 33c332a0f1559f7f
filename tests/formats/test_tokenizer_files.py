"""Settings in a Hugging Face folder: obeyed, or refused in one line."""

import itertools
import json
import re

import pytest

from bert_tf.errors import UserError
from bert_tf.formats.tokenizer_files import (
    tokenizer_settings_of,
    write_tokenizer_files,
)
from bert_tf.tokenization import FullTokenizer, TokenizerSettings, load_vocab

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "é", "##中"]
# As transformers 4 writes a token.
MASK = {"content": "[MASK]", "lstrip": True, "__type": "AddedToken"}
NORMALIZER = {"type": "BertNormalizer"}
CASED = TokenizerSettings(do_lower_case=False)


def tokenizer_of(**normalizer):
    return {
        "normalizer": {**NORMALIZER, **normalizer},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "vocab": {"[UNK]": 0}},
    }


def write(folder, **contents):
    for name, content in contents.items():
        text = json.dumps(content, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    "contents, expected",
    [
        ({}, TokenizerSettings()),
        # transformers 2 and 3 say little.
        ({"tokenizer_config": {"do_lower_case": False, "max_len": 512}}, CASED),
        (
            {
                "tokenizer_config": {
                    "do_lower_case": True,
                    "strip_accents": False,
                    "tokenize_chinese_chars": False,
                    "do_basic_tokenize": True,
                    "never_split": None,
                    "unk_token": "[UNK]",
                    "mask_token": MASK,
                    "tokenizer_class": "BertTokenizer",
                    "added_tokens_decoder": {"4": MASK},
                    "additional_special_tokens": [],
                    "extra_special_tokens": {},
                    "model_max_length": 512,
                },
                "special_tokens_map": {
                    "mask_token": MASK,
                    "sep_token": "[SEP]",
                },
                "added_tokens": {"[MASK]": 4},
            },
            TokenizerSettings(
                strip_accents=False, tokenize_chinese_chars=False
            ),
        ),
        # A key that is missing in one file is read from the other.
        (
            {
                "tokenizer_config": {"tokenizer_class": "BertTokenizerFast"},
                "tokenizer": tokenizer_of(lowercase=False, strip_accents=None),
            },
            CASED,
        ),
        # Where they contradict each other, the library goes by the first.
        (
            {
                "tokenizer_config": {"do_lower_case": True},
                "tokenizer": tokenizer_of(
                    lowercase=False, handle_chinese_chars=False
                ),
            },
            TokenizerSettings(tokenize_chinese_chars=False),
        ),
        # But a general class knows nothing but tokenizer.json.
        (
            {
                "tokenizer_config": {
                    "do_lower_case": True,
                    "tokenizer_class": "PreTrainedTokenizerFast",
                },
                "tokenizer": tokenizer_of(lowercase=False),
            },
            CASED,
        ),
    ],
)
def test_settings_of_a_folder(tmp_path, contents, expected):
    assert tokenizer_settings_of(write(tmp_path, **contents)) == expected


def test_settings_of_a_file(tmp_path):
    write(
        tmp_path,
        tokenizer_config={"strip_accents": True},
        tokenizer=tokenizer_of(lowercase=False),
    )
    found = tokenizer_settings_of(str(tmp_path / "tokenizer_config.json"))
    assert found == TokenizerSettings(strip_accents=True)
    assert tokenizer_settings_of(str(tmp_path / "tokenizer.json")) == CASED


CONFIG = "tokenizer_config.json: "


@pytest.mark.parametrize(
    "name, content, message",
    [
        (
            "tokenizer_config",
            {"never_split": ["[MASK]", "<e1>"]},
            CONFIG + 'never_split=["<e1>"] is not supported; only [] is',
        ),
        (
            "tokenizer_config",
            {"mask_token": "<mask>"},
            CONFIG + 'mask_token="<mask>" is not supported; only "[MASK]" is',
        ),
        (
            "special_tokens_map",
            {"cls_token": {"content": "<s>"}},
            'special_tokens_map.json: cls_token="<s>" is not supported; only',
        ),
        (
            "special_tokens_map",
            {"additional_special_tokens": [{"content": "[unused1]"}]},
            'additional_special_tokens=["[unused1]"] is not supported',
        ),
        (
            "tokenizer_config",
            {"extra_special_tokens": {"image_token": "<i>"}},
            CONFIG + 'extra_special_tokens=["<i>"] is not supported',
        ),
        (
            "added_tokens",
            {"covid": 30522},
            'added_tokens.json: added_tokens=["covid"] is not supported',
        ),
        (
            "tokenizer_config",
            {"added_tokens_decoder": {"9": {"content": "covid"}}},
            CONFIG + 'added_tokens_decoder=["covid"] is not supported',
        ),
        (
            "tokenizer_config",
            {"tokenizer_class": "MPNetTokenizer"},
            CONFIG + 'tokenizer_class="MPNetTokenizer" is not supported; only',
        ),
        (
            "tokenizer_config",
            {"tokenizer_class": "PreTrainedTokenizerFast"},
            "needs a tokenizer.json, which is not there",
        ),
        (
            "tokenizer_config",
            {"do_basic_tokenize": False},
            CONFIG + "do_basic_tokenize=false is not supported; only true is",
        ),
        (
            "tokenizer_config",
            {"do_lower_case": "yes"},
            CONFIG + 'do_lower_case="yes" is not supported; only true or false',
        ),
        (
            "tokenizer_config",
            {"tokenize_chinese_chars": None},
            CONFIG + "tokenize_chinese_chars=null is not supported; only true",
        ),
        (
            "tokenizer",
            tokenizer_of(strip_accents=1),
            "tokenizer.json: normalizer.strip_accents=1 is not supported; only "
            "null or true or false is",
        ),
        ("tokenizer_config", [], CONFIG + "not a JSON object"),
    ],
)
def test_what_is_refused(tmp_path, name, content, message):
    folder = write(tmp_path, **{name: content})
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        tokenizer_settings_of(folder)
    assert str(raised.value).startswith(folder)


@pytest.mark.parametrize(
    "name, content",
    [
        ("special_tokens_map", {"additional_special_tokens": 5}),
        ("tokenizer_config", {"added_tokens_decoder": [1, 2]}),
        ("tokenizer", {"added_tokens": [3]}),
        ("tokenizer", {"post_processor": 5}),
        (
            "tokenizer",
            {"post_processor": {"type": "TemplateProcessing", "single": [{}]}},
        ),
    ],
)
def test_values_of_other_types(tmp_path, name, content):
    if name == "tokenizer":
        content = {
            "model": {"type": "WordPiece", "vocab": {"[PAD]": 0}},
            "normalizer": {"type": "BertNormalizer"},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            **content,
        }
    folder = write(tmp_path, **{name: content})
    with pytest.raises(UserError, match=f"{name}.json: damaged"):
        tokenizer_settings_of(folder)


def test_written_and_read(tmp_path):
    text = "Éé é中 [MASK]"
    for settings in (
        TokenizerSettings(do_lower_case=a, strip_accents=b,
                          tokenize_chinese_chars=c)
        for a, b, c in itertools.product(
            (True, False), (None, True, False), (True, False)
        )
    ):  # fmt: skip
        folder = tmp_path / str(hash(settings))
        write_tokenizer_files(str(folder), VOCAB, settings)
        assert tokenizer_settings_of(str(folder)) == settings
        for name in ("tokenizer_config.json", "tokenizer.json"):
            found = tokenizer_settings_of(str(folder / name))
            assert found == settings
        arguments = settings.tokenizer_arguments()
        lines, whole = (
            FullTokenizer(str(folder / name), **arguments)
            for name in ("vocab.txt", "tokenizer.json")
        )
        assert whole.vocab == lines.vocab == {t: i for i, t in enumerate(VOCAB)}
        assert whole.tokenize(text) == lines.tokenize(text)


def test_a_template_puts_the_second_text_into_segment_1(tmp_path):
    write_tokenizer_files(str(tmp_path), VOCAB, TokenizerSettings())
    content = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    pair = content["post_processor"]["pair"]
    parts = [next(iter(part.values())) for part in pair]
    assert [(p["id"], p["type_id"]) for p in parts] == [
        ("[CLS]", 0), ("A", 0), ("[SEP]", 0), ("B", 1), ("[SEP]", 1),
    ]  # fmt: skip


def test_a_vocabulary_without_a_special_token(tmp_path):
    folder = tmp_path / "none"
    with pytest.raises(UserError, match=re.escape("lacks [MASK]")):
        write_tokenizer_files(str(folder), VOCAB[:4], TokenizerSettings())
    assert not folder.exists()


def test_ids_without_a_token_keep_their_place(tmp_path):
    """Vocabularies may have empty lines, and a token twice."""
    tokens = [*VOCAB, "", "a", "", "b", "a"]
    write_tokenizer_files(str(tmp_path), tokens, TokenizerSettings())
    expected = [*VOCAB, "[empty7]", "[empty8]", "[empty9]", "b", "a"]
    for name in ("vocab.txt", "tokenizer.json"):
        assert [*load_vocab(str(tmp_path / name))] == expected
