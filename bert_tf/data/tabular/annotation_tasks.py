"""Label Studio's tasks as rows of a table: what a person chose is a column.

{"id": 7, "data": {"text": "hello"}, "annotations": [{"result": [
    {"from_name": "mood", "type": "choices", "value": {"choices": ["glad"]}}
]}]}

is the row {"id": 7, "text": "hello", "mood": "glad", "label": "glad"}: the
names are those of its own export "JSON-MIN", and the only choice is the label.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from absl import logging

from bert_tf.counts import counted

Object = dict[str, Any]
Lines = Iterable[tuple[int, Object]]


class TaskRow(dict):
    """A row of which a column may be missing: nothing was chosen there."""


# Where a result keeps what was chosen, by the kind of question.
_VALUE_NAMES = ("choices", "rating", "number", "taxonomy", "text")


def rows_of_tasks(path: str, objects: Lines) -> Iterator[tuple[int, Object]]:
    """Yields the objects of a file; tasks as rows, and others as they are.

    Args:
        path: of the file, for messages.
        objects: its objects with their lines.

    A task without an annotation, or whose annotation was cancelled, has the
    label None. Where several people annotated a task the first counts; a
    warning says how many tasks have several.
    """
    total = num_several = first = 0
    for line, value in objects:
        if "data" not in value or (done := _annotations(value)) is None:
            yield line, value
            continue
        total += 1
        if len(done) > 1:
            num_several += 1
            first = first or line
        yield line, _row(value, done)
    if num_several:
        logging.warning(
            "%s: %s several annotations (line %d first): the first of each "
            "counts",
            path,
            counted(num_several, total, "task"),
            first,
        )


def _annotations(value: Object) -> list[Object] | None:
    """The annotations of a task that count; None if it is not a task."""
    found = value.get("annotations", value.get("completions"))
    if not isinstance(value["data"], dict) or not isinstance(found, list):
        return None
    if not all(isinstance(item, dict) for item in found):
        return None
    return [
        item
        for item in found
        if not (item.get("was_cancelled") or item.get("skipped"))
    ]


def _row(value: Object, annotations: list[Object]) -> Object:
    chosen: Object = {}
    for result in annotations[0].get("result") or () if annotations else ():
        inner = result.get("value") if isinstance(result, dict) else None
        if not isinstance(inner, dict) or "start" in inner:
            continue  # It is about a part of the text.
        for name in _VALUE_NAMES:
            if name in inner:
                chosen[str(result.get("from_name"))] = _alone(inner[name])
                break
    row = TaskRow({"id": value["id"]} if "id" in value else {})
    row.update(value["data"], **chosen)
    only = [*chosen.values()][0] if len(chosen) == 1 else None
    row.setdefault("label", only)
    return row


def _alone(found: Any) -> Any:
    """The one item of a list, or of a path through a taxonomy; or all items."""
    if isinstance(found, list):
        found = [i[-1] if isinstance(i, list) and i else i for i in found]
        return found[0] if len(found) == 1 else found
    return found
