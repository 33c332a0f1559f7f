"""Files of words with tags, and the windows of pieces that a model reads.

The files are those of the CoNLL shared tasks: a word in each row, its tag in
the last column, and a blank line behind each sentence. Columns are separated
by spaces or tabs. Rows that start with -DOCSTART- part documents.

    EU NNP B-NP B-ORG
    rejects VBZ B-VP O

The model tags the first piece of each word; `label_mask` is 1 there:

    tokens      [CLS] john johan ##son visited paris [SEP]
    label_mask    0    1     1     0      1      1     0
"""

import dataclasses
import functools
import itertools
import re

import numpy as np
from absl import logging

from bert_tf import files
from bert_tf.data import features, splits
from bert_tf.errors import UserError
from bert_tf.text import packing
from bert_tf.tokenization import UNKNOWN

NUM_SPECIAL = 2  # [CLS] and [SEP].
OUTSIDE = "O"  # The tag of a word that is in no entity.
PREFIXES = "BIES"
DOCUMENT_START = "-DOCSTART-"
WORDS_REMEMBERED = 1 << 17  # With their pieces.

# A word may hold what Unicode calls a space.
_COLUMN = re.compile("[^ \t]+")
_TAG = re.compile(f"{OUTSIDE}|[{PREFIXES}]-.+")
_FORMS = "O, B-type, I-type, E-type, S-type, where a type is such as PER"


@dataclasses.dataclass
class Sentence:
    """The words of a sentence, and what `conll_lines` needs to write it back.

    Attributes:
        guid: unique id, such as "dev-7"; the first sentence is 0.
        words: list of str, at least one.
        labels: the tag of each word, or None where they are not known.
        rows: the row of each word as it stands in the file, with one space
            between columns.
        before: the lines between the sentence in front and this one: blank
            ones, which are "" here, and those that start a document.
        behind: those behind the last sentence of a file.
    """

    guid: str
    words: list
    labels: list | None
    rows: list
    before: list = dataclasses.field(default_factory=list)
    behind: list = dataclasses.field(default_factory=list)

    @property
    def label(self):
        """The labels, as other examples call them."""
        return self.labels


def read_conll(
    path: str,
    set_type: str,
    labels: list | None = None,
    strict: bool = False,
) -> list:
    """The sentences of a file.

    Files for training and evaluation have a tag in each row. A file for
    prediction may have them: it is taken as having tags if each row ends with
    a known one, else all `Sentence.labels` are None.

    Args:
        path: of the file.
        set_type: "train", "dev" or "test".
        labels: the tags that may occur; None allows O, and B-, I-, E- and S-
            with any type.
        strict: a file for prediction with some known tags must have them all.

    Returns:
        list of `Sentence`.

    Raises:
        UserError: there is no sentence; or, unless for "test", a row has no
            tag, a wrong one, or not as many columns as the first row.
    """
    blocks = list(_read_blocks(path))
    rows = [row for _, rows in blocks for row in rows]
    if not rows:
        raise UserError(f"{path}: no sentence in this file")
    if set_type == "test":
        has_labels = _has_tags(path, rows, labels, strict)
    else:
        _check_rows(path, rows, labels)
        has_labels = True
    # Only the last block can be without words.
    behind = [] if blocks[-1][1] else blocks.pop()[0]
    sentences = [
        Sentence(
            guid=f"{set_type}-{index}",
            words=[columns[0] for _, columns in rows],
            labels=[c[-1] for _, c in rows] if has_labels else None,
            rows=[" ".join(columns) for _, columns in rows],
            before=before,
        )
        for index, (before, rows) in enumerate(blocks)
    ]
    sentences[-1].behind = behind
    return sentences


def _read_blocks(path):
    """Yields (lines in front, [(line number, columns)] of the words)."""
    before, rows = [], []
    for number, line in files.read_lines(path):
        columns = _COLUMN.findall(line)
        if columns and columns[0] != DOCUMENT_START:
            rows.append((number, columns))
            continue
        if rows:
            yield before, rows
            before, rows = [], []
        before.append(" ".join(columns))
    yield before, rows


def _check_rows(path, rows, labels):
    first, first_columns = rows[0]
    for number, columns in rows:
        place = f"{path}:{number}"
        if len(columns) == 1:
            raise UserError(
                f"{place}: no tag: the row is {columns[0]!r} alone, but its "
                "last column must be the word's tag (columns are separated by "
                "spaces or tabs)"
            )
        if len(columns) != len(first_columns):
            raise UserError(
                f"{place}: {len(columns)} columns, but line {first} has "
                f"{len(first_columns)}; all rows must have as many"
            )
        if not _is_known(columns[-1], labels):
            raise UserError(
                f"{place}: tag {columns[-1]!r} is not one of "
                + (_FORMS if labels is None else ", ".join(labels))
            )


def _has_tags(path, rows, labels, strict):
    """Whether all rows end with a known tag; warns where only some do."""
    if all(len(columns) == 1 for _, columns in rows):
        return False
    for number, columns in rows:
        if len(columns) == 1:
            what = f"no tag behind {columns[0]!r}"
        elif not _is_known(columns[-1], labels):
            what = f"{columns[-1]!r} is not a known tag"
        else:
            continue
        if strict:
            raise UserError(f"{path}:{number}: {what}, under --strict")
        logging.warning(
            "%s:%d: %s; the file is taken as one without tags",
            path,
            number,
            what,
        )
        return False
    return True


def _is_known(tag, labels):
    return bool(_TAG.fullmatch(tag)) if labels is None else tag in labels


def read_sets(settings: splits.FileSettings, sets, labels=None):
    """Reads the sets that are asked for.

    The tags are those of the whole training file, also where some of its
    sentences are another set: what has a rare tag may be there.

    Args:
        settings: the files.
        sets: some of "train", "dev" and "test".
        labels: the tags that an earlier run learned, or None. A training set
            with others replaces them.

    Returns:
        ({set: list of `Sentence`}, labels).

    Raises:
        UserError: a setting or a file cannot be used.
    """

    def read(path, set_type):
        nonlocal labels
        if set_type != "train" or (labels and "train" not in sets):
            return read_conll(path, set_type, labels, settings.strict)
        sentences = read_conll(path, set_type)
        inferred = infer_labels(sentences)
        if inferred == [OUTSIDE]:
            raise UserError(
                f"{path}: all words have the tag {OUTSIDE!r}: there is nothing "
                "to learn; a word's tag is the last column of its row"
            )
        if not labels or not {*inferred} <= {*labels}:
            labels = inferred
        return sentences

    found = splits.read_sets(settings, sets, read)
    return found, labels


def infer_labels(sentences: list) -> list:
    """The tags of sentences, in the order of the model's outputs.

    O is the first. The others are in the order of their types, those of a
    type as B, I, E, S.

    Args:
        sentences: list of `Sentence`, with labels.
    """
    found = {label for sentence in sentences for label in sentence.labels}
    found.discard(OUTSIDE)

    def order(label):
        prefix, _, kind = label.partition("-")
        return kind, PREFIXES.index(prefix)

    return [OUTSIDE, *sorted(found, key=order)]


@dataclasses.dataclass
class Window:
    """Words of a sentence that the model reads at once.

    Attributes:
        sentence: the `Sentence`.
        first: place of the window's first word in it.
        num_words: how many words there are.
        pieces: a list of WordPieces for each of them, none empty.
        num_cut: pieces that do not fit, of a word too long for any window.
    """

    sentence: Sentence
    first: int
    num_words: int
    pieces: list
    num_cut: int = 0

    @property
    def guid(self) -> str:
        return f"{self.sentence.guid}, from word {self.first + 1} on"

    @property
    def label(self):
        labels = self.sentence.labels
        return labels and labels[self.first : self.first + self.num_words]


def split_into_windows(sentences, tokenizer, max_seq_length: int) -> list:
    """Each sentence as one window, or as several where it is too long.

    A window takes as many whole words as fit; each word is in one window.
    Words are tokenized one by one. One that the tokenizer drops, such as a
    control character, becomes [UNK], as each word must be tagged; one that
    is too long for any window is cut.

    Args:
        sentences: iterable of `Sentence`.
        tokenizer: a `FullTokenizer`.
        max_seq_length: number of tokens at most, special ones included.

    Returns:
        list of `Window`, those of a sentence one behind the other.

    Raises:
        ValueError: not one piece fits.
    """
    room = max_seq_length - NUM_SPECIAL
    if room < 1:
        raise ValueError(
            f"max_seq_length must be at least {NUM_SPECIAL + 1}. "
            f"Received: max_seq_length={max_seq_length}"
        )

    @functools.lru_cache(WORDS_REMEMBERED)
    def pieces_of(word):
        return tokenizer.tokenize(word) or [UNKNOWN]

    windows = []
    for sentence in sentences:
        pieces = [pieces_of(word) for word in sentence.words]
        sizes = [min(len(of_word), room) for of_word in pieces]
        for first, last in _cut(sizes, room):
            number = sum(map(len, pieces[first:last]))
            windows.append(
                Window(
                    sentence,
                    first,
                    last - first,
                    [of_word[:room] for of_word in pieces[first:last]],
                    number - sum(sizes[first:last]),
                )
            )
    return windows


def _cut(lengths, room):
    """Yields (first, one behind the last) of the words that fit together."""
    first = used = 0
    for word, length in enumerate(lengths):
        if used + length > room:
            yield first, word
            first, used = word, 0
        used += length
    yield first, len(lengths)


def tagging_specs(max_seq_length: int) -> list:
    """The features of a window."""
    shape = (max_seq_length,)
    return [
        *features.sequence_specs(max_seq_length),
        features.FeatureSpec("label_ids", shape),
        features.FeatureSpec("label_mask", shape),
        features.FeatureSpec("is_real_example", ()),
    ]


def convert_window(window, label_ids: dict, max_seq_length: int, tokenizer):
    """A `Window` as numbers.

    Args:
        window: the window.
        label_ids: {label: id}.
        max_seq_length: length of the sequences, as the windows were made for.
        tokenizer: a `FullTokenizer`.

    Returns:
        (features, tokens): a dict with a value for each of `tagging_specs`,
        and the tokens without padding. Where `label_mask` is 0, and where no
        labels are known, `label_ids` are 0.
    """
    labels = window.sentence.labels
    ids, mask = [0], [0]  # Those of [CLS].
    for word, pieces in enumerate(window.pieces, start=window.first):
        rest = [0] * (len(pieces) - 1)
        ids += [0 if labels is None else label_ids[labels[word]], *rest]
        mask += [1, *rest]
    tokens, segment_ids, _ = packing.pack_sequences(
        itertools.chain.from_iterable(window.pieces), [], max_seq_length
    )
    input_ids = tokenizer.convert_tokens_to_ids(tokens)
    converted = {
        "input_ids": packing.pad(input_ids, max_seq_length),
        "input_mask": packing.pad([1] * len(tokens), max_seq_length),
        "segment_ids": packing.pad(segment_ids, max_seq_length),
        "label_ids": packing.pad(ids, max_seq_length),
        "label_mask": packing.pad(mask, max_seq_length),
        "is_real_example": 1,
    }
    return converted, tokens


def first_piece_rows(logits, label_mask):
    """What the model says of words: float [S, C], int [S] → [num words, C]."""
    return np.asarray(logits)[np.asarray(label_mask) == 1]


def join_windows(pairs):
    """Puts the windows of each sentence together again.

    Args:
        pairs: iterable of (`Window`, array [num_words, C]) in the order of
            `split_into_windows`.

    Yields:
        (`Sentence`, array [number of its words, C]).
    """
    parts = []
    for window, rows in pairs:
        parts.append(rows)
        if window.first + window.num_words == len(window.sentence.words):
            yield window.sentence, np.concatenate(parts)
            parts = []


def conll_lines(sentence: Sentence, tags: list) -> str:
    """A sentence's part of the file with predictions.

    The lines are those that were read, each with one column more: the tag, and
    O in rows that start a document. Blank lines stay blank. So the parts of
    all sentences together have a line for each line of the file.

    Args:
        sentence: as it was read.
        tags: one for each word.
    """
    rows = zip(sentence.rows, tags, strict=True)
    lines = [
        *_with_outside(sentence.before),
        *(f"{row} {tag}" for row, tag in rows),
        *_with_outside(sentence.behind),
    ]
    return "".join(f"{line}\n" for line in lines)


def _with_outside(lines):
    return [line and f"{line} {OUTSIDE}" for line in lines]
