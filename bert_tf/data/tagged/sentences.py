"""Sentences as lists of words with tags, and how predictions are written.

conll    John B-PER B-PER        the lines that were read, and a column more
spans    {"text": "John works .", "spans": [{"start": 0, "end": 4, …}]}
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from bert_tf.data.tagged.tag_schemes import OUTSIDE
from bert_tf.metrics.entities import entity_spans

DOCUMENT_START = "-DOCSTART-"
NOTHING = "_"  # In the column of predictions, of a row that is not a word.

# Kinds of files: rows with a word each, and others.
ROWS, TOKENS, TEXTS, LINES = "rows", "tokens", "texts", "lines"


@dataclasses.dataclass
class Sentence:
    """The words of a sentence, with what is written back.

    Attributes:
        guid: unique id, such as "dev-7"; the first sentence is 0.
        words: at least one.
        labels: the tag of each word, or None where they are not known; a word
            alone may have None as well.
        rows: the row of each word as in the file. Spaces between columns are
            one space; tabs and other separators stay.
        before: the lines between the previous sentence and this one: blank
            lines, which are "" here, comments, and those that start a
            document. Of texts, those without a word.
        after: the lines after the last sentence of a file.
        separator: what is between a row and the predicted tag.
        between: {place of a word: lines right before it that are not words}.
        origin: what the file holds: ROWS with a word each; TOKENS or TEXTS in
            JSON; or LINES of text.
        text: the text as it was, of TEXTS and LINES.
        places: (start, end) of each word in `text`, in characters.
        id: what the file calls the text, or None.
        lines: the line of each word in the file, or one line for all.
    """

    guid: str
    words: list[str]
    labels: Sequence[str | None] | None
    rows: list[str]
    before: list[str] = dataclasses.field(default_factory=list)
    after: list[str] = dataclasses.field(default_factory=list)
    separator: str = " "
    between: dict[int, list[str]] = dataclasses.field(default_factory=dict)
    origin: str = ROWS
    text: str | None = None
    places: list[tuple[int, int]] | None = None
    id: Any = None
    lines: Sequence[int] = dataclasses.field(
        default_factory=list, compare=False, repr=False
    )

    @property
    def label(self) -> Sequence[str | None] | None:
        """The labels, under the name that other examples use.

        None where no word has one.
        """
        if self.labels is None or all(tag is None for tag in self.labels):
            return None
        return self.labels

    def line(self, word: int) -> int:
        """The line of a word in the file."""
        return self.lines[word if len(self.lines) > 1 else 0]


def conll_lines(
    sentence: Sentence, tags: Sequence[str], outside: str = OUTSIDE
) -> str:
    """A sentence's lines in a CoNLL file with predictions.

    They are the lines that were read, each with one column more: the tag, or
    `outside` in rows that start a document. Blank lines and comments stay as
    they are. So all sentences together have a line for each line of the file.
    Texts have a word on each line, and a blank line after each text.

    Args:
        sentence: as it was read.
        tags: one for each word.
        outside: the tag of no entity.
    """
    part = sentence.separator
    pairs = zip(sentence.rows, tags, strict=True)
    rows = [f"{row}{part}{tag}" for row, tag in pairs]
    if sentence.origin != ROWS:
        return "".join(f"{row}\n" for row in (*rows, ""))
    for place in sorted(sentence.between, reverse=True):
        others = [f"{r}{part}{NOTHING}" for r in sentence.between[place]]
        rows[place:place] = others

    def marked(lines):
        return [
            f"{line}{part}{outside}"
            if line.startswith(DOCUMENT_START)
            else line
            for line in lines
        ]

    lines = [*marked(sentence.before), *rows, *marked(sentence.after)]
    return "".join(f"{line}\n" for line in lines)


def span_lines(
    sentence: Sentence, tags: Sequence[str], scores: Sequence[float]
) -> str:
    """A sentence as a line of JSON: its text, and the places of its entities.

    The words of a file without texts are joined by a space. Texts without a
    word, which are not sentences, have lines without spans.

    Args:
        sentence: as it was read.
        tags: one for each word, as the package spells them.
        scores: the probability of each tag. An entity has the lowest one of its
            words.
    """
    text, places = sentence.text, sentence.places
    if text is None or places is None:
        text, places = " ".join(sentence.words), places_of(sentence.words)
    spans = [
        {
            "start": places[first][0],
            "end": places[limit - 1][1],
            "label": kind,
            "text": text[places[first][0] : places[limit - 1][1]],
            "score": round(float(min(scores[first:limit])), 6),
        }
        for kind, first, limit in entity_spans(tags)
    ]
    named = {} if sentence.id is None else {"id": sentence.id}
    found = [{**named, "text": text, "spans": spans}]
    if sentence.origin != ROWS:
        before, after = (
            [{"text": empty, "spans": []} for empty in empties]
            for empties in (sentence.before, sentence.after)
        )
        found = [*before, *found, *after]
    return "".join(f"{json.dumps(o, ensure_ascii=False)}\n" for o in found)


def places_of(words: Sequence[str]) -> list[tuple[int, int]]:
    """The places of words in a text that joins them by spaces."""
    places, start = [], 0
    for word in words:
        places.append((start, start + len(word)))
        start += len(word) + 1
    return places


@dataclasses.dataclass
class WordFile:
    """The sentences of a file, with tags as the file spells them.

    Attributes:
        path: of the file.
        sentences: their labels are tags of the file.
        where: the column of the tags, for messages; "" without tags.
        tags_are_found: whether nobody named that column.
        is_spelled: whether tags are spelled as the package does already.
        num_columns: the number of columns of rows; 0 of other files.
    """

    path: str
    sentences: list[Sentence]
    where: str = ""
    tags_are_found: bool = True
    is_spelled: bool = False
    num_columns: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordColumns:
    """Settings of the columns of words and tags, named as the flags.

    Attributes:
        word_column, tag_column: a number from 1, from -1 on from the end; or a
            name. None for those that the file shows.
        encoding: of the text.
        delimiter: the character between columns; None for what is found.
    """

    word_column: str | None = None
    tag_column: str | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None
