"""Cuts a model down to the entries of its vocabulary that some texts need.

    multilingual, 119,547 entries  →  30,000 for German and English
    word table [119547, 768]       →  [30000, 768]

A tokenizer takes the longest piece that the vocabulary holds. A word whose
pieces all stay is split as before: each of them was the longest piece of the
larger vocabulary, and the smaller one has no piece that the larger one lacks.
The rows of the entries that stay are copied, so such a text has the same
outputs, too.
"""

import collections
import dataclasses
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping

from bert_tf.errors import UserError
from bert_tf.storing import Contents
from bert_tf.tokenization import UNKNOWN, FullTokenizer, WordpieceTokenizer
from bert_tf.vocab_files import missing_special_tokens
from bert_tf.vocabulary import OUTPUT_BIAS, WORD_EMBEDDINGS

# All letters stay of a script with this share of the letters of the texts.
SCRIPT_SHARE = 0.01
# These scripts have thousands of letters: only those in the texts stay.
LARGE_SCRIPTS = ("CJK", "HANGUL")
ASCII = frozenset(map(chr, range(33, 127)))
# No text reaches them. Some are marks of a model, such as [E1].
_BRACKETED = re.compile(r"\[[^\[\]\s]+\]")
_UNUSED = re.compile(r"\[unused\d+\]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cut:
    """The entries of a vocabulary that stay.

    Attributes:
        tokens: the entries, in the order of the old vocabulary.
        old_ids: their ids in it. The new id of an entry is its place here.
        num_special: how many are special tokens, or [unusedN].
        num_characters: how many are single characters.
        num_unseen: how many of the others do not occur in the texts.
    """

    tokens: list[str]
    old_ids: list[int]
    num_special: int
    num_characters: int
    num_unseen: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """What a cut changes for the words of some texts; repeated words count.

    Attributes:
        num_words: number of words.
        num_changed: how many are split into other pieces than before.
        unknown_before, unknown_after: how many are [UNK].
    """

    num_words: int
    num_changed: int
    unknown_before: int
    unknown_after: int


def choose(
    tokenizer: FullTokenizer,
    words: Mapping[str, int],
    *,
    vocab_size: int | None = None,
    min_frequency: int = 0,
    keep_unused: bool = False,
) -> Cut:
    """Chooses the entries that stay.

    They are the special tokens and other names in brackets, single characters
    (see `needed_characters`), and the most frequent pieces of the words. If
    `vocab_size` leaves room, other pieces of the same characters fill it, which
    other texts may need: in the order of the vocabulary, because released ones
    have frequent pieces first.

    Args:
        tokenizer: the model's.
        words: {word of its basic tokenizer: how often it occurs}.
        vocab_size: the largest number of entries; None for no limit.
        min_frequency: how often a piece must occur to stay. With 0, those that
            do not occur may fill what `vocab_size` leaves free.
        keep_unused: whether the entries [unusedN] stay.

    Raises:
        UserError: the vocabulary lacks a special token, there are no words, or
            more than `vocab_size` entries must stay.
    """
    vocab = tokenizer.vocab
    special = _special_tokens(vocab, keep_unused)
    if not words:
        raise UserError("the texts contain no words")
    characters = {*needed_characters(tokenizer, words)} - special
    needed = special | characters
    if vocab_size is not None and vocab_size < len(needed):
        raise UserError(
            f"the {len(special)} special tokens and the {len(characters)} "
            f"single characters that the texts need take {len(needed)} entries",
            setting="vocab_size",
            value=vocab_size,
        )
    counts = count_pieces(tokenizer, words)
    # If pieces are equally frequent, the first in the vocabulary stays.
    others = [
        piece
        for piece in sorted(counts, key=lambda p: (-counts[p], vocab[p]))
        if counts[piece] >= min_frequency and piece not in needed
    ]
    if vocab_size is not None:
        if not min_frequency:
            others += _unseen(vocab, counts, characters)
        others = others[: vocab_size - len(needed)]
    kept = sorted({*needed, *others}, key=vocab.__getitem__)
    return Cut(
        tokens=kept,
        old_ids=[vocab[token] for token in kept],
        num_special=len(special),
        num_characters=len(characters),
        num_unseen=sum(piece not in counts for piece in others),
    )


def _special_tokens(vocab: Collection[str], keep_unused: bool) -> set[str]:
    """The entries that no text reaches: special tokens, marks such as [E1].

    Raises:
        UserError: a special token of BERT's is missing.
    """
    if missing := missing_special_tokens(vocab):
        raise UserError(f"the vocabulary {missing}")
    return {
        token
        for token in vocab
        if _BRACKETED.fullmatch(token)
        and (keep_unused or not _UNUSED.fullmatch(token))
    }


def _unseen(
    vocab: Mapping[str, int],
    counts: Collection[str],
    characters: Collection[str],
) -> list[str]:
    """Pieces that do not occur, of the characters that stay, by their ids."""
    known = {token.removeprefix("##") for token in characters}
    return [
        token
        for token in sorted(vocab, key=vocab.__getitem__)
        if token not in counts
        and len(token.removeprefix("##")) > 1
        and known.issuperset(token.removeprefix("##"))
        and not _BRACKETED.fullmatch(token)
    ]


def count_pieces(
    tokenizer: FullTokenizer, words: Mapping[str, int]
) -> collections.Counter[str]:
    """How often each piece occurs in words.

    Pieces at the start of a word that is [UNK] count, too: without one of them
    the word could be split in another way, and would no longer be [UNK].

    Args:
        tokenizer: the model's.
        words: {word: how often it occurs}.
    """
    counts: collections.Counter[str] = collections.Counter()
    for word, number in words.items():
        pieces, is_whole = tokenizer.wordpiece_tokenizer.longest_pieces(word)
        for piece in pieces:
            counts[piece] += number
        if not is_whole:
            counts[UNKNOWN] += number
    return counts


def needed_characters(
    tokenizer: FullTokenizer, words: Mapping[str, int]
) -> Iterable[str]:
    """The single characters of a vocabulary that can spell new words.

    Without them a word of other texts would become [UNK] as soon as one of its
    longer pieces is gone. They are the characters of the words and of ASCII,
    and all letters of the scripts that the words are written in, each with and
    without `##`. An entry that the tokenizer never reaches is left out: it
    makes a word of each punctuation character, so there is no `##.`.

    Args:
        tokenizer: the model's.
        words: {word: how often it occurs}.
    """
    counts: collections.Counter[str] = collections.Counter()
    for word, number in words.items():
        for char in word:
            counts[char] += number
    scripts = _main_scripts(counts)
    split = tokenizer.basic_tokenizer.tokenize
    for token in tokenizer.vocab:
        char = token.removeprefix("##")
        if len(char) != 1:
            continue
        if char in counts or char in ASCII or _script_of(char) in scripts:
            # As a whole word, or after a letter.
            word = char if token == char else f"a{char}"
            if split(word) == [word]:
                yield token


def _main_scripts(counts: Mapping[str, int]) -> set[str]:
    """The scripts whose letters all stay.

    Args:
        counts: {character: how often it occurs}.
    """
    letters: collections.Counter[str] = collections.Counter()
    for char, number in counts.items():
        letters[_script_of(char)] += number
    del letters[""]
    least = SCRIPT_SHARE * sum(letters.values())
    return {
        script
        for script, number in letters.items()
        if number >= least and script not in LARGE_SCRIPTS
    }


def _script_of(char: str) -> str:
    """The script of a letter or of a mark on one, such as "CYRILLIC".

    The first word of the name in Unicode says it. It is "" for others.
    """
    if unicodedata.category(char)[0] not in "LM":
        return ""
    return unicodedata.name(char, "").partition(" ")[0]


def change_of(
    tokenizer: FullTokenizer, tokens: Collection[str], words: Mapping[str, int]
) -> Change:
    """Compares how words are split before and after a cut.

    Args:
        tokenizer: the old one.
        tokens: the entries that stay.
        words: {word: how often it occurs}.
    """
    kept = {*tokens}
    old, new = tokenizer.wordpiece_tokenizer, WordpieceTokenizer(kept)
    num_changed = unknown_before = unknown_after = 0
    for word, number in words.items():
        pieces, is_whole = old.longest_pieces(word)
        before = after = pieces if is_whole else [UNKNOWN]
        if not kept.issuperset(pieces):  # Others are split as before.
            after = new.tokenize_word(word)
        num_changed += number * (before != after)
        unknown_before += number * (before == [UNKNOWN])
        unknown_after += number * (after == [UNKNOWN])
    return Change(
        num_words=sum(words.values()),
        num_changed=num_changed,
        unknown_before=unknown_before,
        unknown_after=unknown_after,
    )


def cut_contents(contents: Contents, cut: Cut) -> Contents:
    """The model with the entries that stay, and their rows alone.

    Args:
        contents: the whole model. Rows of its word table after the last entry
            of the vocabulary are left out, too.
        cut: the entries.

    Raises:
        UserError: the masked LM's bias does not have the size of the table.
    """
    weights = dict(contents.weights)
    num_rows = contents.config.vocab_size
    for name in (WORD_EMBEDDINGS, OUTPUT_BIAS):
        if name not in weights:
            continue
        if len(weights[name]) != num_rows:
            raise UserError(
                f"{name} has {len(weights[name])} rows, and the config says "
                f"vocab_size={num_rows}"
            )
        weights[name] = weights[name][cut.old_ids]
    return dataclasses.replace(
        contents,
        config=dataclasses.replace(contents.config, vocab_size=len(cut.tokens)),
        tokens=cut.tokens,
        weights=weights,
    )
