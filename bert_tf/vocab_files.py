"""Vocabularies as files, and whether they fit a model."""

from collections.abc import Collection, Mapping

from bert_tf.errors import UserError
from bert_tf.formats import tokenizer_json


def load_vocab(vocab_file: str) -> dict[str, int]:
    """Reads a vocabulary into {token: id}.

    A `vocab.txt` has one token a line; the id is the line number from 0.
    White space around a token is dropped; if a token comes twice, the later
    line counts, as in the original. Lines end at `\\n` alone: the Chinese
    vocabulary holds U+2028, a token that other readers take for a line end.

    The file may also be Hugging Face's `tokenizer.json` of a WordPiece
    tokenizer, which its content shows. Only its vocabulary is used, and what
    this package would do differently is refused, see `tokenizer_json.parse`.
    Its settings are for `formats.tokenizer_files` to read.

    Raises:
        UserError: the vocabulary is empty, or a `tokenizer.json` cannot be
            used.
    """
    vocab = {}
    for index, line in enumerate(tokenizer_json.read_vocab_lines(vocab_file)):
        vocab[line.strip()] = index
    if not vocab:
        raise UserError(f"{vocab_file}: the vocabulary is empty")
    return vocab


def missing_special_tokens(vocab: Collection[str]) -> str:
    """What a vocabulary lacks, as the rest of a sentence; "" if nothing."""
    missing = [
        token for token in tokenizer_json.SPECIAL_TOKENS if token not in vocab
    ]
    if not missing:
        return ""
    return (
        f"has no {', '.join(missing)}: it is not the vocabulary of a BERT, or "
        "it is not whole"
    )


def tokens_by_id(vocab: Mapping[str, int]) -> list[str]:
    """The token of each id; an id without a token has the empty string."""
    tokens = [""] * (1 + max(vocab.values()))
    for token, index in vocab.items():
        tokens[index] = token
    return tokens


def is_cased(vocab: Collection[str]) -> bool:
    """Whether a vocabulary is one of a cased model; see `check_casing`."""
    try:
        check_casing(vocab, True)
    except UserError:
        return True
    return False


def check_casing(vocab: Collection[str], do_lower_case: bool) -> None:
    """Checks that `do_lower_case` fits the vocabulary.

    The original compares the flag with the names of seven released folders.
    The entries themselves say it for every vocabulary: Google's uncased and
    Chinese ones have no upper-case entry, the cased ones 16 % and 29 %. Marks
    such as [CLS] and <S> do not count.

    Raises:
        UserError: it contradicts the vocabulary.
    """
    words = [token for token in vocab if token[:1] not in "[<"]
    with_case = [w for w in words if w.lower() != w.upper()]
    upper = [word for word in with_case if word != word.lower()]
    if do_lower_case and len(upper) > 0.01 * len(words):
        raise UserError(
            f"{len(upper)} of the vocabulary's {len(vocab)} entries have "
            f"capital letters (such as {upper[0]!r}): this is a cased model, "
            "use `do_lower_case`=False",
            setting="do_lower_case",
            value=True,
        )
    # A script without case, such as Chinese, may hold some Latin pieces.
    has_case = len(with_case) > max(100, 0.1 * len(words))
    if not do_lower_case and not upper and has_case:
        raise UserError(
            f"none of the vocabulary's {len(vocab)} entries has a capital "
            "letter: this is an uncased model, every capitalized word would "
            "be [UNK]; use `do_lower_case`=True",
            setting="do_lower_case",
            value=False,
        )


def check_size(
    vocab: Mapping[str, int], vocab_size: int, vocab_name: str, config_name: str
) -> int:
    """The number of ids that a model needs for a vocabulary.

    Args:
        vocab: {token: id}.
        vocab_size: of the model.
        vocab_name, config_name: names of the vocabulary and of the model's
            configuration, for errors.

    Raises:
        UserError: the model has fewer.
    """
    # Empty lines, which editors leave at the end, are not tokens.
    num_ids = 1 + max(index for token, index in vocab.items() if token)
    if num_ids > vocab_size:
        raise UserError(
            f"{vocab_name} has {num_ids} entries, more than the "
            f"vocab_size={vocab_size} of {config_name}"
        )
    return num_ids
