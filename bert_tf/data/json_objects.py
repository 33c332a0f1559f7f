"""Reads the JSON objects of a file, one after the other.

{"text": "hello", "label": "ham"}
{"text": "win now!", "label": "spam"}
"""

import json
from collections.abc import Iterator
from typing import Any

from bert_tf import files
from bert_tf.errors import UserError


def read_objects(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the objects of a file, without empty lines at its end.

    Yields:
        (line on which the object starts, from 1; the object).

    Raises:
        UserError: a line is not an object.
    """
    empty = None
    for number, line in files.read_lines(path):
        if not line.strip():
            empty = empty or number
            continue
        if empty:
            raise UserError(f"{path}:{empty}: not JSON: an empty line")
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}:{number}: not JSON: {error.msg} at position "
                f"{error.colno} of the line"
            ) from None
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{path}:{number}: not JSON: {files.reason(error)}"
            ) from None
        if not isinstance(value, dict):
            raise UserError(
                f"{path}:{number}: not an object such as "
                '{"text": "…", "label": "…"}'
            )
        yield number, value
