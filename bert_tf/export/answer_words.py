"""Files of words, a word in each row, as items of a model of tags.

sentences = read("new.conll")
Predictor(…).predict(map(item_of, sentences))
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_tf.data.tagged import conll, tagged_json
from bert_tf.data.tagged.learned_tags import LearnedTags
from bert_tf.data.tagged.sentences import (
    ROWS,
    Sentence,
    WordColumns,
    conll_lines,
)
from bert_tf.data.tagged.tag_schemes import OUTSIDE
from bert_tf.export.given_words import NAME
from bert_tf.export.kinds import Answer

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
    file = conll.read(path, "test", columns)
    if file.sentences[0].origin != ROWS:
        return None
    if file.num_columns < 2 and not ENDINGS.search(path.lower()):
        return None
    return file.sentences


def item_of(sentence: Sentence) -> dict[str, list[str]]:
    """A sentence as `Predictor` takes it."""
    return {NAME: sentence.words}


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
