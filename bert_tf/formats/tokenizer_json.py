"""tokenizer.json: a WordPiece tokenizer as Hugging Face's library writes it.

It is one JSON object, with a vocabulary as the model of the tokenizer:

    {"normalizer": {"type": "BertNormalizer", "lowercase": true, …},
     "pre_tokenizer": {"type": "BertPreTokenizer"},
     "model": {"type": "WordPiece", "vocab": {"[PAD]": 0, …}, …}, …}

The file can describe many other tokenizers. All that this package would do
differently is refused. `tokenization.load_vocab` reads a vocabulary from it.
"""

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from bert_tf import files
from bert_tf.errors import UserError

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# A word of more characters is [UNK]: Hugging Face's default, and the
# original's number, which this package keeps.
MAX_CHARS_PER_WORD = (100, 200)
# What the tokens of texts are put between, in words.
TEMPLATES = {"single": "[CLS] A [SEP]", "pair": "[CLS] A [SEP] B [SEP]"}


@dataclasses.dataclass(frozen=True)
class TokenizerJson:
    """What a `tokenizer.json` says.

    Attributes:
        tokens: the token of each id.
        normalizer: the values of its `BertNormalizer`, such as "lowercase".
    """

    tokens: list[str]
    normalizer: dict[str, Any]


def read_vocab_lines(path: str) -> list[str]:
    """The lines of a vocabulary as a `vocab.txt` has them, without their ends.

    Args:
        path: of a `vocab.txt` or a `tokenizer.json`.

    Raises:
        UserError: it is not text, or a `tokenizer.json` that cannot be used.
    """
    lines = [line for _, line in files.read_lines(path)]
    if is_json("\n".join(lines[:3])):
        return parse("\n".join(lines), path).tokens
    return lines


def read_vocab_text(path: str) -> str:
    """A vocabulary as `files.read_text` reads a `vocab.txt`.

    Args:
        path: of a `vocab.txt` or a `tokenizer.json`.

    Raises:
        UserError: see `read_vocab_lines`.
    """
    text = files.read_text(path)
    return "\n".join(parse(text, path).tokens) if is_json(text) else text


def copy_vocab(source: str, target: str) -> None:
    """Copies a vocabulary to a `vocab.txt`, whatever file it is in.

    Raises:
        UserError: see `read_vocab_lines`.
    """
    text = files.read_text(source)
    if is_json(text):
        files.write_text(target, vocab_text(parse(text, source).tokens))
    else:
        files.copy(source, target)


def vocab_text(tokens: Sequence[str]) -> str:
    """The text of a `vocab.txt`."""
    return "".join(f"{token}\n" for token in tokens)


def is_json(text: str) -> bool:
    """Whether a vocabulary starts as a JSON object does.

    A `vocab.txt` may start with the token "{", and have a quotation mark next.
    """
    return bool(re.match(r'\s*\{\s*("[^"\n]+"\s*:|\}\s*$)', text))


def parse(text: str, path: str) -> TokenizerJson:
    """Reads the text of a `tokenizer.json`.

    Args:
        text: the file's.
        path: its path, for errors.

    Raises:
        UserError: it is damaged, or describes a tokenizer that this package
            does not have. The message names what is different.
    """
    content = read_object(text, path)
    with as_written(path):
        return _parse(content, path)


def _parse(content: Mapping[str, Any], path: str) -> TokenizerJson:
    model = content.get("model")
    if not isinstance(model, Mapping):
        raise UserError(
            f'{path}: JSON without a tokenizer\'s "model"; give a vocab.txt, '
            "or the tokenizer.json of a WordPiece tokenizer"
        )
    tokens = _tokens(model, path)
    _check_added(content.get("added_tokens") or [], tokens, path)
    _part(content, "pre_tokenizer", "BertPreTokenizer", path)
    normalizer = _part(content, "normalizer", "BertNormalizer", path)
    if normalizer.get("clean_text", True) is not True:
        refuse(path, "normalizer.clean_text", normalizer["clean_text"], True)
    _check_templates(content.get("post_processor"), path)
    return TokenizerJson(tokens, normalizer)


@contextlib.contextmanager
def as_written(path: str) -> Iterator[None]:
    """Makes one line of the errors of JSON with values of other types.

    Such as a number where Hugging Face's library writes a list: there are too
    many places to check each.

    Args:
        path: the file that is read, for the error.

    Raises:
        UserError: in place of the errors of such values.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, RuntimeError):
        raise UserError(
            f"{path}: damaged: a value is not of the type that Hugging Face's "
            "library writes"
        ) from None


def read_object(text: str, path: str) -> dict[str, Any]:
    """The JSON object that a text is.

    Raises:
        UserError: it is damaged, or not an object.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: not JSON, or damaged: {error}") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a JSON object")
    return content


def refuse(
    path: str, setting: str, value: object, *allowed: object
) -> NoReturn:
    """Raises the UserError for a value that this package cannot obey.

    Args:
        path: of the file.
        setting: its name in the file.
        value: what the file has.
        allowed: what it may have.
    """
    shown = json.dumps(value, ensure_ascii=False)
    shown = shown if len(shown) < 80 else f"{shown[:80]}…"
    only = " or ".join(json.dumps(a, ensure_ascii=False) for a in allowed)
    raise UserError(
        f"{path}: {setting}={shown} is not supported; only {only} is"
    )


def _tokens(model: Mapping[str, Any], path: str) -> list[str]:
    """The token of each id of a WordPiece model."""
    vocab = model.get("vocab")
    # Earlier files name no type. Those of BPE have merges, those of Unigram a
    # list of tokens with scores.
    kind = model.get("type")
    if kind is None and isinstance(vocab, Mapping) and "merges" not in model:
        kind = "WordPiece"
    if kind != "WordPiece" or not isinstance(vocab, Mapping):
        refuse(path, "model.type", model.get("type"), "WordPiece")
    for name, allowed in (
        ("continuing_subword_prefix", ("##",)),
        ("unk_token", ("[UNK]",)),
        ("max_input_chars_per_word", MAX_CHARS_PER_WORD),
    ):
        if name in model and model[name] not in allowed:
            refuse(path, f"model.{name}", model[name], *allowed)
    by_id = sorted(
        vocab.items(), key=lambda item: item[1] if _is_id(item[1]) else -1
    )
    for place, (token, index) in enumerate(by_id):
        if index != place or not _is_id(index):
            raise UserError(
                f"{path}: model.vocab: the token {token!r} has the id "
                f"{index!r} in place of {place}; ids must be whole numbers "
                "from 0 without gaps"
            )
        if "\n" in token:
            raise UserError(
                f"{path}: model.vocab: the token {token!r} has a line end, "
                "which a vocab.txt cannot have"
            )
    return [token for token, _ in by_id]


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_added(added: list[Any], tokens: list[str], path: str) -> None:
    """Refuses tokens that are found in texts before they are tokenized."""
    for entry in added:
        token, index = entry.get("content"), entry.get("id")
        if token not in SPECIAL_TOKENS:
            refuse(path, "added_tokens", token, *SPECIAL_TOKENS)
        if not 0 <= index < len(tokens) or tokens[index] != token:
            raise UserError(
                f"{path}: added_tokens: {token} has the id {index}, which "
                "model.vocab does not give it"
            )


def _part(
    content: Mapping[str, Any], name: str, allowed: str, path: str
) -> dict[str, Any]:
    """A part of the tokenizer, which must be of the allowed type."""
    part = content.get(name)
    if not isinstance(part, dict):
        part = {"type": part}
    if part.get("type") != allowed:
        refuse(path, f"{name}.type", part.get("type"), allowed)
    return part


def _check_templates(post_processor: Any, path: str) -> None:
    """Checks what is put around texts, where the file says it."""
    kind = post_processor and post_processor.get("type")
    if kind == "BertProcessing":
        for name, token in (("cls", "[CLS]"), ("sep", "[SEP]")):
            found = (post_processor.get(name) or [None])[0]
            if found != token:
                refuse(path, f"post_processor.{name}", found, token)
    elif kind == "TemplateProcessing":
        for name, template in TEMPLATES.items():
            found = " ".join(
                str(next(iter(part.values()))["id"])
                for part in post_processor.get(name) or []
            )
            if found != template:
                refuse(path, f"post_processor.{name}", found, template)
    elif kind:
        refuse(
            path, "post_processor.type", kind,
            "TemplateProcessing", "BertProcessing",
        )  # fmt: skip
