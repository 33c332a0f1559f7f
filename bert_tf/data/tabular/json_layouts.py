"""Finds the rows of a table in a file that is one JSON object.

{"text": ["a", "b"], "label": [0, 1]}                  columns
{"text": {"0": "a", "1": "b"}, "label": {"0": 0, …}}   columns of pandas
{"0": {"text": "a", "label": 0}, "1": {…}}             rows of pandas
{"columns": ["text", "label"], "data": [["a", 0], …]}  pandas' "split"
{"data": [{"text": "a", "label": 0}, …]}               a list by its name
{"rows": [{"row_idx": 0, "row": {"text": "a", …}}]}    a hub's viewer
"""

import json
from typing import Any

from absl import logging

from bert_tf.counts import number_of
from bert_tf.data.tabular.file_shape import KNOWN_NAMES
from bert_tf.errors import UserError

Object = dict[str, Any]
Rows = list[tuple[int, Object]]

# The names under which others keep the rows of a file.
LIST_NAMES = tuple(
    "data rows examples items records results documents samples instances "
    "sentences common_examples dataset texts entries".split()
)
SET_NAMES = ("train", "training", "dev", "validation", "valid", "val", "test")
# An object with one of these is a row itself.
_ROW_NAMES = {"text", "tokens", "words", "sentence", "label", "labels"}
# Lists that belong to one sentence.
_TOKEN_NAMES = {
    *("tokens", "words", "token", "tags", "ner_tags", "pos_tags", "ner"),
    *("chunk_tags", "endings", "choices", "form", "upos", "xpos", "lemma"),
}


def rows_of(
    value: Object, path: str, text: tuple[str, int] | None = None
) -> Rows | None:
    """The rows of the one object in a file; None if it is a row itself.

    Args:
        value: the object.
        path: of its file, for messages.
        text: what it was read from, and the number of the first line: rows
            then have their own lines.

    Returns:
        [(line, row)].

    Raises:
        UserError: it holds several lists, or lists of different lengths.
    """
    first_line = text[1] if text else 1
    found = _listed(value, path)
    what = "a list in an object"
    lines: list[int] = []
    rows: list[Object] | None
    if found is not None:
        name, rows = found
        if text and rows and name in value:
            lines = _lines_of(text, name)
    else:
        rows, what = _columns(value)
    if rows is None:
        return None
    logging.info(
        "%s: read as %s, with %s", path, what, number_of(len(rows), "row")
    )
    if len(lines) != len(rows):
        lines = [first_line] * len(rows)
    return [*zip(lines, rows, strict=True)]


def _is_list_of_objects(value):
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(item, dict) for item in value)
    )


def _listed(value: Object, path: str) -> tuple[str, list[Object]] | None:
    """(name, rows) of the one list of objects under a usual name."""
    sets = [name for name in value if name.lower() in SET_NAMES]
    sets = [name for name in sets if isinstance(value[name], list | dict)]
    if len(sets) > 1 and len(sets) == len(value):
        raise UserError(
            f"{path}: an object with several sets: {', '.join(sets)}; write "
            "each of them to a file of its own"
        )
    if _ROW_NAMES.intersection(value):
        return None
    for inner in value.values():
        # Rasa has {"rasa_nlu_data": {"common_examples": […]}}.
        if len(value) == 1 and isinstance(inner, dict):
            if found := _listed_here(inner):
                return "", found[1]
    return _listed_here(value)


def _listed_here(value):
    names = [
        name
        for name, inner in value.items()
        if _is_list_of_objects(inner) and name.lower() in LIST_NAMES + SET_NAMES
    ]
    if len(names) != 1:
        return None
    rows = value[names[0]]
    if all(isinstance(row.get("row"), dict) for row in rows):
        rows = [row["row"] for row in rows]
    return names[0], rows


def _columns(value: Object) -> tuple[list[Object] | None, str]:
    """(the rows of columns, what they were), or (None, "")."""
    members = [*value.values()]
    names, table = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(table, list) and table:
        if all(isinstance(r, list) and len(r) == len(names) for r in table):
            rows = [dict(zip(names, row, strict=True)) for row in table]
            return rows, "a list of columns and one of rows"
    if not members:
        return None, ""
    if len(members) == 1 and _is_list_of_objects(members[0]):
        return None, ""  # Such as SQuAD's {"paragraphs": [{…}]}.
    if all(isinstance(member, list) for member in members):
        return _columns_of_lists(value), "columns"
    if not all(isinstance(m, dict) and m for m in members):
        return None, ""
    if len({tuple(member) for member in members}) != 1:
        if all(map(str.isdecimal, value)):
            return members, "rows by their numbers"
        return None, ""
    inner = [*members[0]]
    if _are_numbers(inner) or _are_columns(value):
        if not _are_numbers(value):
            columns = [[*member.values()] for member in members]
            cells = zip(*columns, strict=True)
            return [dict(zip(value, row, strict=True)) for row in cells], (
                "columns"
            )
    if _are_numbers(value) or _are_columns(inner):
        return members, "rows by their names"
    return None, ""


def _are_numbers(names):
    return all(name.isdecimal() for name in names)


def _are_columns(names):
    return not KNOWN_NAMES.isdisjoint(name.lower() for name in names)


def _columns_of_lists(value):
    """The rows of lists of equal length; None for those of one sentence."""
    if len({len(member) for member in value.values()}) != 1:
        return None
    is_flat = not any(
        isinstance(item, list | dict) for m in value.values() for item in m
    )
    if is_flat and not _TOKEN_NAMES.isdisjoint(value):
        return None
    cells = zip(*value.values(), strict=True)
    return [dict(zip(value, row, strict=True)) for row in cells]


def _lines_of(text: tuple[str, int], name: str) -> list[int]:
    """The lines on which the items of an object's list start."""
    content, number = text
    decoder = json.JSONDecoder()

    def after_space(place):
        while content[place] in " \t\r\n":
            place += 1
        return place

    place = after_space(content.index("{") + 1)
    while content[place] == '"':
        key, place = decoder.raw_decode(content, place)
        place = after_space(after_space(place) + 1)  # After the colon.
        if key == name:
            break
        _, place = decoder.raw_decode(content, place)
        place = after_space(after_space(place) + 1)  # After the comma.
    lines, counted = [], 0
    place = after_space(place + 1)
    while content[place] != "]":
        number += content.count("\n", counted, place)
        counted = place
        lines.append(number)
        _, place = decoder.raw_decode(content, place)
        place = after_space(place)
        if content[place] == ",":
            place = after_space(place + 1)
    return lines
