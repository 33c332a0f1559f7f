"""Chooses which columns of a file hold the words and their tags.

A setting or a header names them. Otherwise they are the first column and the
last one, except where the rows show something else for certain:

    1  Anna  B-PER  O        running numbers first; GermEval's inner tags last
    O  Anna                  tags first
    10 columns               CoNLL-U: FORM, and the tags that are asked for
"""

import dataclasses
import itertools
import re
from collections.abc import Sequence

from absl import logging

from bert_tf import suggestions
from bert_tf.counts import number_of
from bert_tf.data.tagged.sentences import WordColumns
from bert_tf.data.tagged.word_rows import (
    CONLLU_NAMES,
    OTHER_NAMES,
    OTHER_TAG_NAMES,
    SENTENCE_NAMES,
    TAG_NAMES,
    WORD_NAMES,
    Row,
    Rows,
    is_conllu,
    is_place,
    name_of,
)
from bert_tf.errors import UserError

NUM_ROWS_COMPARED = 200
ONTONOTES_COLUMNS, ONTONOTES_TAG = 12, 10
_BRACKETS = re.compile(r"(\([A-Z_]+)?\*?\)?|-")
FEW_NUMBERS = 3  # Words that may all be numbers by chance.
_NUMBER = re.compile("[0-9][0-9.,:]*")
_TAG = re.compile(r"O|[BIESLUMW][-_:/|.].+")
_IN_MISC = re.compile(r"(?:^|\|)(NER|ner|Ner|NE|Entity|BIO)=([^|]+)")
CHUNKS = frozenset(
    "NP VP PP ADVP ADJP SBAR PRT CONJP INTJ LST UCP NC VC PC".split()
)


@dataclasses.dataclass(frozen=True)
class Places:
    """The columns of a file, from 0, or negative from the end.

    Attributes:
        word, tag, sentence: of words, tags and ids of sentences; None for a
            column that is not there.
        where: names the column of tags in messages.
        is_asked: whether a setting names the column of tags.
        is_conllu: whether some rows are not words: "1-2", "1.1".
        key: of the tags inside CoNLL-U's MISC, or "".
        has_brackets: whether tags are those of CoNLL-2012: "(PERSON*" starts
            an entity, and "*)" ends it.
        note: what the rows showed, for the log.
    """

    word: int = 0
    tag: int | None = -1
    sentence: int | None = None
    where: str = "the last column"
    is_asked: bool = False
    is_conllu: bool = False
    key: str = ""
    has_brackets: bool = False
    note: str = ""

    def is_word(self, row: Row) -> bool:
        """Whether a row is a word."""
        return not self.is_conllu or row.cells[0].isdecimal()

    def word_of(self, row: Row) -> str:
        """The word of a row, "" where it ends before that column."""
        has_it = -len(row.cells) <= self.word < len(row.cells)
        return row.cells[self.word] if has_it else ""

    def tag_of(self, row: Row) -> str | None:
        """The tag of a row, or None where it ends before that column."""
        cells, tag = row.cells, self.tag
        if tag is None or not -len(cells) <= tag < len(cells):
            return None
        if tag % len(cells) == self.word % len(cells):
            return None
        if not self.key:
            return cells[tag]
        found = {key: value for key, value in _IN_MISC.findall(cells[tag])}
        return found.get(self.key, "O")


def choose(rows: Rows, columns: WordColumns, set_type: str) -> Places:
    """Chooses the columns of a file.

    Args:
        rows: of the file.
        columns: the settings.
        set_type: "train", "dev" or "test". A test set needs no tags.

    Raises:
        UserError: a setting names no column of the file, or all words are
            numbers.
    """
    has_ids = is_conllu(rows)
    names = rows.names or (CONLLU_NAMES if has_ids else [])
    if names:
        places = _by_names(names, rows, has_ids)
    else:
        places = _by_content(rows)
    found = places
    places = _as_asked(found, names, rows, columns, set_type)
    if found.note and (places.word, places.tag) == (found.word, found.tag):
        logging.info("%s: %s", rows.path, found.note)
    if set_type != "test" and places.tag is None:
        there = ", ".join(names) or f"{rows.num_columns} columns"
        raise UserError(
            f"{rows.path}: which column holds the tags? `tag_column` chooses "
            f"it; there are {there}"
        )
    if columns.word_column is None:
        _check_words(rows, places, names)
    return places


def _by_names(names, rows, has_ids):
    """The columns of a header, or of CoNLL-U."""
    if has_ids:
        key = _key_in_misc(rows)
        where = f"{key} in MISC" if key else ""
        return Places(1, 9 if key else None, None, where, False, True, key)
    simple = [name_of(name) for name in names]

    def first(candidates, otherwise=None):
        found = [simple.index(name) for name in candidates if name in simple]
        return found[0] if found else otherwise

    sentence = first(SENTENCE_NAMES)
    word = first(WORD_NAMES)
    if word is None and sentence is not None:
        # Each row is a sentence, perhaps after its number: "Sentence #".
        word = len(simple) - 1 - simple[::-1].index("sentence")
        sentence = None
    tag = first(TAG_NAMES)
    if tag is None:
        known = (*OTHER_NAMES, *OTHER_TAG_NAMES)
        last = len(names) - 1
        is_free = last not in (word, sentence) and simple[last] not in known
        tag = last if is_free else None
    where = "" if tag is None else f"the column {names[tag]!r}"
    return Places(word or 0, tag, sentence, where)


def _key_in_misc(rows):
    """The key of entities in MISC, if there is one such key."""
    keys = {
        key
        for row in rows.rows
        for key, value in _IN_MISC.findall(row.cells[-1])
        if _TAG.fullmatch(value)
    }
    return keys.pop() if len(keys) == 1 else ""


def _by_content(rows):
    """The columns of rows without a header."""
    size = rows.num_columns
    if size < 2:
        return Places()

    def column(place):
        return [r.cells[place] for r in rows.rows if len(r.cells) == size]

    if size >= ONTONOTES_COLUMNS:
        cells = column(ONTONOTES_TAG)
        if any("(" in c for c in cells) and all(
            map(_BRACKETS.fullmatch, cells)
        ):
            return Places(
                3,
                ONTONOTES_TAG,
                None,
                "column 11",
                has_brackets=True,
                note="columns are those of CoNLL-2012",
            )
    width = size
    while size > 2 and not any(_some(rows, size - 1)):
        if any(r.cells[size - 1] for r in rows.rows if len(r.cells) == width):
            break
        size -= 1  # Rows end in a separator.
    last = -1 if size == width else size - 1
    where = "the last column" if last < 0 else f"column {size}"
    if size > 2 and _starts_sentences(_some(rows, 0)):
        return Places(1, last, 0, where)
    if size > 2:
        _warn_of_two_tags(rows, size)
    if size > 2 and _names_sentences(_some(rows, 0)):
        return _after_names(rows, size, last, where)
    if size > 2 and _counts(rows):
        if size == 4 and _are_nested(column(2), column(3)):
            note = (
                "running numbers, words, tags and inner tags: words are in "
                "column 2 and tags in column 3 (`tag_column`=4 takes the inner "
                "ones)"
            )
            return Places(1, 2, None, "column 3", note=note)
        note = "column 1 counts; words are in column 2"
        return Places(1, last, None, where, note=note)
    if (
        size == 2
        and _names_sentences(_some(rows, 0))
        and not any(map(_TAG.fullmatch, _some(rows, 1)))
    ):
        return _after_names(rows, size, None, "")
    if size == 2 and _are_tags(_some(rows, 0)):
        tags, words = column(0), column(1)
        if _are_tags(tags) and {*tags} != {"O"} and not _are_tags(words):
            note = "column 1 holds the tags, 2 the words"
            return Places(1, 0, None, "column 1", note=note)
    return Places(0, last, None, where)


def _some(rows, place):
    """A column of the first rows."""
    full = (r for r in rows.rows if len(r.cells) == rows.num_columns)
    return [r.cells[place] for r in itertools.islice(full, NUM_ROWS_COMPARED)]


def _are_tags(column: Sequence[str]) -> bool:
    return all(map(_TAG.fullmatch, column))


def _are_nested(outer, inner):
    """Whether two columns are GermEval's, rather than chunks and entities."""
    types = {tag[2:] for tag in outer if tag != "O"}
    return _are_tags(outer) and _are_tags(inner) and not types <= CHUNKS


def _starts_sentences(column):
    """Whether cells are "Sentence: 1" or the like, on first rows alone."""
    named = [bool(re.match(r"[Ss]entence\W", cell)) for cell in column]
    return any(named) and all(
        is_named or not cell
        for is_named, cell in zip(named, column, strict=True)
    )


def _names_sentences(column):
    """Whether cells name the sentence or document that a word is in.

    Each name comes in one run of rows, and these have two words or more.
    """
    runs = sum(1 for _ in itertools.groupby(column))
    return (
        len(column) > 5 and 2 * runs <= len(column) and (len({*column}) == runs)
    )


def _after_names(rows, size, last, where):
    """The columns where the first one names sentences or documents."""
    word = 1
    while word < size - 2 and all(c.isdecimal() for c in _some(rows, word)):
        word += 1  # The number of a word in its sentence.
    is_one = sum(bool(block.rows) for block in rows.blocks) == 1
    logging.info(
        "%s: column 1 names sentences or documents; words are in column %d",
        rows.path,
        word + 1,
    )
    return Places(word, last, 0 if is_one else None, where)


def _warn_of_two_tags(rows, size):
    """Warns where the last two columns have tags of the same kind."""
    one, other = _some(rows, size - 2), _some(rows, size - 1)
    types = [{tag[2:] or tag for tag in {*c} - {"O"}} for c in (one, other)]
    few = all(2 * len({*column}) <= len(column) for column in (one, other))
    if one == other or not few or not types[0] & types[1]:
        return
    if "O" in one and "O" in other:
        row = next(rows.rows)
        logging.warning(
            "%s:%d: columns %d and %d both hold tags, and column %d is read; "
            "`tag_column`=%d reads the other, if this one is a model's answer",
            rows.path,
            row.line,
            size - 1,
            size,
            size,
            size - 1,
        )


def _counts(rows):
    """Whether the first column has the number of each word in its sentence."""
    longest = 0
    before = None
    for block in rows.blocks:
        cells = [row.cells[0] for row in block.rows]
        if not all(cell.isdecimal() for cell in cells):
            return False
        numbers = [int(cell) for cell in cells]
        if any(b != a + 1 for a, b in itertools.pairwise(numbers)):
            return False
        if numbers and numbers[0] not in (0, 1) and numbers[0] != before:
            return False
        before = numbers[-1] + 1 if numbers else before
        longest = max(longest, len(numbers))
    return longest > 1


def _as_asked(places, names, rows, columns, set_type):
    """The columns that settings name in place of those that were found."""
    size = len(rows.names) or rows.num_columns
    changes = {}
    if columns.word_column:
        found = _place("word_column", columns.word_column, names, size, rows)
        if isinstance(found, UserError):
            if set_type == "train":
                raise found
        else:
            changes["word"] = found
    if columns.tag_column:
        found = _place("tag_column", columns.tag_column, names, size, rows)
        if isinstance(found, UserError):
            if set_type != "test":
                raise found
            changes |= {"tag": None, "where": ""}
        else:
            where = f"`tag_column`={columns.tag_column}"
            changes |= {
                "tag": found,
                "where": where,
                "is_asked": True,
                "key": "",
                "has_brackets": places.has_brackets and found == places.tag,
            }
    places = dataclasses.replace(places, **changes)
    if places.tag is not None and size > 1:
        if places.tag % size == places.word % size and changes:
            raise UserError(
                f"{rows.path}: words and tags cannot be in the same column",
                setting="word_column" if "word" in changes else "tag_column",
                value=columns.word_column
                if "word" in changes
                else columns.tag_column,
            )
    return places


def _place(setting, value, names, size, rows):
    """The column that a setting names, or the error."""
    if is_place(value):
        number = int(value)
        if number and -size <= number <= size:
            return number - 1 if number > 0 else number
        example = next(rows.rows).text
        return UserError(
            f"{rows.path} has {number_of(size, 'column')}, numbered from 1, or "
            f"from -1 on from the end; a row is {example!r}",
            setting=setting,
            value=value,
        )
    simple = [name_of(name) for name in names]
    if value in names:
        return names.index(value)
    if simple.count(name_of(value)) == 1:
        return simple.index(name_of(value))
    if not names:
        why = f"{rows.path} has no header; give the column's number, from 1"
    else:
        why = f"{rows.path} has no such column; it has {', '.join(names)}"
    hint = suggestions.hint(value, names) if names else ""
    return UserError(why + hint, setting=setting, value=value)


def _check_words(rows, places, names):
    """Raises UserError if all words are numbers: this is another column."""
    if rows.num_columns < 2:
        return
    number = 0
    for row in rows.rows:
        if places.is_word(row):
            if not _NUMBER.fullmatch(places.word_of(row)):
                return
            number += 1
    if number < FEW_NUMBERS:
        return
    row = next(rows.rows)
    shown = ", ".join(f"{n} is {c!r}" for n, c in enumerate(row.cells, 1))
    number = places.word + 1 if places.word >= 0 else places.word
    raise UserError(
        f"{rows.path}:{row.line}: all words are numbers in column {number}; "
        f"`word_column` and `tag_column` choose others: {shown}"
    )
