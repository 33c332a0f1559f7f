"""FullTokenizer: text → WordPieces, exactly as google-research/bert does it.

Two steps. `BasicTokenizer` turns text into words:

    clean      drop control characters, make every white space a space
    CJK        put spaces around each Chinese character
    lower      (uncased models) lower-case, decompose, drop accents
    split      at white space and around each punctuation character

`WordpieceTokenizer` then cuts each word into the longest pieces that the
vocabulary holds, from left to right:

    "John Johanson's house"  →  john johan ##son ' s house

This is the readable definition. `text/graph_tokenizer.py` does the same inside
a TensorFlow graph, and `text/normalization.py` builds its tables from the rules
here.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping

from bert_tf import files
from bert_tf.errors import UserError

UNKNOWN = "[UNK]"
MASK = "[MASK]"
MAX_CHARS_PER_WORD = 200  # A longer word is [UNK], as in the original.

# Blocks of the characters that are written without spaces between words in
# Chinese and Japanese: the CJK Unified Ideographs, their extensions A to E
# and the compatibility ideographs. Hangul, Hiragana and Katakana are not here.
CJK_BLOCKS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def is_whitespace(char: str) -> bool:
    """A space, tab, line end, or another of Unicode's spaces."""
    return char in " \t\n\r" or unicodedata.category(char) == "Zs"


def is_control(char: str) -> bool:
    """Unicode control and format characters, but not tab and line ends."""
    return char not in "\t\n\r" and unicodedata.category(char) in ("Cc", "Cf")


def is_punctuation(char: str) -> bool:
    """Unicode punctuation, and every ASCII symbol: `$` and `+` split too."""
    if char.isascii():
        return char.isprintable() and not char.isalnum() and char != " "
    return unicodedata.category(char).startswith("P")


def is_cjk(char: str) -> bool:
    """A Chinese character, in one of `CJK_BLOCKS`."""
    return any(first <= ord(char) <= last for first, last in CJK_BLOCKS)


class _CharacterTable(dict):
    """A table for `str.translate`, filled as characters are met."""

    def __init__(self, translate: Callable[[str], str]):
        super().__init__()
        self.translate = translate

    def __missing__(self, codepoint):
        self[codepoint] = self.translate(chr(codepoint))
        return self[codepoint]


def clean(char: str) -> str:
    """Replaces a character of raw text: by itself, a space, or nothing."""
    if char in "\0\ufffd" or is_control(char):
        return ""
    if is_whitespace(char):
        return " "
    return f" {char} " if is_cjk(char) else char


def strip_accent(char: str) -> str:
    """The character, or "" for an accent."""
    return "" if unicodedata.category(char) == "Mn" else char


def isolate_punctuation(char: str) -> str:
    """The character, with spaces around punctuation."""
    return f" {char} " if is_punctuation(char) else char


CLEAN = _CharacterTable(clean)
STRIP_ACCENTS = _CharacterTable(strip_accent)
ISOLATE_PUNCTUATION = _CharacterTable(isolate_punctuation)


def lower(word: str) -> str:
    """Lower case without accents.

    Decomposition splits é into e and an accent, and Hangul into jamo.
    """
    decomposed = unicodedata.normalize("NFD", word.lower())
    return decomposed.translate(STRIP_ACCENTS)


def convert_to_unicode(text: str | bytes) -> str:
    """`str` as it is; `bytes` decoded as UTF-8, invalid bytes left out."""
    return text.decode("utf-8", "ignore") if isinstance(text, bytes) else text


def load_vocab(vocab_file: str) -> dict[str, int]:
    """Reads a vocabulary, one token a line, into {token: id}.

    The id is the line number from 0. White space around a token is dropped;
    if a token comes twice, the later line counts, as in the original. Lines
    end at `\\n` alone: the Chinese vocabulary holds U+2028, a token that other
    readers take for a line end.

    Raises:
        UserError: the vocabulary is empty.
    """
    vocab = {}
    for number, line in files.read_lines(vocab_file):
        vocab[line.strip()] = number - 1
    if not vocab:
        raise UserError(f"{vocab_file}: the vocabulary is empty")
    return vocab


class BasicTokenizer:
    """Text → words: clean, lower-case, split at spaces and punctuation.

    Args:
        do_lower_case: also lower-case and drop accents, for uncased models.
    """

    def __init__(self, do_lower_case: bool = True):
        self.do_lower_case = do_lower_case

    def tokenize(self, text: str | bytes) -> list[str]:
        """The words of a text."""
        words = convert_to_unicode(text).translate(CLEAN).split()
        if self.do_lower_case:
            # Word by word, because a final sigma depends on its neighbours.
            words = [lower(word) for word in words]
        return " ".join(words).translate(ISOLATE_PUNCTUATION).split()


class WordpieceTokenizer:
    """Words → WordPieces by greedy longest match from the left.

    Args:
        vocab: {token: id}; a piece that continues a word starts with "##".
        unk_token: replaces a word that the vocabulary cannot spell.
        max_input_chars_per_word: longer words become `unk_token` too.
    """

    def __init__(
        self,
        vocab: Collection[str],
        unk_token: str = UNKNOWN,
        max_input_chars_per_word: int = MAX_CHARS_PER_WORD,
    ):
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word

    def tokenize(self, text: str | bytes) -> list[str]:
        """The pieces of words that have white space between them."""
        pieces: list[str] = []
        for word in convert_to_unicode(text).split():
            pieces.extend(self.tokenize_word(word))
        return pieces

    def tokenize_word(self, word: str) -> list[str]:
        """The pieces of one word."""
        if len(word) > self.max_input_chars_per_word:
            return [self.unk_token]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            piece, start = self._longest_piece(word, start)
            if piece is None:  # One unknown part makes the word unknown.
                return [self.unk_token]
            pieces.append(piece)
        return pieces

    def _longest_piece(self, word, start):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            piece = prefix + word[start:end]
            if piece in self.vocab:
                return piece, end
        return None, start


class FullTokenizer:
    """Text → WordPieces → ids.

    Special tokens in a text are text: "[MASK]" becomes `[ mask ]`.

    Args:
        vocab_file: path of a `vocab.txt`.
        do_lower_case: True for uncased models. `check_casing` raises where
            that contradicts the vocabulary.

    Attributes:
        vocab: {token: id}.
        inv_vocab: {id: token}.
        basic_tokenizer, wordpiece_tokenizer: the two steps.

    Raises:
        UserError: the vocabulary lacks [UNK], [CLS] or [SEP].
    """

    def __init__(self, vocab_file: str, do_lower_case: bool = True):
        self.vocab = load_vocab(vocab_file)
        for token in (UNKNOWN, "[CLS]", "[SEP]"):
            if token not in self.vocab:
                raise UserError(f"{vocab_file}: the token {token} is missing")
        self.inv_vocab = {index: token for token, index in self.vocab.items()}
        self.do_lower_case = do_lower_case
        self.basic_tokenizer = BasicTokenizer(do_lower_case)
        self.wordpiece_tokenizer = WordpieceTokenizer(self.vocab)

    def tokenize(self, text: str | bytes) -> list[str]:
        """The WordPieces of a text."""
        pieces: list[str] = []
        for word in self.basic_tokenizer.tokenize(text):
            pieces.extend(self.wordpiece_tokenizer.tokenize_word(word))
        return pieces

    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """The ids of tokens of the vocabulary."""
        return [self.vocab[token] for token in tokens]

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ids."""
        return [self.inv_vocab[index] for index in ids]


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
