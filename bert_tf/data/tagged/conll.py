"""Reads files with a word in each row, as in the CoNLL shared tasks.

    EU NNP B-NP B-ORG
    rejects VBZ B-VP O

There is a blank line after each sentence, or a column that numbers sentences.
Rows that start with -DOCSTART- separate documents. `word_rows` cuts the lines
into columns, and `word_columns` chooses those of words and tags.

A file for prediction may also hold running text, a sentence on each line.
"""

import ast
import contextlib
import gc
import json
import re
from collections.abc import Iterator, Sequence

from absl import logging

from bert_tf.counts import number_of
from bert_tf.data.tagged import character_spans, foreign_rows, word_rows
from bert_tf.data.tagged.running_text import has_tags_in_words, is_running_text
from bert_tf.data.tagged.sentences import (
    LINES,
    TEXTS,
    TOKENS,
    Sentence,
    WordColumns,
    WordFile,
)
from bert_tf.data.tagged.tagged_json import of_text
from bert_tf.data.tagged.word_columns import Places, choose
from bert_tf.data.tagged.word_rows import Block, Row, Rows
from bert_tf.errors import UserError

PREDICTION_COLUMN = "prediction"  # In a header of the file with predictions.
MANY_WORDS = 1000  # More than any sentence has.
MANY_ALONE = 100  # More than the only sentence of a file has.
NUM_ROWS_COMPARED = 200


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Puts off the garbage collector, which would visit all rows many times."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_without_collection()
def read(path: str, set_type: str, columns: WordColumns) -> WordFile:
    """The sentences of a file.

    Args:
        path: of the file.
        set_type: "train", "dev" or "test". A file for "test" needs no tags,
            and may hold running text.
        columns: the settings.

    Raises:
        UserError: the file has no sentence; or, unless for "test", a row has
            no tag, or more or fewer columns than the first.
    """
    lines = word_rows.read_lines(path, columns.encoding)
    return read_rows(path, lines, set_type, columns)


def read_rows(
    path: str, lines: Sequence[str], set_type: str, columns: WordColumns
) -> WordFile:
    """The sentences of lines; see `read`.

    Args:
        path: of their file.
        lines: without their ends.
        set_type, columns: see `read`.

    Raises:
        UserError: see `read`.
    """
    foreign_rows.check(path, lines)
    rows = word_rows.cut(path, lines, columns)
    if not any(block.rows for block in rows.blocks):
        raise UserError(f"{path}: no sentence in this file")
    first = next(rows.rows)
    if columns.word_column is None and has_tags_in_words(rows):
        raise UserError(
            f"{path}:{first.line}: words and tags in one cell, as in "
            f"{first.cells[0]!r}; each row must hold a word and its tag, and a "
            "blank line must follow each sentence"
        )
    if columns.word_column is None and is_running_text(rows):
        return _running_text(path, lines, set_type)
    places = choose(rows, columns, set_type)
    if (expanded := _sentences_in_cells(rows, places, set_type)) is not None:
        return WordFile(path, expanded, where=places.where)
    if set_type != "test":
        _check_rows(rows, places)
    sentences = [
        _sentence(f"{set_type}-{index}", block, places, rows)
        for index, block in enumerate(_blocks(rows, places))
    ]
    _finish(rows, sentences)
    _without_language(path, sentences)
    _warn_of_one_sentence(path, sentences)
    return WordFile(
        path,
        sentences,
        where=places.where if places.tag is not None else "",
        tags_are_found=not places.is_asked,
        num_columns=rows.num_columns,
    )


def _check_rows(rows: Rows, places: Places) -> None:
    """Raises UserError unless all rows have a tag, and the same columns."""
    if rows.is_even and rows.num_columns == (
        len(rows.names) or rows.num_columns
    ):
        if rows.num_columns > 1:
            return
    all_rows = rows.rows
    first = next(all_rows)
    size = len(rows.names) or len(first.cells)
    for row in (first, *all_rows):
        place = f"{rows.path}:{row.line}"
        if len(row.cells) == 1:
            raise UserError(
                f"{place}: no tag: the row is {row.cells[0]!r} alone, but its "
                "last column must be the word's tag (columns are separated by "
                "spaces or tabs)"
            )
        if len(row.cells) != size:
            raise UserError(
                f"{place}: {number_of(len(row.cells), 'column')}, but line "
                f"{first.line} has {len(first.cells)}; all rows must have the "
                "same number"
            )


def _blocks(rows: Rows, places: Places) -> Iterator[Block]:
    """The sentences, and at the end perhaps lines without words."""
    if places.sentence is None:
        yield from rows.blocks
        return
    for block in rows.blocks:
        before, current = block.before, ""
        part: list[Row] = []
        for row in block.rows:
            cell = ""
            if places.sentence < len(row.cells):
                cell = row.cells[places.sentence].strip()
            if part and cell and cell != current:
                yield Block(before, part)
                before, part = [], []
            current = cell or current
            part.append(row)
        yield Block(before, part)


def _sentence(guid: str, block: Block, places: Places, file: Rows) -> Sentence:
    between: dict[int, list[str]] = {}
    rows: Sequence[Row] = block.rows
    if places.is_conllu:
        rows = []
        for row in block.rows:
            if places.is_word(row):
                rows.append(row)
            else:
                between.setdefault(len(rows), []).append(row.text)
    tags: list[str | None]
    if file.is_even and file.num_columns > 1 and not places.key:
        word, tag = places.word, places.tag
        words = [row.cells[word] for row in rows]
        tags = [] if tag is None else [row.cells[tag] for row in rows]
    else:
        words = [places.word_of(row) for row in rows]
        tags = [places.tag_of(row) for row in rows]
    if places.has_brackets:
        tags = _tags_of_brackets(tags)
    has_tags = any(tag is not None for tag in tags)
    return Sentence(
        guid=guid,
        words=words,
        labels=tags if has_tags else None,
        rows=[row.text for row in rows],
        before=block.before,
        separator=file.separator,
        between=between,
        lines=_lines_of(rows),
    )


def _tags_of_brackets(cells: Sequence[str | None]) -> list[str | None]:
    """The tags of CoNLL-2012's cells: "(PERSON*", "*", "*)", "(GPE)"."""
    tags: list[str | None] = []
    kind = ""
    for cell in cells:
        starts = re.match(r"\(([A-Z_]+)", cell or "")
        kind = starts[1] if starts else kind
        tags.append(f"{'B' if starts else 'I'}-{kind}" if kind else "O")
        if cell and cell.endswith(")"):
            kind = ""
    return tags


def _lines_of(rows: Sequence[Row]) -> Sequence[int]:
    if rows and rows[-1].line - rows[0].line == len(rows) - 1:
        return range(rows[0].line, rows[-1].line + 1)
    return [row.line for row in rows]


def _finish(rows: Rows, sentences: list[Sentence]) -> None:
    """Gives lines without words to the sentences around them."""
    after: list[str] = []
    if not sentences[-1].words:
        last = sentences.pop()
        after = [*last.before, *last.between.get(0, [])]
    if not sentences or not all(sentence.words for sentence in sentences):
        raise UserError(f"{rows.path}: a sentence without words")
    sentences[-1].after = after
    if rows.header:
        name = PREDICTION_COLUMN
        while name in rows.names:
            name += "_2"
        header = rows.header + rows.separator + name
        sentences[0].before = [header, *sentences[0].before]
    empty = [
        s.line(i) for s in sentences for i, w in enumerate(s.words) if not w
    ]
    if empty:
        logging.warning(
            "%s:%d: no word in %s (this line first)",
            rows.path,
            empty[0],
            number_of(len(empty), "row"),
        )
    longest = max(sentences, key=lambda sentence: len(sentence.words))
    if len(longest.words) > (MANY_WORDS if sentences[1:] else MANY_ALONE):
        logging.warning(
            "%s:%d: a sentence of %d words; a blank line ends a sentence, or a "
            'column such as "sentence_id" numbers them',
            rows.path,
            longest.line(0),
            len(longest.words),
        )


def _without_language(path: str, sentences: list[Sentence]) -> None:
    """Drops the language before each word, as in WikiAnn: "en:Rome"."""
    prefix = re.match("[a-z]{2,3}:", sentences[0].words[0])
    if prefix is None or len(sentences) == 1:
        return
    start = prefix[0]
    if all(
        w.startswith(start) and w != start for s in sentences for w in s.words
    ):
        logging.info("%s: %r before each word is dropped", path, start)
        for sentence in sentences:
            sentence.words = [w.removeprefix(start) for w in sentence.words]


def _warn_of_one_sentence(path: str, sentences: Sequence[Sentence]) -> None:
    """Logs a warning where nothing separates the sentences of a file."""
    if len(sentences) != 1:
        return
    words = sentences[0].words
    num_ends = sum(word in (".", "?", "!", "。") for word in words[:-1])
    if num_ends > 1:
        logging.warning(
            "%s: one sentence of %d words, with %d full stops within: a blank "
            "line must follow each sentence",
            path,
            len(words),
            num_ends,
        )


# ---------------------------------------------------------------------------
# Running text.


def _running_text(path: str, lines: Sequence[str], set_type: str) -> WordFile:
    if set_type != "test":
        number, line = next(
            (n, text) for n, text in enumerate(lines, 1) if text.strip()
        )
        shown = line if len(line) < 50 else f"{line[:47]}..."
        raise UserError(
            f"{path}:{number}: running text, not words with tags: {shown!r}; "
            "each row must hold one word and its tag, with a blank line after "
            "each sentence (`word_column` names the column of the words)"
        )
    logging.info("%s: read as running text, a sentence on each line", path)
    sentences = list(
        _texts(((n, text, None) for n, text in enumerate(lines, 1)), LINES)
    )
    if not sentences:
        raise UserError(f"{path}: no word in this file")
    return WordFile(path, sentences)


def _texts(texts, origin) -> Iterator[Sentence]:
    """Sentences of (line, text, id); texts without words go along."""
    empties: list[str] = []
    last = None
    for index, (line, text, name) in enumerate(texts):
        places = character_spans.words_of(text)
        if not places:
            empties.append(text)
            continue
        if last is not None:
            yield last
        last = of_text(f"test-{index}", text, places, None, origin, line, name)
        last.before, empties = empties, []
    if last is not None:
        last.after = empties
        yield last


# ---------------------------------------------------------------------------
# Tables whose rows are whole sentences.


def _sentences_in_cells(
    rows: Rows, places: Places, set_type: str
) -> list[Sentence] | None:
    """The sentences of a table that has one in each row; None for another."""
    if not rows.names:
        return None
    all_rows = [row for row in rows.rows if row.cells]
    head = all_rows[:NUM_ROWS_COMPARED]
    texts = [places.word_of(row) for row in head]
    several = sum(" " in text.strip() for text in texts)
    if 5 * several < 4 * len(texts):
        return None
    tags = [places.tag_of(row) for row in head]
    if set_type == "test" and not any(tags):
        return [
            *_texts(
                ((row.line, places.word_of(row), None) for row in all_rows),
                TEXTS,
            )
        ]
    sentences = []
    for index, row in enumerate(all_rows):
        words = _list_of(places.word_of(row))
        labels = _list_of(places.tag_of(row) or "")
        if len(words) != len(labels):
            raise UserError(
                f"{rows.path}:{row.line}: {number_of(len(words), 'word')}, but "
                f"{number_of(len(labels), 'tag')} in {places.where}"
            )
        if words:
            sentences.append(
                Sentence(
                    guid=f"{set_type}-{index}",
                    words=words,
                    labels=labels,
                    rows=words,
                    origin=TOKENS,
                    lines=[row.line],
                )
            )
    return sentences


def _list_of(cell: str) -> list[str]:
    """The strings in a cell: a list of JSON, Python or NumPy, or words."""
    text = cell.strip()
    if not (text.startswith("[") and text.endswith("]")):
        if "," in text and " " not in text:
            return text.split(",")
        return text.split()
    for load in (json.loads, ast.literal_eval):
        try:
            values = load(text)
        except (ValueError, SyntaxError, RecursionError):
            continue
        # Python joins strings that have no comma between them.
        if isinstance(values, list) and len(values) != 1:
            return [str(value) for value in values]
    return [a or b for a, b in re.findall(r"'([^']*)'|\"([^\"]*)\"", text)]
