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
from collections.abc import Callable, Collection, Iterable

from bert_tf.errors import UserError
from bert_tf.formats import tokenizer_files
from bert_tf.tokenizer_settings import TokenizerSettings
from bert_tf.vocab_files import (
    check_casing,
    check_size,
    load_vocab,
    tokens_by_id,
)

__all__ = [
    "BasicTokenizer",
    "FullTokenizer",
    "TokenizerSettings",
    "WordpieceTokenizer",
    "check_casing",
    "check_size",
    "load_vocab",
]

UNKNOWN = "[UNK]"
MASK = "[MASK]"
# A longer word is [UNK], as in the original. Hugging Face takes 100 by default.
MAX_CHARS_PER_WORD = 200

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


def clean(char: str, tokenize_chinese_chars: bool = True) -> str:
    """Replaces a character of raw text: by itself, a space, or nothing.

    Args:
        char: the character.
        tokenize_chinese_chars: put spaces around it if it is Chinese.
    """
    if char in "\0\ufffd" or is_control(char):
        return ""
    if is_whitespace(char):
        return " "
    if tokenize_chinese_chars and is_cjk(char):
        return f" {char} "
    return char


def strip_accent(char: str) -> str:
    """The character, or "" for an accent."""
    return "" if unicodedata.category(char) == "Mn" else char


def isolate_punctuation(char: str) -> str:
    """The character, with spaces around punctuation."""
    return f" {char} " if is_punctuation(char) else char


CLEAN = _CharacterTable(clean)
CLEAN_ONLY = _CharacterTable(lambda char: clean(char, False))
STRIP_ACCENTS = _CharacterTable(strip_accent)
ISOLATE_PUNCTUATION = _CharacterTable(isolate_punctuation)


def lower(word: str) -> str:
    """Lower case without accents.

    Decomposition splits é into e and an accent, and Hangul into jamo.
    """
    decomposed = unicodedata.normalize("NFD", word.lower())
    return decomposed.translate(STRIP_ACCENTS)


def drop_accents(word: str) -> str:
    """The word decomposed, without accents; its case stays."""
    return unicodedata.normalize("NFD", word).translate(STRIP_ACCENTS)


def rule_of_words(settings: TokenizerSettings) -> Callable[[str], str]:
    """What a tokenizer does with each word before it splits punctuation."""
    if settings.do_lower_case:
        return lower if settings.strips_accents else str.lower
    return drop_accents if settings.strips_accents else str


def convert_to_unicode(text: str | bytes) -> str:
    """`str` as it is; `bytes` decoded as UTF-8, invalid bytes left out."""
    return text.decode("utf-8", "ignore") if isinstance(text, bytes) else text


class BasicTokenizer:
    """Text → words: clean, lower-case, split at spaces and punctuation.

    Args:
        do_lower_case, strip_accents, tokenize_chinese_chars: see
            `TokenizerSettings`.

    Attributes:
        settings: the same as one value.
        clean_table: for `str.translate`, the rule of `clean`.
    """

    def __init__(
        self,
        do_lower_case: bool = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
    ):
        self.do_lower_case = do_lower_case
        self.settings = TokenizerSettings(
            do_lower_case=do_lower_case,
            strip_accents=strip_accents,
            tokenize_chinese_chars=tokenize_chinese_chars,
        )
        self.clean_table = CLEAN if tokenize_chinese_chars else CLEAN_ONLY
        self._change = rule_of_words(self.settings)

    def tokenize(self, text: str | bytes) -> list[str]:
        """The words of a text."""
        words = convert_to_unicode(text).translate(self.clean_table).split()
        change = self._change
        if change is not str:
            # Word by word, because a final sigma depends on its neighbours.
            words = [change(word) for word in words]
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
        pieces, is_whole = self.longest_pieces(word)
        # One unknown part makes the word unknown.
        return pieces if is_whole else [self.unk_token]

    def longest_pieces(self, word: str) -> tuple[list[str], bool]:
        """The longest pieces of one word, as far as the vocabulary has them.

        Returns:
            (pieces, whether they are the whole word).
        """
        pieces: list[str] = []
        if len(word) > self.max_input_chars_per_word:
            return pieces, False
        start = 0
        while start < len(word):
            piece, start = self._longest_piece(word, start)
            if piece is None:
                return pieces, False
            pieces.append(piece)
        return pieces, True

    def _longest_piece(self, word, start):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            piece = prefix + word[start:end]
            if piece in self.vocab:
                return piece, end
        return None, start


class FullTokenizer:
    """Text → WordPieces → ids.

    Special tokens in a text are text: "[MASK]" becomes `[ mask ]`. A word of
    more than 200 characters is [UNK], as in the original; in Hugging Face's
    tokenizers one of more than 100 is.

    Args:
        vocab_file: path of a `vocab.txt`, or of another file that
            `load_vocab` reads.
        do_lower_case: True for uncased models. `check_casing` raises where
            that contradicts the vocabulary.
        strip_accents, tokenize_chinese_chars: see `TokenizerSettings`.

    Attributes:
        vocab: {token: id}.
        inv_vocab: {id: token}.
        settings: `TokenizerSettings`, all but the vocabulary.
        basic_tokenizer, wordpiece_tokenizer: the two steps.

    Raises:
        UserError: the vocabulary lacks [UNK], [CLS] or [SEP].
    """

    def __init__(
        self,
        vocab_file: str,
        do_lower_case: bool = True,
        *,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
    ):
        self.vocab = load_vocab(vocab_file)
        for token in (UNKNOWN, "[CLS]", "[SEP]"):
            if token not in self.vocab:
                raise UserError(f"{vocab_file}: the token {token} is missing")
        self.inv_vocab = {index: token for token, index in self.vocab.items()}
        self.do_lower_case = do_lower_case
        self.basic_tokenizer = BasicTokenizer(
            do_lower_case, strip_accents, tokenize_chinese_chars
        )
        self.settings = self.basic_tokenizer.settings
        self.wordpiece_tokenizer = WordpieceTokenizer(self.vocab)

    @classmethod
    def from_pretrained(cls, name: str) -> "FullTokenizer":
        """The tokenizer of a pretrained or fine-tuned model.

        Args:
            name: a name or a folder, see `pretrained.open`.

        Raises:
            UserError: the model cannot be opened, or has no vocabulary.
        """
        from bert_tf import pretrained  # It reads files of many formats.

        return cls(**pretrained.tokenizer_arguments(name))

    def save_pretrained(self, folder: str) -> None:
        """Writes vocab.txt and the settings, where `from_pretrained` reads.

        Args:
            folder: the folder, which is made if it is not there. A model's
                `save_pretrained` writes the rest into it.
        """
        tokenizer_files.write_tokenizer_files(
            folder, tokens_by_id(self.vocab), self.settings
        )

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
