"""The tokenizer of a Hugging Face folder: its settings read, and written.

A folder has some of these files, according to its age:

    vocab.txt                 the vocabulary, one token a line
    tokenizer_config.json     do_lower_case, strip_accents, …
    special_tokens_map.json   which tokens are [CLS], [SEP], …
    added_tokens.json         tokens that were added to the vocabulary
    tokenizer.json            all of it in one file, see `tokenizer_json.py`

What the files say is obeyed, or refused in one line. Where they contradict
each other, tokenizer_config.json counts, as in Hugging Face's library.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.formats import tokenizer_json
from bert_tf.formats.tokenizer_json import SPECIAL_TOKENS, refuse
from bert_tf.tokenizer_settings import TokenizerSettings

VOCABULARY = "vocab.txt"
CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS_MAP = "special_tokens_map.json"
ADDED_TOKENS = "added_tokens.json"
TOKENIZER = "tokenizer.json"

# The keys of the special tokens, and what each must be.
TOKEN_OF = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
# Keys of lists of tokens that stay whole in texts, and so are not tokenized.
KEPT_WHOLE = (
    "never_split",
    "additional_special_tokens",
    "extra_special_tokens",
)
# Classes whose tokens are those of a `FullTokenizer`. The general ones take
# everything from tokenizer.json.
BERT_CLASSES = ("BertTokenizer", "BertTokenizerFast")
GENERAL_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")
# What a `FullTokenizer` does, {key: value}.
FIXED = {
    "do_basic_tokenize": True,
    "clean_text": True,
    "wordpieces_prefix": "##",
    "padding_side": "right",
    "add_prefix_space": False,
}
# The settings: {key of tokenizer_config.json: (key of a BertNormalizer,
# the values that it may have)}.
SETTINGS = {
    "do_lower_case": ("lowercase", (True, False)),
    "strip_accents": ("strip_accents", (None, True, False)),
    "tokenize_chinese_chars": ("handle_chinese_chars", (True, False)),
}


def tokenizer_settings_of(path: str) -> TokenizerSettings:
    """The settings of a tokenizer that Hugging Face's library wrote.

    Args:
        path: the folder of a model, or one of its files: a
            `tokenizer_config.json` or a `tokenizer.json`.

    Returns:
        The settings. What no file says has the default, as in Hugging Face's
        library: a folder with a vocabulary alone is taken for that of an
        uncased model. `tokenization.check_casing` finds out if it is not.

    Raises:
        UserError: a file is damaged, or says something that this package
            does not do. The message names the file, the setting and its value.
        OSError: a file cannot be read.
    """
    if not files.is_folder(path):
        text = files.read_text(path)
        if "model" in tokenizer_json.read_object(text, path):
            return _settings({}, path, tokenizer_json.parse(text, path), path)
        return _settings(_read_config(path), path, None, path)

    def file(name):
        return os.path.join(path, name)

    config: dict[str, Any] = {}
    if files.exists(file(CONFIG)):
        config = _read_config(file(CONFIG))
    tokenizer = None
    if files.exists(file(TOKENIZER)):
        text = files.read_text(file(TOKENIZER))
        tokenizer = tokenizer_json.parse(text, file(TOKENIZER))
    elif config.get("tokenizer_class") in GENERAL_CLASSES:
        raise UserError(
            f"{file(CONFIG)}: tokenizer_class="
            f"{json.dumps(config['tokenizer_class'])} needs a {TOKENIZER}, "
            "which is not there"
        )
    if files.exists(file(SPECIAL_TOKENS_MAP)):
        read = files.read_text(file(SPECIAL_TOKENS_MAP))
        content = tokenizer_json.read_object(read, file(SPECIAL_TOKENS_MAP))
        with tokenizer_json.as_written(file(SPECIAL_TOKENS_MAP)):
            _check_special_tokens(content, file(SPECIAL_TOKENS_MAP))
    if files.exists(file(ADDED_TOKENS)):
        read = files.read_text(file(ADDED_TOKENS))
        content = tokenizer_json.read_object(read, file(ADDED_TOKENS))
        _check_tokens("added_tokens", [*content], file(ADDED_TOKENS))
    return _settings(config, file(CONFIG), tokenizer, file(TOKENIZER))


def settings_in(folder: str) -> TokenizerSettings | None:
    """The settings of a folder; None where no file says `do_lower_case`.

    Raises:
        UserError: see `tokenizer_settings_of`.
    """
    settings = tokenizer_settings_of(folder)
    if files.exists(os.path.join(folder, TOKENIZER)):
        return settings
    path = os.path.join(folder, CONFIG)
    is_said = files.exists(path) and "do_lower_case" in _read_config(path)
    return settings if is_said else None


def write_tokenizer_config(folder: str, settings: TokenizerSettings) -> None:
    """Writes tokenizer_config.json, the settings without the vocabulary.

    Raises:
        OSError: it cannot be written.
    """
    content = {
        **settings.tokenizer_arguments(),
        **TOKEN_OF,
        "tokenizer_class": "BertTokenizer",
    }
    text = json.dumps(content, ensure_ascii=False, indent=2)
    files.write_text(os.path.join(folder, CONFIG), f"{text}\n")


def check_special_tokens(vocab: Sequence[str]) -> None:
    """Raises UserError if a vocabulary lacks a special token of BERT's."""
    for token in SPECIAL_TOKENS:
        if token not in vocab:
            raise UserError(
                f"the vocabulary lacks {token}, which Hugging Face's BERT "
                "tokenizer needs"
            )


def write_tokenizer_files(
    folder: str, vocab: Sequence[str], settings: TokenizerSettings
) -> None:
    """Writes the files from which Hugging Face's library makes a tokenizer.

    Args:
        folder: where vocab.txt, tokenizer_config.json,
            special_tokens_map.json and tokenizer.json are written.
        vocab: the token of each id, such as `vocab_files.tokens_by_id` gives.
            An id without a token, "", gets the name "[emptyID]", which no text
            can reach; of the same token twice, the earlier does.
        settings: the tokenizer's.

    Raises:
        UserError: the vocabulary lacks a special token.
        OSError: a file cannot be written.
    """
    check_special_tokens(vocab)
    ids = {token: index for index, token in enumerate(vocab)}
    names = [
        token if token and ids[token] == index else f"[empty{index}]"
        for index, token in enumerate(vocab)
    ]
    ids = {name: index for index, name in enumerate(names)}
    files.make_folder(folder)
    write_tokenizer_config(folder, settings)
    contents = {
        SPECIAL_TOKENS_MAP: TOKEN_OF,
        TOKENIZER: _tokenizer_of(ids, settings),
    }
    for name, content in contents.items():
        text = json.dumps(content, ensure_ascii=False, indent=2)
        files.write_text(os.path.join(folder, name), f"{text}\n")
    files.write_text(
        os.path.join(folder, VOCABULARY), tokenizer_json.vocab_text(names)
    )


def _tokenizer_of(
    ids: Mapping[str, int], settings: TokenizerSettings
) -> dict[str, Any]:
    """The content of tokenizer.json."""
    values = settings.tokenizer_arguments()
    special = {
        token: {"id": token, "ids": [ids[token]], "tokens": [token]}
        for token in ("[CLS]", "[SEP]")
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": ids[token],
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token in sorted(SPECIAL_TOKENS, key=ids.__getitem__)
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            **{name: values[key] for key, (name, _) in SETTINGS.items()},
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": _template("[CLS]", "A", "[SEP]"),
            "pair": _template("[CLS]", "A", "[SEP]", "B", "[SEP]"),
            "special_tokens": special,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 200,
            "vocab": dict(ids),
        },
    }


def _template(*parts: str) -> list[dict[str, Any]]:
    """What is put around texts; all after the first [SEP] is segment 1."""
    template, segment = [], 0
    for place, part in enumerate(parts):
        kind = "SpecialToken" if part.startswith("[") else "Sequence"
        template.append({kind: {"id": part, "type_id": segment}})
        if place and part == "[SEP]":
            segment = 1
    return template


def _read_config(path: str) -> dict[str, Any]:
    """Reads tokenizer_config.json, and checks all but the settings."""
    config = tokenizer_json.read_object(files.read_text(path), path)
    kind = config.get("tokenizer_class")
    if kind is not None and kind not in (*BERT_CLASSES, *GENERAL_CLASSES):
        refuse(path, "tokenizer_class", kind, *BERT_CLASSES)
    for name, value in FIXED.items():
        if config.get(name) not in (None, value):
            refuse(path, name, config[name], value)
    with tokenizer_json.as_written(path):
        _check_special_tokens(config, path)
        # {id: token}; the ids of the special ones are those of the vocabulary.
        decoder = config.get("added_tokens_decoder") or {}
        _check_tokens("added_tokens_decoder", [*decoder.values()], path)
    return config


def _check_special_tokens(content: Mapping[str, Any], path: str) -> None:
    """Refuses other special tokens than BERT's."""
    for key, token in TOKEN_OF.items():
        found = _text_of(content.get(key))
        if found not in (None, token):
            refuse(path, key, found, token)
    for key in ("bos_token", "eos_token"):  # BERT has none of its own.
        found = _text_of(content.get(key))
        if found not in (None, *SPECIAL_TOKENS):
            refuse(path, key, found, None)
    for key in KEPT_WHOLE:
        kept = content.get(key) or []
        # Some versions have {name: token}.
        kept = [*kept.values()] if isinstance(kept, Mapping) else kept
        kept = [kept] if isinstance(kept, str) else kept
        _check_tokens(key, kept, path)


def _check_tokens(key: str, tokens: list[Any], path: str) -> None:
    """Refuses tokens that would stay whole in texts, except special ones."""
    others = [
        token for token in map(_text_of, tokens) if token not in SPECIAL_TOKENS
    ]
    if others:
        refuse(path, key, others, [])


def _text_of(token: Any) -> Any:
    """The text of a token, which some versions write with its properties."""
    return token.get("content") if isinstance(token, Mapping) else token


def _settings(
    config: Mapping[str, Any],
    config_path: str,
    tokenizer: tokenizer_json.TokenizerJson | None,
    tokenizer_path: str,
) -> TokenizerSettings:
    """What the two files say together."""
    found = {}
    for key, (name, allowed) in SETTINGS.items():
        if tokenizer and name in tokenizer.normalizer:
            value = tokenizer.normalizer[name]
            if not any(value is a for a in allowed):
                refuse(tokenizer_path, f"normalizer.{name}", value, *allowed)
            found[key] = value
        is_general = config.get("tokenizer_class") in GENERAL_CLASSES
        if key in config and not (tokenizer and is_general):
            value = config[key]
            if not any(value is a for a in allowed):
                refuse(config_path, key, value, *allowed)
            found[key] = value
    return TokenizerSettings(**found)
