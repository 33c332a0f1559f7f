"""Files of words, a word in each row, as items of a model of tags.

sentences = read("new.conll")
Predictor(…).predict(map(item_of, sentences))
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_tf.data.tabular.file_shape import whole_lines
from bert_tf.data.tabular.text_rows import Row
from bert_tf.data.tagged import conll, tagged_json, word_rows
from bert_tf.data.tagged.learned_tags import LearnedTags
from bert_tf.data.tagged.sentences import (
    ROWS,
    Sentence,
    WordColumns,
    WordFile,
    conll_lines,
)
from bert_tf.data.tagged.tag_schemes import OUTSIDE
from bert_tf.errors import UserError
from bert_tf.export.answer_files import at_its_row
from bert_tf.export.given_words import NAME
from bert_tf.export.kinds import Answer

if TYPE_CHECKING:
    from bert_tf.export.predictor import Predictor

ENDINGS = re.compile(r"\.(conll|conllu|conllx|iob|iob2|bio)(\.\w+)?$")


def read(path: str, columns: WordColumns) -> list[Sentence] | None:
    """The sentences of a file with a word in each row; None for another file.

    A file of one column is one of words if its name says so.

    Args:
        path: of the file.
        columns: of its words.

    Raises:
        UserError: the file is empty, or not text.
    """
    if tagged_json.is_json(path):
        return None
    return _words_of(conll.read(path, "test", columns))


def starts_with_words(path: str, head: str, columns: WordColumns) -> bool:
    """Whether `read` would find sentences, as far as a file's start shows it.

    Args:
        path: of the file.
        head: the start of its text.
        columns: of its words.

    Raises:
        UserError: see `read`.
    """
    lines = whole_lines(head)
    if not any(map(str.strip, lines)) or tagged_json.is_json(path):
        return False
    try:
        word_rows.cut(path, lines, columns)
    except UserError:
        return False  # The start ends within a cell.
    return _words_of(conll.read_rows(path, lines, "test", columns)) is not None


def _words_of(file: WordFile) -> list[Sentence] | None:
    path = file.path
    if file.sentences[0].origin != ROWS:
        return None
    if file.num_columns < 2 and not ENDINGS.search(path.lower()):
        return None
    return file.sentences


def item_of(sentence: Sentence) -> dict[str, list[str]]:
    """A sentence as `Predictor` takes it."""
    return {NAME: sentence.words}


def answered_lines(
    predictor: "Predictor",
    paths: Sequence[str],
    first: list[Sentence],
    columns: WordColumns,
    format: str,
) -> Iterator[str]:
    """Yields the lines of each sentence of files, with its answer.

    Args:
        predictor: a model of tags.
        paths: the files.
        first: the sentences of the first one.
        columns: of the words.
        format: see `lines_of`.

    Raises:
        UserError: a file is not one of words, or the model does not answer a
            sentence.
    """
    sentences: list[Sentence] | None = first
    for number, path in enumerate(paths):
        if number:
            sentences = read(path, columns)
        if sentences is None:
            raise UserError(
                f"{path}: no rows with a word each, as {paths[0]} has"
            )
        answers = predictor.stream(map(item_of, sentences))
        try:
            for sentence, answer in zip(sentences, answers, strict=True):
                yield lines_of(sentence, answer, format, predictor.info)
        except ValueError as error:
            rows = [
                Row(place=f"{path}:{sentence.line(0)}", values={})
                for sentence in sentences
            ]
            raise at_its_row(error, rows) from None


def lines_of(
    sentence: Sentence, answer: Answer, format: str, info: Mapping[str, Any]
) -> str:
    """The lines of an answer.

    Args:
        sentence: as it was read.
        answer: of `Predictor`.
        format: "jsonl", or "conll" for the rows with a column more, whose tags
            are spelled as in the training file.
        info: the content of the model's model.json.
    """
    if format != "jsonl":
        learned = LearnedTags.from_record(info)
        if learned is None:
            return conll_lines(sentence, answer["tags"])
        write = learned.spelling.write
        outside = write(OUTSIDE)
        return conll_lines(sentence, [*map(write, answer["tags"])], outside)
    plain: dict[str, Any] = {**answer}
    text = json.dumps(plain, ensure_ascii=False, default=np.ndarray.tolist)
    return f"{text}\n"
