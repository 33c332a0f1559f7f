"""Texts of a file, on which two engines' answers are compared."""

from typing import Any

from bert_tf import files
from bert_tf.data.squad.questions import question_rows
from bert_tf.data.tabular import text_rows
from bert_tf.errors import UserError
from bert_tf.export import answer_files
from bert_tf.export.predictor import Predictor
from bert_tf.file_formats import HEAD_BYTES


def read_items(path: str, predictor: Predictor) -> list[Any]:
    """Reads a file's texts as a model takes them.

    Args:
        path: a file in a form that the tool predict reads.
        predictor: the model. Its columns are those of its training.

    Raises:
        UserError: the file has no texts for this model.
    """
    recorded = predictor.info.get("columns", {})
    columns = answer_files.model_columns(
        predictor.kind, predictor.input_names, recorded
    )
    with files.looking(path, None) as content:
        kind = content.kind
        if not (kind and kind.role == "table"):
            content.check_text()
        head = content.reader.peek(HEAD_BYTES)[:HEAD_BYTES]
    source = text_rows.detect_format(
        path, head.decode("utf-8", "replace") + "\n", columns.names, kind=kind
    )
    rows = text_rows.read_rows(
        path, source, lambda name: files.looking(name, None), columns.names
    )
    if predictor.kind == "question_answering":
        rows = question_rows(rows)
    items = []
    for row in rows:
        item = columns.item_of(row)
        try:
            predictor.check(item)
        except ValueError as error:
            raise UserError(f"{row.place}: {error}") from None
        items.append(item)
    if not items:
        raise UserError("there is no text in it", setting="calibration_file")
    return items
