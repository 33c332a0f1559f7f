"""Texts of a file, on which two engines' answers are compared."""

import itertools
from collections.abc import Iterator
from typing import Any

from bert_tf import files
from bert_tf.data.tagged.sentences import WordColumns
from bert_tf.errors import UserError
from bert_tf.export import answer_words
from bert_tf.export.input_files import InputSettings, ItemReader
from bert_tf.export.predictor import Predictor


def read_items(
    path: str,
    predictor: Predictor,
    most: int,
    setting: str = "calibration_file",
) -> list[Any]:
    """Reads a file's first texts as a model takes them.

    Args:
        path: a file in any form that the tool predict reads.
        predictor: the model. Its columns are those of its training.
        most: the number of texts that are enough.
        setting: name of the setting that named the file.

    Raises:
        UserError: the file has no texts for this model.
    """
    items = list(itertools.islice(_items_of(path, predictor), most))
    if not items:
        raise UserError("has no text", setting=setting, value=path)
    return items


def _items_of(path: str, predictor: Predictor) -> Iterator[Any]:
    columns = predictor.info.get("columns", {})
    settings = InputSettings(columns=columns)
    reader = ItemReader(predictor, settings)
    file, source = reader.first_file([path])
    if file.is_empty:
        return
    if predictor.kind == "tags" and files.is_regular(path):
        sentences = answer_words.read(path, WordColumns())
        if sentences is not None:
            yield from map(answer_words.item_of, sentences)
            return
    for _, item in reader.read(file, source):
        yield item
